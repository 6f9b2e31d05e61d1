"""Every feature of the command under strace: confinement refuses no system call that the server needs."""

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

from . import Skip, check, fault, wait_until
from .client import Client, ask, get
from .content import pattern
from .roots import bindfs
from .server import Server, Site, as_nobody, require_strace
from .surroundings import listening_sockets, take_descriptor

PAGE, BIG = pattern("page", 1024), pattern("big", 8 << 20)
# bcrypt with the least cost.
HASH_OF_SECRET = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
# The status of the reply, and the request.
REQUESTS = [
    (200, get("/page.bin")),
    (200, get("/page.bin", method="HEAD")),
    (206, get("/page.bin", "Range: bytes=10-20")),
    (206, get("/page.bin", "Range: bytes=10-20,30-40")),
    (206, get("/big.bin", "Range: bytes=-1000000")),
    (206, get("/big.bin", "Range: bytes=0-999999,2000000-2999999,-1000000")),
    (200, get("/page.bin", "Range: bytes=10-", 'If-Range: "another"')),
    (416, get("/page.bin", "Range: bytes=5000-")),
    (304, get("/page.bin", "If-None-Match: *")),
    (304, get("/big.bin", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT")),
    (412, get("/page.bin", 'If-Match: "another"')),
    (200, get("/big.bin")),
    (200, get("/empty")),
    (200, get("/link")),
    (200, get("/")),
    (200, get("/", method="HEAD")),
    (200, get("/many/?format=json")),
    (200, get("/many/?sort=size&order=desc")),
    (200, get("/many/", "Accept: application/json")),
    (301, get("/many")),
    (200, get("/index/")),
    (204, get("/page.bin", method="OPTIONS")),
    (404, get("/missing")),
    (404, get("/fifo")),
    (403, get("/denied")),
    (405, get("/page.bin", method="TRACE")),
    (501, get("/page.bin", method="NOPE")),
    (400, get("/%00")),
    (414, get("/" + "x" * 9000)),
    (431, get("/", "X: " + "y" * 40_000)),
    (400, b"\0\0\0\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\n\r\n"),
    (505, b"PRI * HTTP/2.0\r\n\r\n"),
    (200, b"GET /page.bin HTTP/1.0\r\n\r\n"),
    (405, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"),
    (405, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    (405, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + bytes(3_000_000)),
    (405, b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"),
]


def make(site):
    """Makes a site with every kind of file."""
    for name, content in (("page.bin", PAGE), ("big.bin", BIG), ("empty", b""), ("index/index.html", PAGE), (".dot", PAGE)):
        site.file(f"root/{name}", content)
    for number in range(1500):
        site.file(f"root/many/{number}", b"")
    root = site.path / "root"
    (root / "link").symlink_to("page.bin")
    (root / "out").symlink_to("/etc/hostname")
    (root / "denied").write_bytes(PAGE)
    (root / "denied").chmod(0)
    os.mkfifo(root / "fifo")
    # The server caches a file only if it has not just changed.
    time.sleep(0.1)


def refusals(trace):
    """Returns the calls in a trace that were refused after the filter was installed: their names, each with its line."""
    filtered, refused = False, {}
    for line in trace.splitlines():
        filtered = filtered or re.search(r"SECCOMP_SET_MODE_FILTER|PR_SET_SECCOMP", line) is not None
        if found := re.search(r"(?:(\w+)\(|<\.\.\. (\w+) resumed>).*= -1 (EPERM|ENOSYS) ", line):
            name = found[1] or found[2]
            # The C library has another way for these when it starts a thread.
            if filtered and (name, found[3]) not in (("clone3", "ENOSYS"), ("sched_getaffinity", "ENOSYS")):
                refused[name] = re.sub(r"^\d+ +", "", line)
    if not filtered:
        raise Skip("system calls are not filtered here")
    return refused


def read(trace):
    return Path(trace).read_text(errors="replace")


class Traced:
    """Traced servers: the calls that were refused, and the number of all calls."""

    def __init__(self):
        self.refused, self.calls = {}, 0

    @contextlib.contextmanager
    def server(self, served, *options, wrap=(), inject=(), **others):
        with tempfile.NamedTemporaryFile() as file:
            # The tracer is a grandchild, so that the process is the server itself.
            strace = ["strace", "-D", "-f", "-q", "-s", "8", "-e", "signal=none", "-o", file.name, *inject]
            with Server(served, *options, wrap=[*strace, *wrap], **others) as server:
                yield server
            wait_until("the trace is whole", lambda: re.search(r"\+\+\+ (exited|killed).*\n\Z", read(file.name)))
            trace = read(file.name)
        self.calls += trace.count("\n")
        self.refused |= refusals(trace)


def ask_everything(server):
    """Sends each request three times: twice it reads the head of the reply, once it closes without reading."""
    for status, request in REQUESTS:
        for reads in (True, True, False):
            with Client(server) as client:
                # The server may refuse a request before all of it was sent.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    client.send(request)
                came = client.head().status if reads else status
                check(came in (status, 100), f"{request[:60]!r}: {came}")


def clients_of_all_kinds(server, root):
    """Plays pipelines, HTTP/0.9, resets, slow readers, a file that is not in memory and a crowd; returns a client amid a head."""
    half = Client(server).send(b"GET /page.bin HTTP/1.1\r\nHo")
    with Client(server) as client:
        client.send(get("/page.bin") * 20 + get("/big.bin") + get("/many/") * 2)
        for _ in range(23):
            check(client.reply().status == 200, "a pipeline")
    with Client(server) as client:
        check(client.send(b"GET /page.bin\r\n").rest() == PAGE, "HTTP/0.9")
    for _ in range(5):
        reader = Client(server, window=4096).send(get("/big.bin"))
        reader.take(100_000)
        reader.reset()
    with Client(server, window=65536) as reader:
        check(reader.ask("/big.bin").body == BIG, "a slow reader")
    file = os.open(root / "big.bin", os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)
    check(ask(server, "/big.bin").body == BIG, "a cold file")
    crowd = [Client(server).send(get("/page.bin")) for _ in range(100)]
    for client in crowd:
        check(client.reply().body == PAGE, "one of a crowd")
        client.close()
    return half


def changes(server, root):
    """Replaces files, overflows the inotify queue with changes, and replaces the served directory."""
    check(ask(server, "/page.bin").body == PAGE, "a file that is kept")
    for name in ("new", "newer"):
        root.joinpath(name).write_bytes(PAGE)
        root.joinpath(name).rename(root / "page.bin")
        check(ask(server, "/page.bin").body == PAGE, "a file that was replaced")
    server.signal(signal.SIGSTOP)
    churned = [root / "churn", root / "churned"]
    churned[0].touch()
    for number in range(9000):
        churned[number % 2].rename(churned[1 - number % 2])
    server.signal(signal.SIGCONT)
    check(ask(server, "/page.bin").body == PAGE, "after an overflow")
    root.rename(root.with_name("old"))
    check(ask(server, "/page.bin").status == 404, "without the directory")
    root.mkdir()
    (root / "page.bin").write_bytes(PAGE)
    check(ask(server, "/page.bin").body == PAGE, "a directory made again")


def report(server, loops):
    """Sends SIGUSR1 and waits for the report of each loop on standard error."""
    server.signal(signal.SIGUSR1)
    wait_until("the report is complete", lambda: server.last_words(1 << 20).count("httpoll: loop ") == loops)


def end_twice(server):
    """Sends SIGTERM twice while a reply is in flight."""
    with Client(server, window=4096) as reader:
        reader.send(get("/big.bin")).head()
        server.has_ended = True
        for _ in range(2):
            server.signal(signal.SIGTERM)
            time.sleep(0.3)
        code = server.process.wait(10)
        check(code in (128 + signal.SIGTERM, -signal.SIGTERM), f"exit code {code} after two SIGTERM")


def drain(server):
    """Sends SIGTERM while a reply is in flight, and reads the reply to its end."""
    with Client(server, window=65536) as reader:
        reader.send(get("/big.bin")).head()
        server.has_ended = True
        server.signal(signal.SIGTERM)
        check(reader.take(len(BIG)) == BIG, "a reply in flight")
    check(server.process.wait(40) == 0, "the exit code is not 0")


def lose_a_listener(server):
    dying = take_descriptor(server, listening_sockets(server)[0])
    dying.shutdown(socket.SHUT_RD)
    dying.close()
    wait_until("the log names the lost socket", lambda: " is lost: " in server.last_words())
    server.has_ended = True
    server.signal(signal.SIGTERM)
    check(server.process.wait(40) == 1, "the exit code is not 1")


def fill(server):
    """Makes the server log enough long lines to fill a pipe."""
    with Client(server) as client:
        for _ in range(100):
            check(client.ask("/page.bin?" + "x" * 4000).status == 200, "a long line for the log")


def serve(traced, root):
    """Starts a server with each option, and uses what the option adds."""
    with traced.server(root, "--report", "-H", "X-Added: yes", wrap=as_nobody()) as server:
        half = clients_of_all_kinds(server, root)
        ask_everything(server)
        report(server, 1)
        # The server waits for the rest of the half head during this.
        serve_in_other_ways(traced, root)
        check(half.reply().status == 408, "half a request")
        half.close()
    serve_a_site(traced, root)
    if shutil.which("openssl"):
        serve_https(traced, root)
    with traced.server(root) as server:
        changes(server, root)


def serve_a_site(traced, root):
    """Uses what a static site has: rules, an application, codings, events, other origins, and passwords."""
    text = b"a line that is there again\n" * 500
    for name, content in (("text.txt", text), ("text.txt.br", b"coded"), ("_redirects", b"/old /page.bin\n")):
        (root / name).write_bytes(content)
    (root / "index.html").write_bytes(b"<p>home")
    users = root.with_name("users")
    users.write_text(f"alice:{HASH_OF_SECRET}\n")
    alice, bob = "Authorization: Basic YWxpY2U6c2VjcmV0", "Authorization: Basic Ym9iOnNlY3JldA=="
    options = ("--site", "--spa", "--compress", "--live", "--cors", "--auth", str(users))
    with traced.server(root, *options) as server:
        events = Client(server).send(get("/.httpoll/live", alice))
        check(events.head().status == 200, "events")
        for status, request in (
            (401, get("/")),
            (401, get("/", bob)),
            (200, get("/", alice)),
            (301, get("/old", alice)),
            (200, get("/deep/link", alice)),
            (404, get("/missing.js", alice)),
            (204, get("/", "Origin: http://a", "Access-Control-Request-Method: GET", method="OPTIONS")),
        ):
            for _ in range(2):
                with Client(server) as client:
                    came = client.send(request).head().status
                    check(came == status, f"{request[:60]!r}: {came}")
        for coding in ("br", "zstd", "gzip"):
            fields = (alice, f"Accept-Encoding: {coding}")
            wait_until(coding, lambda: ask(server, "/text.txt", *fields).fields.get("content-encoding") == coding)
        (root / "index.html").write_bytes(b"<p>changed")
        received = b""
        while b"data: changed" not in received:
            received += events.take(1)
        users.write_text(f"bob:{HASH_OF_SECRET}\n")
        wait_until("the password file is read again", lambda: ask(server, "/", bob).status == 200)
        events.close()


class SecureClient(Client):
    """A connection that speaks TLS of one version, and trusts any certificate."""

    def __init__(self, server, version, **others):
        super().__init__(server, **others)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")


def renew(folder, name):
    """Makes a certificate for `name` and its key, readable only for their owner, and replaces those that are there."""
    folder.mkdir(mode=0o700, exist_ok=True)
    made = ["-keyout", folder / "key.new", "-out", folder / "cert.new", "-subj", f"/CN={name}"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(["openssl", "req", "-x509", "-nodes", *curve, *made], check=True, capture_output=True)
    for file in ("key", "cert"):
        (folder / f"{file}.new").rename(folder / f"{file}.pem")


def subject(server):
    """Returns the common name of the server's certificate."""
    certificate = ssl.get_server_certificate((server.host, server.port))
    shown = subprocess.run(["openssl", "x509", "-noout", "-subject"], input=certificate, text=True, capture_output=True)
    return shown.stdout.split("=")[-1].strip()


def serve_https(traced, root):
    """Uses both versions of TLS, plain text on their port and on one that redirects, and files that SIGHUP reads again."""
    folder = root.with_name("tls")
    options = ["--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem")]
    for others in ((), ("-n", "2"), ("--user", "nobody")):
        if others[:1] == ("--user",) and os.geteuid() != 0:
            continue
        renew(folder, "first")
        with traced.server(root, *options, "--redirect-http", "127.0.0.1:0", *others) as server:
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                with SecureClient(server, version) as client:
                    for path in ("/page.bin", "/big.bin", "/many/", "/missing"):
                        came = client.send(get(path)).reply().status
                        check(came == (404 if path == "/missing" else 200), f"{path} over TLS: {came}")
                reader = SecureClient(server, version, window=4096).send(get("/big.bin"))
                reader.take(100_000)
                reader.reset()
            redirecting = server.process.stdout.readline().decode()
            ports = (server.port, int(re.search(r":(\d+)/", redirecting)[1]))
            for server.port in reversed(ports):
                check(ask(server, "/page.bin").status == 308, "plain text is redirected")
            with Client(server) as client:
                client.send(b"\x16\x03\x01\x00\x02\x01\x00").rest()
            renew(folder, "second")
            server.signal(signal.SIGHUP)
            wait_until("the new certificate is in force", lambda: subject(server) == "second")
            (folder / "key.pem").write_text("")
            server.signal(signal.SIGHUP)
            wait_until("the log says why", lambda: "are not reloaded" in server.last_words())


def serve_in_other_ways(traced, root):
    with traced.server(root, "-n", "2", "--log-format", "json", "--follow-symlinks", "--dotfiles") as server:
        clients_of_all_kinds(server, root).close()
        for path in ("/out", "/.dot", "/many/"):
            check(ask(server, path).status == 200, path)
        report(server, 2)
        drain(server)
    with traced.server(root, "--log-format", "combined", limit=64) as server:
        clients_of_all_kinds(server, root).close()
        end_twice(server)
    with traced.server(root, "-p", "HTTP/1.0", "-q", "--no-listing") as server:
        for status, path in ((200, "/page.bin"), (403, "/many/")):
            with Client(server) as client:
                check(client.send(get(path)).rest().startswith(b"HTTP/1.0 %d " % status), "HTTP/1.0")
    reader, writer = os.pipe()
    with traced.server(root / "page.bin", log=writer) as server:
        check(ask(server, "/").body == PAGE, "a single file")
        fill(server)
        os.read(reader, 1 << 20)
        fill(server)
    os.close(reader)
    os.close(writer)
    for error in ("EINVAL", "EOPNOTSUPP"):
        with traced.server(root, inject=("-e", f"inject=sendfile:error={error}")) as server:
            clients_of_all_kinds(server, root).close()
    with traced.server(root, "-b", "127.0.0.2") as server:
        lose_a_listener(server)
    if os.geteuid() == 0:
        with traced.server(root, "--user", "nobody", "-n", "2") as server:
            ask_everything(server)
            report(server, 2)


@fault("nothing-refused")
def nothing_refused():
    require_strace()
    traced, without = Traced(), ""
    with Site() as site:
        make(site)
        root = site.path / "root"
        try:
            mounted = site.path / "mounted"
            mounted.mkdir()
            with bindfs(root, mounted), traced.server(mounted) as server:
                clients_of_all_kinds(server, root).close()
        except Skip as reason:
            without = f"; {reason}"
        serve(traced, root)
    if not shutil.which("openssl"):
        without += "; HTTPS needs openssl"
    check(not traced.refused, "refused, with an example of each:\n  " + "\n  ".join(traced.refused.values()))
    return f"{traced.calls} system calls of every feature, none refused{without}"
