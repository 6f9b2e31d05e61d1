"""Proxies that speak TLS with the server, and proxies that pass it on."""

import contextlib
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from faults import wait_until
from load.balanced import QUIET, listens

from . import HELLO, LARGE, check, find, free_port, run, serving, tries

REQUESTS = 40

HAPROXY = """global
    maxconn 100
defaults
    timeout connect 5s
    timeout client 10s
    timeout server 10s
    timeout check 2s
frontend front
    mode {mode}
    bind 127.0.0.1:{port}
    default_backend back
backend back
    mode {mode}
    {reuse}
    server node 127.0.0.1:{server} {words}
listen statistics
    mode http
    bind 127.0.0.1:{statistics}
    stats enable
    stats uri /
"""
NGINX = """daemon off; master_process off; pid {folder}/pid; error_log /dev/null;
events {{ }}
http {{ access_log off; {temporary}
upstream node {{ server 127.0.0.1:{server}; keepalive 4; }}
server {{ listen 127.0.0.1:{port}; location / {{
proxy_pass https://node; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host localhost;
proxy_ssl_verify on; proxy_ssl_trusted_certificate {ca}; proxy_ssl_name localhost; proxy_ssl_server_name on;
}} }} }}
"""


@contextlib.contextmanager
def haproxy(server, mode, words):
    tool, port, statistics = find("haproxy"), free_port(), free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as file:
        reuse = "http-reuse always" if mode == "http" else ""
        file.write(HAPROXY.format(mode=mode, port=port, statistics=statistics, server=server.port, words=words, reuse=reuse))
        file.flush()
        with started([tool, "-db", "-f", file.name], port):
            yield port, statistics


@contextlib.contextmanager
def started(command, port):
    process = subprocess.Popen(command, **QUIET)
    try:
        wait_until(f"{Path(command[0]).name} listens", lambda: listens(("127.0.0.1", port)))
        yield
    finally:
        process.terminate()
        process.wait(20)


def fetch(port, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=10) as reply:
        return reply.read()


def handshakes(server):
    """Returns how many handshakes the server has seen, by its metrics."""
    admin = server.process.stdout.readline().decode().split()[-1]
    with urllib.request.urlopen(f"{admin}metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    return int(next(line for line in lines if line.startswith("httpoll_tls_handshakes_total ")).split()[1])


def check_replies(port, server):
    """Checks replies, and that few connections carry them."""
    for _ in range(REQUESTS):
        reply = fetch(port, "hello.txt")
        check(reply == HELLO, f"a wrong reply: {reply}")
    count = handshakes(server)
    check(count <= REQUESTS / 2, f"{count} handshakes for {REQUESTS} requests")
    return f"{REQUESTS} replies over few connections"


@tries("HAProxy", "as a client: ssl verify required")
def client(certificates):
    words = f"ssl verify required ca-file {certificates.ca} verifyhost localhost sni str(localhost)"
    with serving(certificates.ecdsa, "-q", "--admin", "127.0.0.1:0") as server, haproxy(server, "http", words) as (port, _):
        # HAProxy 2.6 sometimes leaves the end of a large file in its TLS library until a timeout, with other servers, too.
        return check_replies(port, server)


@tries("HAProxy", "checks of health: check-ssl, every 50 ms")
def health(certificates):
    words = f"ssl verify required ca-file {certificates.ca} verifyhost localhost check check-ssl inter 50ms"
    with serving(certificates.ecdsa, "-q") as server:
        for kind in ("", " check-sni localhost check-alpn http/1.1"):
            with haproxy(server, "http", words + kind) as (port, statistics):
                check(fetch(port, "hello.txt") == HELLO, "a wrong reply")
                time.sleep(2)
                lines = run("curl", "--silent", f"http://127.0.0.1:{statistics}/;csv").splitlines()
                (node,) = [line.split(",") for line in lines if line.startswith("back,node,")]
                fields = dict(zip(lines[0].lstrip("# ").split(","), node))
                check(fields["status"] == "UP" and fields["chkfail"] == "0", f"status {fields['status']}, failed {fields['chkfail']}")
    return "no check fails in 2 s"


@tries("HAProxy", "TLS passed on with the PROXY protocol")
def passed_on(certificates):
    options = ["--proxy-protocol", "--trusted-proxy", "127.0.0.0/8"]
    with serving(certificates.ecdsa, *options) as server, haproxy(server, "tcp", "send-proxy-v2") as (port, _):
        url = f"https://localhost:{port}/hello.txt"
        text = run("curl", "--silent", "--interface", "127.0.0.5", "--cacert", certificates.ca, url)
        check(text.encode() == HELLO, text)
        wait_until("the log names the client", lambda: "\n127.0.0.5 - - " in f"\n{server.last_words()}")
    return "the header comes before the handshake, and the log names the client"


@tries("nginx", "proxy_pass https:// with proxy_ssl_verify and keepalive")
def nginx(certificates):
    tool, port = find("nginx"), free_port()
    with serving(certificates.ecdsa, "-q", "--admin", "127.0.0.1:0") as server, tempfile.TemporaryDirectory() as folder:
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        text = NGINX.format(folder=folder, temporary=temporary, server=server.port, port=port, ca=certificates.ca)
        (Path(folder) / "nginx.conf").write_text(text)
        with started([tool, "-e", "/dev/null", "-c", f"{folder}/nginx.conf"], port):
            check(fetch(port, "large.bin") == LARGE, "the file differs")
            return f"{check_replies(port, server)}, and a file of 4 MiB"
