"""Files that change while they are served: what had begun ends as announced or breaks off, what comes next is true."""

import contextlib
import multiprocessing
import os
import signal
import socket
import time

from . import check, fault, wait_until
from .client import Client, assert_serves, ask, get
from .content import pattern
from .server import Server, Site, as_nobody

LENGTH = 32 << 20
OLD, NEW = pattern("old", LENGTH), pattern("new", LENGTH)
SMALL = pattern("small", 1000)
# Seconds after which a large file without requests is closed, and one for a machine that has other things to do.
CLOSED_AFTER = 6


@contextlib.contextmanager
def download(**options):
    """A server, and a client that has begun to read `big.bin` and does not go on yet."""
    with Site() as site:
        big = site.file("big.bin", OLD)
        site.file("small.bin", SMALL)
        with Server(site, **options) as server:
            # Files that have not just changed are kept by the server, once they were asked for.
            time.sleep(0.1)
            for _ in range(2):
                assert_serves(server, "/big.bin", OLD)
                assert_serves(server, "/small.bin", SMALL)
            before = server.footprint()
            with Client(server, window=65536) as client:
                head = client.send(get("/big.bin")).head()
                check(head.fields["content-length"] == str(LENGTH), "wrong length")
                yield site, big, server, client
            before.check(kib=4096, files=1)


def finish(client, expected=OLD):
    """Reads the rest of the download, which must be as it was announced, and leaves the connection in step."""
    check(client.take(LENGTH) == expected, "wrong bytes")
    check(client.is_open(), "the connection was closed after a whole reply")


def status_of(server, path, status):
    reply = ask(server, path)
    check(reply.status == status, f"{path}: {reply.status} where {status} was expected")


@fault("file-shrinks")
def shrinking():
    with download() as (_, big, server, client):
        os.truncate(big, 1 << 20)
        rest = client.rest()
        check(1 << 20 <= len(rest) < LENGTH, f"{len(rest)} bytes")
        check(rest[: 1 << 20] == OLD[: 1 << 20], "wrong bytes")
        # The socket holds pages of the file itself, and the kernel may empty those behind the new end.
        for place in range(1 << 20, len(rest), 4096):
            page = rest[place : place + 4096]
            check(page == OLD[place : place + len(page)] or not any(page), f"wrong bytes at {place}")
        assert_serves(server, "/big.bin", OLD[: 1 << 20])
        os.truncate(big, 0)
        assert_serves(server, "/big.bin", b"")
        return f"broken off after {len(rest)} of {LENGTH} bytes; the next reply has the new length"


@fault("file-grows")
def growing():
    with download() as (_, big, server, client):
        with big.open("ab") as file:
            file.write(NEW)
        finish(client)
        assert_serves(server, "/big.bin", OLD + NEW)
        return f"{LENGTH} bytes as announced; the next reply has {2 * LENGTH}"


@fault("file-deleted")
def deleted():
    """The room of a deleted file is given back soon, whether or not somebody asks for it again."""
    with download() as (_, big, server, client):
        big.unlink()
        finish(client)

        def held():
            return [name for name in server.descriptors() if "big.bin" in name]

        took = wait_until("the deleted file is closed", lambda: not held(), CLOSED_AFTER)
        status_of(server, "/big.bin", 404)
        return f"sent to its end; closed {took:.1f} s later, though nobody asked for it; then 404"


@fault("file-replaced")
def replaced():
    with download() as (site, big, server, client):
        for round_, content in enumerate([NEW, OLD, NEW]):
            os.replace(site.file("new.bin", content), big)
            assert_serves(server, "/big.bin", content)
            # Same size, same name, put there within a tick of the clock.
            small = pattern(f"small {round_}", 1000)
            os.replace(site.file("new.bin", small), site.path / "small.bin")
            assert_serves(server, "/small.bin", small)
        finish(client)
        os.replace(site.file("new.bin", SMALL), site.path / "small.bin")
        return "the old one sent to its end; every request after a rename got the new one, 6 of 6"


@fault("changed-midway")
def changed_midway():
    """A file changes after the server has answered a request for it, and while it still answers others of the same turn; the
    next request for it is on its way already."""
    rounds, crowd = 40, 100
    stale = {"replaced": 0, "deleted": 0, "made": 0}
    with Site() as site, Server(site) as server, contextlib.ExitStack() as stack:
        first, *others = [stack.enter_context(Client(server)) for _ in range(crowd + 1)]
        late = stack.enter_context(Client(server))
        # Its second piece does not wait until the first is acknowledged.
        late.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = get("/file")
        place = site.path / "file"
        site.file("long", pattern("long", 60_000))
        for number in range(rounds):
            for way in stale:
                old, new = f"old {number}".encode(), f"new {number}".encode()
                if way != "made":
                    site.file("file", old)
                if way != "deleted":
                    site.file("next", new)
                # What has just changed need not be kept; this is to be.
                time.sleep(0.06)
                for _ in range(2):
                    first.ask("/file")
                server.signal(signal.SIGSTOP)
                first.send(request)
                for client in others:
                    # So that their answers take a while.
                    client.send(get("/long"))
                late.send(request[:8])
                # It goes on in short steps, so that the change comes in the middle of the turn.
                while first.is_open():
                    server.signal(signal.SIGCONT)
                    time.sleep(0.0002)
                    server.signal(signal.SIGSTOP)
                if way == "deleted":
                    place.unlink()
                else:
                    os.replace(site.path / "next", place)
                late.send(request[8:])
                server.signal(signal.SIGCONT)
                reply = late.reply()
                first.reply()
                stale[way] += (reply.status, reply.body) != (200, new) if way != "deleted" else reply.status != 404
                for client in others:
                    client.reply()
                place.unlink(missing_ok=True)
        figures = ", ".join(f"{way} {count}" for way, count in stale.items())
        check(not any(stale.values()), f"stale replies of {rounds} each: {figures}")
    return f"{crowd} others are answered meanwhile; stale replies of {rounds} each: {figures}"


@fault("permission-taken")
def permission():
    with download(wrap=as_nobody()) as (site, big, server, client):
        for path in (big, site.path / "small.bin"):
            path.chmod(0)
            status_of(server, "/" + path.name, 403)
        finish(client)
        site.path.chmod(0o700 if os.geteuid() == 0 else 0)
        status_of(server, "/small.bin", 403)
        status_of(server, "/", 403)
        site.path.chmod(0o755)
        for path, content in ((big, OLD), (site.path / "small.bin", SMALL)):
            path.chmod(0o644)
            assert_serves(server, "/" + path.name, content)
        return "what had begun is sent to its end; then 403, of kept files too; 200 when it is given back"


def append_to(path):
    """Appends 1,000 lines a second, until it is ended."""
    with open(path, "ab", buffering=0) as file:
        due = time.monotonic()
        while True:
            file.write(b"a line of a log\n")
            due += 0.001
            if (left := due - time.monotonic()) > 0:
                time.sleep(left)


@fault("neighbour-grows")
def neighbour_grows():
    """What it costs that a log grows in the directory of a file that is asked for a lot."""
    clients, seconds, slices = 32, 0.5, 8
    served, cpu, took = {False: 0, True: 0}, {False: 0.0, True: 0.0}, {False: 0.0, True: 0.0}
    with Site() as site, Server(site, "-q") as server, contextlib.ExitStack() as stack:
        site.file("small.bin", SMALL)
        time.sleep(0.1)
        crowd = [stack.enter_context(Client(server)) for _ in range(clients)]

        def ask_all():
            for client in crowd:
                client.send(get("/small.bin"))
            for client in crowd:
                check(client.reply().body == SMALL, "wrong bytes")

        ask_all()
        # In turns, so that what else the machine does disturbs both.
        for number in range(slices):
            grows = number % 2 == 1
            writer = multiprocessing.Process(target=append_to, args=(site.path / "log",), daemon=True)
            if grows:
                writer.start()
            before, began = server.cpu(), time.monotonic()
            while time.monotonic() < began + seconds:
                ask_all()
                served[grows] += clients
            cpu[grows] += server.cpu() - before
            took[grows] += time.monotonic() - began
            if grows:
                writer.kill()
                writer.join()
        lines = os.path.getsize(site.path / "log") // len(b"a line of a log\n")
    rates = {grows: served[grows] / max(cpu[grows], 0.01) for grows in served}
    ratio = rates[True] / rates[False]
    check(ratio > 0.3, f"only {ratio:.2f} of the requests in the same processor time")
    return (
        f"requests in a second of processor time: {rates[False]:.0f} alone, {rates[True]:.0f} beside a file with "
        f"{lines / took[True]:.0f} more lines a second: {ratio:.2f} of it"
    )
