"""What runs out: descriptors, and room for bodies."""

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
    """From the start there are fewer descriptors than clients: all are served, one after the other."""
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
        return f"{clients} clients of a server with 64 descriptors, all served; {most} left; {before.check()}"


@fault("no-descriptors")
def no_descriptors():
    """All are taken away while it serves, and given back."""
    waiting = 50
    with Site() as site, Server(site) as server:
        site.file("page.bin", PAGE)
        site.file("big.bin", BIG)
        site.file("other.bin", PAGE)
        # What has not just changed is kept in memory.
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
        cpu = server.cpu()
        crowd = [Client(server).send(get("/other.bin")) for _ in range(waiting)]
        # A file that is kept open gives its descriptor back some seconds after its last use. Whoever is idle, or reads nothing,
        # would have to make room for those who wait.
        end, received = time.monotonic() + 2, b""
        while time.monotonic() < end:
            received += download.take(1 << 17)
            check(kept.ask("/page.bin").body == PAGE, "what is kept needs no descriptor: wrong bytes")
            check(kept.ask("/other.bin").status == 503, "a file was opened without a descriptor")
            time.sleep(0.02)
        cpu = server.cpu() - cpu
        check(cpu < 0.5, f"{cpu:.2f} s of the processor in 2 s: it spins")
        check(received + download.take(len(BIG) - len(received)) == BIG, "the download: wrong bytes")
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (hard, hard))
        began, refused = time.monotonic(), 0
        for client in crowd:
            reply = client.reply()
            # A descriptor that is given back meanwhile lets one of them in. There is none for its file, and 100 ms later it makes
            # room for the next one.
            if reply.status == 503:
                refused += 1
            else:
                check((reply.status, reply.body) == (200, PAGE), f"status {reply.status}, or wrong bytes")
            client.close()
        check(refused <= 25, f"{refused} of those who waited were refused")
        took = time.monotonic() - began
        check(took < 1, f"service came back after {took:.1f} s")
        download.close()
        kept.close()
        return (
            f"2 s without: 503 for files that must be opened, others served, {cpu * 1000:.0f} ms of the processor; "
            f"{waiting} waiting served {took * 1000:.0f} ms after; {before.check(files=2)}"
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
            # It need not wait for a body that has no place.
            pass
        return client.reply().status


@fault("temporary-full")
def temporary_directory_full():
    """Large bodies wait in the temporary directory; there is room for one of 4 MiB at a time."""
    large, small = pattern("large", 3 << 20), pattern("small", 1000)
    with Site() as site:
        temporary = site.path / "temporary"
        temporary.mkdir()
        wrap = in_own_mounts(f"mount -t tmpfs -o size=4m none {temporary}")
        stored = site.path / "stored"
        stored.mkdir()
        with Server(stored, example="upload", wrap=wrap, env={"TMPDIR": str(temporary)}) as server:
            check(put(server, "first", large) == 201, "there was room for the first")
            before = server.footprint()
            statuses = []
            for chunked in (False, True) * 3:
                statuses.append(put(server, "too-large", BIG[: 8 << 20], chunked))
                check(put(server, "small", small) == 201, "a small body was refused")
                check(put(server, "second", large) == 201, "the room was not given back")
            check(statuses == [507] * 6, f"statuses {statuses}")
            check((stored / "second").read_bytes() == large, "wrong bytes were stored")
            names = sorted(path.name for path in stored.iterdir())
            check(names == ["first", "second", "small"], f"stored: {names}")
            room = shutil.disk_usage(f"/proc/{server.pid}/root{temporary}").used
            check(room == 0, f"{room} bytes are left there")
            return f"6 uploads of 8 MiB into 4 MiB: 507; small ones and the next large one stored; {before.check()}"


@fault("disk-full")
def disk_full():
    """The handler's own disk is full: what it cannot store is a 500, and nothing of it stays."""
    with Site() as site:
        wrap = in_own_mounts(f"mount -t tmpfs -o size=4m,mode=755 none {site.path}")
        with Server(site, example="upload", wrap=wrap) as server:
            check(put(server, "first", BIG[: 3 << 20]) == 201, "there was room for the first")
            before = server.footprint()
            status = put(server, "second", BIG[: 3 << 20])
            check(status in (500, 507), f"status {status}")
            check(put(server, "small", PAGE) == 201, "the room was not given back")
            names = sorted(os.listdir(f"/proc/{server.pid}/root{site.path}"))
            check(names == ["first", "small"], f"stored: {names}")
            return f"{status}; nothing of it is left, a small one is stored; {before.check()}"
