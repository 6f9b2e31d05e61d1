"""Resources that run out: descriptors, and disk space for request bodies."""

import os
import resource
import shutil
import time

from . import Skip, check, fault, wait_until
from .client import Client, assert_serves, get
from .content import pattern
from .server import Server, Site, in_own_mounts

PAGE = pattern("page", 1024)
BIG = pattern("big", 32 << 20)


@fault("few-descriptors")
def few_descriptors():
    """There are fewer descriptors than clients from the start: the server serves all clients, one after the other."""
    clients = 300
    with Site() as site, Server(site, limit=64) as server:
        site.file("page.bin", PAGE)
        before = server.footprint()
        crowd = [Client(server).send(get("/page.bin", "Connection: close")) for _ in range(clients)]
        for client in crowd:
            reply = client.reply()
            check((reply.status, reply.body) == (200, PAGE), f"status {reply.status}, or wrong bytes")
            client.close()
        most = len(server.descriptors())
        return f"{clients} clients of a server with 64 descriptors, all served; {most} open at the end; {before.check()}"


@fault("no-descriptors")
def no_descriptors():
    """The descriptor limit falls to what is in use while the server serves, and rises again."""
    waiting = 100
    with Site() as site, Server(site) as server:
        site.file("page.bin", PAGE)
        site.file("big.bin", BIG)
        site.file("other.bin", PAGE)
        # The server keeps a file in memory only if it has not just changed.
        time.sleep(0.1)
        at_rest = len(server.descriptors())
        assert_serves(server, "/page.bin", PAGE)
        wait_until("the client is gone", lambda: len(server.descriptors()) == at_rest)
        before = server.footprint()
        download = Client(server, window=65536).send(get("/big.bin"))
        kept = Client(server)
        check(kept.ask("/page.bin").body == PAGE, "wrong bytes")
        download.head()
        highest = max(int(name) for name in os.listdir(f"/proc/{server.pid}/fd"))
        try:
            _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (highest + 1, hard))
        except PermissionError:
            raise Skip("the limit of another process may not be changed here") from None
        free = highest + 1 - len(server.descriptors())
        cpu = server.cpu()
        crowd = [Client(server).send(get("/other.bin")) for _ in range(waiting)]
        # The server closes a cached file some seconds after its last use. To free descriptors for waiting clients it would
        # close connections that are idle or read nothing, so these two keep sending and reading. Kept replies are compared with
        # their files within this time, for which a descriptor would be needed.
        end, received = time.monotonic() + 3, b""
        while time.monotonic() < end:
            received += download.take(1 << 17)
            check(kept.ask("/page.bin").body == PAGE, "wrong bytes of a file in memory, which needs no descriptor")
            check(kept.ask("/other.bin").status == 503, "a file was opened without a descriptor")
            time.sleep(0.02)
        cpu = server.cpu() - cpu
        check(cpu < 0.5, f"{cpu:.2f} s of processor time in 3 s: it spins")
        check(received + download.take(len(BIG) - len(received)) == BIG, "wrong bytes of the download")
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (hard, hard))
        began, refused = time.monotonic(), 0
        for client in crowd:
            reply = client.reply()
            # Each descriptor that was free below the limit lets one waiting client connect. There is none left for its file, so it
            # gets 503, and 100 ms later it has to make room for the next client.
            if reply.status == 503:
                refused += 1
            else:
                check((reply.status, reply.body) == (200, PAGE), f"status {reply.status}, or wrong bytes")
            client.close()
        check(refused <= 35 * free, f"{refused} waiting clients were refused")
        took = time.monotonic() - began
        check(took < 1, f"service came back after {took:.1f} s")
        download.close()
        kept.close()
        return (
            f"3 s without descriptors: 503 for files that must be opened, others served, {cpu * 1000:.0f} ms of processor time; "
            f"{waiting} waiting clients served within {took * 1000:.0f} ms after; {before.check(files=2)}"
        )


def put(server, name, body, chunked=False):
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    if chunked:
        body = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    with Client(server) as client:
        head = f"PUT /{name} HTTP/1.1\r\nHost: x\r\n".encode() + framing + b"\r\n\r\n"
        try:
            client.send(head + body)
        except (BrokenPipeError, ConnectionResetError):
            # The server may refuse the body before all of it was sent.
            pass
        return client.reply().status


@fault("temporary-full")
def temporary_directory_full():
    """Large bodies are spooled to the temporary directory, which has 4 MiB."""
    large, small = pattern("large", 3 << 20), pattern("small", 1000)
    with Site() as site:
        temporary = site.path / "temporary"
        temporary.mkdir()
        wrap = in_own_mounts(f"mount -t tmpfs -o size=4m none {temporary}")
        stored = site.path / "stored"
        stored.mkdir()
        with Server(stored, example="upload", wrap=wrap, env={"TMPDIR": str(temporary)}) as server:
            check(put(server, "first", large) == 201, "the first upload was refused")
            before = server.footprint()
            statuses = []
            for chunked in (False, True) * 3:
                statuses.append(put(server, "too-large", BIG[: 8 << 20], chunked))
                check(put(server, "small", small) == 201, "a small body was refused")
                check(put(server, "second", large) == 201, "the disk space was not freed")
            check(statuses == [507] * 6, f"statuses {statuses}")
            check((stored / "second").read_bytes() == large, "wrong bytes were stored")
            names = sorted(path.name for path in stored.iterdir())
            check(names == ["first", "second", "small"], f"stored: {names}")
            room = shutil.disk_usage(f"/proc/{server.pid}/root{temporary}").used
            check(room == 0, f"{room} bytes are left there")
            return f"6 uploads of 8 MiB into 4 MiB: 507; small ones and the next large one stored; {before.check()}"


@fault("disk-full")
def disk_full():
    """The disk of the handler is full: an upload that does not fit gets an error, and no part of it remains."""
    with Site() as site:
        wrap = in_own_mounts(f"mount -t tmpfs -o size=4m,mode=755 none {site.path}")
        with Server(site, example="upload", wrap=wrap) as server:
            check(put(server, "first", BIG[: 3 << 20]) == 201, "the first upload was refused")
            before = server.footprint()
            status = put(server, "second", BIG[: 3 << 20])
            check(status in (500, 507), f"status {status}")
            check(put(server, "small", PAGE) == 201, "the disk space was not freed")
            names = sorted(os.listdir(f"/proc/{server.pid}/root{site.path}"))
            check(names == ["first", "small"], f"stored: {names}")
            return f"{status}; no part of it remains, a small one is stored; {before.check()}"
