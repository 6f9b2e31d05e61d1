"""The environment of the process: its standard error, sendfile, stops, its clock, its port and its sockets."""

import contextlib
import ctypes
import glob
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

from . import Skip, check, fault, wait_until
from .client import Client, assert_serves, get
from .content import pattern
from .server import Server, Site, program, require_strace

PAGE = pattern("page", 1024)
BIG = pattern("big", 32 << 20)
DAY = 86_400
# Head deadline of ServerConfig::default().
HEAD_TIMEOUT = 10


def serve_with_log(log, wrap=(), before=lambda: None):
    """Makes the server log enough long lines to fill any pipe, and ends it in order."""
    requests = 400
    long = "/page.bin?" + "x" * 4000
    with Site() as site, Server(site, log=log, wrap=wrap) as server:
        site.file("page.bin", PAGE)
        before()
        footprint = None
        with Client(server) as client:
            for number in range(requests):
                reply = client.ask(long)
                check(
                    (reply.status, reply.body) == (200, PAGE),
                    f"request {number}: status {reply.status}, or wrong bytes",
                )
                if number == 50:
                    footprint = server.memory()
        grown = server.memory() - footprint
        check(grown < 2048, f"{grown} KiB of memory more")
        began = time.monotonic()
        server.end()
        took = time.monotonic() - began
        check(took < 5, f"the end took {took:.1f} s")
        return f"{requests} of {requests} served, memory {grown:+} KiB, exit code 0 after {took * 1000:.0f} ms"


@fault("stderr-closed")
def stderr_closed():
    return serve_with_log(subprocess.DEVNULL, wrap=("sh", "-c", 'exec "$@" 2>&-', "sh"))


@fault("stderr-full")
def stderr_full():
    with open("/dev/full", "w") as full:
        return serve_with_log(full)


@fault("stderr-dead-pipe")
def stderr_dead_pipe():
    reader, writer = os.pipe()
    try:
        return serve_with_log(writer, before=lambda: os.close(reader))
    finally:
        os.close(writer)


@fault("stderr-unread")
def stderr_unread():
    reader, writer = os.pipe()
    try:
        return serve_with_log(writer)
    finally:
        os.close(reader)
        os.close(writer)


def parts_of(reply):
    """Splits a multipart reply; yields its ranges and their bytes."""
    boundary = reply.fields["content-type"].partition("boundary=")[2].encode()
    # The body may begin with the boundary, or with CR LF before it.
    first, *parts, last = (b"\r\n" + reply.body.removeprefix(b"\r\n")).split(b"\r\n--" + boundary)
    check((first, last) == (b"", b"--\r\n"), "a multipart reply is not complete")
    for part in parts:
        head, _, content = part.partition(b"\r\n\r\n")
        yield re.search(rb"\r\nContent-Range: bytes (\d+-\d+)/", head)[1].decode(), content


@fault("sendfile-refused")
def sendfile_refused():
    """A file system without sendfile, simulated by strace: the server sends all announced bytes in another way."""
    require_strace()
    content = BIG[: 4 << 20]
    ranges = ["0-999999", "1500000-1500009", "2000000-4194303"]
    calls = []
    for error in ("EINVAL", "ENOSYS", "EOPNOTSUPP"):
        with tempfile.NamedTemporaryFile() as trace, Site() as site:
            # The tracer is a grandchild, so that the process is the server itself.
            wrap = ["strace", "-D", "-f", "-qq", "-o", trace.name, "-e", "trace=sendfile"]
            with Server(site, wrap=[*wrap, "-e", f"inject=sendfile:error={error}"]) as server:
                site.file("big.bin", content)
                # The server caches a file that has not just changed, and remembers that sendfile failed for it.
                time.sleep(0.1)
                before = server.footprint()
                with Client(server) as client:
                    for _ in range(3):
                        reply = client.ask("/big.bin")
                        check((reply.status, reply.body) == (200, content), f"{error}: wrong bytes of the whole file")
                    reply = client.ask("/big.bin", "Range: bytes=1000000-3999999")
                    expected = (206, content[1_000_000:4_000_000])
                    check((reply.status, reply.body) == expected, f"{error}: wrong bytes of a range")
                    reply = client.ask("/big.bin", f"Range: bytes={','.join(ranges)}")
                    check(reply.status == 206, f"{error}: several ranges: status {reply.status}")
                    parts = list(parts_of(reply))
                    check([name for name, _ in parts] == ranges, f"{error}: {[name for name, _ in parts]}")
                    for name, part in parts:
                        first, last = map(int, name.split("-"))
                        check(part == content[first : last + 1], f"{error}: wrong bytes of {name}")
                with Client(server, window=65536) as slow:
                    check(slow.ask("/big.bin").body == content, f"{error}: wrong bytes for a slow reader")
                figures = before.check(files=1)
            calls.append(Path(trace.name).read_text().count("(INJECTED)"))
    # The server tries sendfile once for each open file: once in all if the file stays open in the cache, up to three times if not.
    check(all(1 <= count <= 3 for count in calls), f"{calls} calls of sendfile")
    return f"EINVAL, ENOSYS, EOPNOTSUPP: 6 replies each, all bytes, sendfile tried {calls[0]} times each; {figures}"


@fault("stopped", patient=True)
def stopped():
    """SIGSTOP for longer than the head deadline: the time that the server was stopped does not count for its clients."""
    with Site() as site, Server(site) as server:
        site.file("page.bin", PAGE)
        site.file("big.bin", BIG)
        assert_serves(server, "/page.bin", PAGE)
        before = server.footprint()
        idle = Client(server)
        check(idle.ask("/page.bin").body == PAGE, "wrong bytes")
        half = Client(server).send(b"GET /page.bin HTTP/1.1\r\nHo")
        download = Client(server, window=65536).send(get("/big.bin"))
        download.head()
        time.sleep(0.1)
        server.signal(signal.SIGSTOP)
        crowd = [Client(server).send(get("/page.bin")) for _ in range(50)]
        half.send(b"st: x\r\n\r\n")
        idle.send(get("/page.bin"))
        time.sleep(HEAD_TIMEOUT + 1)
        server.signal(signal.SIGCONT)
        began = time.monotonic()
        for client in (idle, half, *crowd):
            reply = client.reply()
            check((reply.status, reply.body) == (200, PAGE), f"status {reply.status}, or wrong bytes")
            client.close()
        took = time.monotonic() - began
        check(download.take(len(BIG)) == BIG, "the download: wrong bytes")
        download.close()
        return (
            f"after {HEAD_TIMEOUT + 1} s: an idle client, one amid its request and 50 new ones served within {took * 1000:.0f} ms "
            f"after SIGCONT, a download went on; {before.check(files=1)}"
        )


def libfaketime():
    for pattern_ in (
        "/usr/lib/*/faketime/libfaketime.so.1",
        "/usr/lib/faketime/libfaketime.so.1",
        "/usr/lib64/faketime/libfaketime.so.1",
    ):
        for path in glob.glob(pattern_):
            return path
    raise Skip("libfaketime is missing (apt-get install faketime)")


@fault("clock-stepped", patient=True)
def clock_stepped():
    """The wall clock goes a day forward and two days back; the monotonic clock does not change."""
    with Site() as site:
        # It is in the served directory, because the confined process can read nothing else.
        place = site.path / ".clock"

        def step(days):
            place.write_text(f"{days:+}d" if days else "+0")
            return time.time() + days * DAY

        step(0)
        clock = {
            "LD_PRELOAD": libfaketime(),
            "FAKETIME_TIMESTAMP_FILE": str(place),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        with Server(site, env=clock) as server:
            path = site.file("page.bin", PAGE)
            time.sleep(0.1)
            assert_serves(server, "/page.bin", PAGE)
            before = server.footprint()
            with Client(server) as kept:
                tag = kept.ask("/page.bin").fields["etag"]
                for days in (1, -1, 0):
                    expected = step(days)
                    # The head deadline of this client spans the next step.
                    slow = Client(server).send(b"GET /page.bin HTTP/1.1\r\n")
                    began = time.monotonic()
                    reply = kept.ask("/page.bin")
                    date = parsedate_to_datetime(reply.fields["date"]).timestamp()
                    check(abs(date - expected) < 5, f"Date is {reply.fields['date']} at {days:+} days")
                    modified = parsedate_to_datetime(reply.fields["last-modified"]).timestamp()
                    check(modified <= date, f"Last-Modified is in the future at {days:+} days")
                    check((reply.body, reply.fields["etag"]) == (PAGE, tag), "wrong bytes or tag")
                    check(kept.ask("/page.bin", f"If-None-Match: {tag}").status == 304, "no 304 for a known tag")
                    fresh = pattern(f"fresh {days}", 1024)
                    path.write_bytes(fresh)
                    check(kept.ask("/page.bin").body == fresh, "a stale reply")
                    path.write_bytes(PAGE)
                    # The tag of a file that has just changed is valid for a moment only.
                    time.sleep(0.1)
                    tag = kept.ask("/page.bin").fields["etag"]
                    if days == 1:
                        slow.socket.settimeout(20)
                        first = slow, began
                    else:
                        slow.close()
                # Its connection was opened before the clock went two days back; its deadline is as on any other day.
                reply = first[0].reply()
                took = time.monotonic() - first[1]
                check(reply.status == 408, f"status {reply.status}")
                check(HEAD_TIMEOUT - 0.1 < took < HEAD_TIMEOUT + 1, f"408 after {took:.1f} s")
                first[0].close()
                check(kept.ask("/page.bin").body == PAGE, "wrong bytes on the kept connection")
            log = server.last_words(1 << 20).count(time.strftime("%d/%b/%Y", time.gmtime(time.time() + DAY)))
            check(log > 0, "the log does not follow the clock")
            place.unlink()
            return (
                f"+1, −1 and 0 days: Date and log follow, Last-Modified never later than Date, nothing stale; "
                f"408 after {took:.1f} s, a kept connection stays; {before.check(files=1)}"
            )


@fault("port-taken")
def port_taken():
    with Site() as site, Server(site, "-n", "2") as server:
        site.file("page.bin", PAGE)
        for loops in ("1", "2"):
            command = [program(), str(server.port), "-b", server.host, "-n", loops]
            done = subprocess.run(command, capture_output=True, timeout=10, check=False)
            said = done.stderr.decode()
            check(done.returncode == 1, f"exit code {done.returncode}")
            check(said.count("\n") == 1 and "in use" in said and str(server.port) in said, f"the message is {said!r}")
            for _ in range(20):
                assert_serves(server, "/page.bin", PAGE)
        return f"exit code 1 and one line ({said.strip()}); the first server still serves"


def listening_sockets(server):
    """Returns the descriptors of the server that are listening sockets."""
    inodes = set()
    for line in Path(f"/proc/{server.pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A":
            inodes.add(f"socket:[{fields[9]}]")
    folder = f"/proc/{server.pid}/fd"
    return [int(name) for name in os.listdir(folder) if os.readlink(f"{folder}/{name}") in inodes]


def take_descriptor(server, number):
    """Duplicates a socket of another process into this one (pidfd_getfd, Linux 5.6)."""
    process = os.pidfd_open(server.pid)
    taken = ctypes.CDLL(None, use_errno=True).syscall(438, process, number, 0)
    os.close(process)
    if taken < 0:
        raise Skip(f"sockets of other processes cannot be duplicated here: {os.strerror(ctypes.get_errno())}")
    return socket.socket(fileno=taken)


@fault("listener-dies")
def listener_dies():
    """One of two listening sockets is shut down from outside the server."""
    with Site() as site, Server(site, "-b", "127.0.0.2") as server:
        site.file("page.bin", PAGE)
        assert_serves(server, "/page.bin", PAGE)
        listeners = listening_sockets(server)
        check(len(listeners) == 2, f"{len(listeners)} sockets listen")
        dying = take_descriptor(server, listeners[0])
        dying.shutdown(socket.SHUT_RD)
        dying.close()
        wait_until("the log names the lost socket", lambda: " is lost: " in server.last_words())
        said = server.last_words().splitlines()[-1]
        serving = 0
        for host in ("127.0.0.1", "127.0.0.2"):
            with contextlib.suppress(OSError), socket.create_connection((host, server.port), 1) as client:
                client.sendall(b"GET /page.bin HTTP/1.0\r\n\r\n")
                serving += client.recv(15) == b"HTTP/1.1 200 OK"
        check(serving == 1, f"{serving} sockets serve")
        server.process.terminate()
        code = server.process.wait()
        server.has_ended = True
        check(code == 1, f"exit code {code}")
        return f"a line ({said}); the other socket still serves; exit code 1 at the end"
