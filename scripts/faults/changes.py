"""Files that change while they are served: a reply in flight ends as announced or is cut, and the next reply is current."""

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
# Seconds after which the server closes a large file without requests, and one more for a busy machine.
CLOSED_AFTER = 6


@contextlib.contextmanager
def download(**options):
    """Yields a server, and a client that has read the head of the reply for `big.bin` but not its body."""
    with Site() as site:
        big = site.file("big.bin", OLD)
        site.file("small.bin", SMALL)
        with Server(site, **options) as server:
            # The server caches files that have not just changed when they are asked for.
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
    """Reads the body of the download, which must be as announced; the connection must stay open."""
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
        # The socket refers to pages of the file itself, and the kernel may clear those behind the new end.
        for place in range(1 << 20, len(rest), 4096):
            page = rest[place : place + 4096]
            check(page == OLD[place : place + len(page)] or not any(page), f"wrong bytes at {place}")
        assert_serves(server, "/big.bin", OLD[: 1 << 20])
        os.truncate(big, 0)
        assert_serves(server, "/big.bin", b"")
        return f"cut after {len(rest)} of {LENGTH} bytes; the next reply has the new length"


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
    """The server closes a deleted file soon, with or without another request for it, so that its disk space is freed."""
    with download() as (_, big, server, client):
        big.unlink()
        finish(client)

        def held():
            return [name for name in server.descriptors() if "big.bin" in name]

        took = wait_until("the deleted file is closed", lambda: not held(), CLOSED_AFTER)
        status_of(server, "/big.bin", 404)
        return f"sent to its end; closed {took:.1f} s later without a request; then 404"


@fault("file-replaced")
def replaced():
    with download() as (site, big, server, client):
        for round_, content in enumerate([NEW, OLD, NEW]):
            os.replace(site.file("new.bin", content), big)
            assert_serves(server, "/big.bin", content)
            # The same size and name, renamed into place within a tick of the clock.
            small = pattern(f"small {round_}", 1000)
            os.replace(site.file("new.bin", small), site.path / "small.bin")
            assert_serves(server, "/small.bin", small)
        finish(client)
        os.replace(site.file("new.bin", SMALL), site.path / "small.bin")
        return "the old file sent to its end; every request after a rename got the new file, 6 of 6"


@fault("changed-midway")
def changed_midway():
    """A file changes after the server has replied to a request for it, while the server still replies to others of the same
    turn; the first bytes of the next request for it have been sent before the change."""
    rounds, crowd = 40, 100
    stale = {"replaced": 0, "deleted": 0, "made": 0}
    with Site() as site, Server(site) as server, contextlib.ExitStack() as stack:
        first, *others = [stack.enter_context(Client(server)) for _ in range(crowd + 1)]
        late = stack.enter_context(Client(server))
        # Nagle's algorithm would hold back the second piece of its request until the first is acknowledged.
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
                # The server need not cache a file that has just changed, and this one should be cached.
                time.sleep(0.06)
                for _ in range(2):
                    first.ask("/file")
                server.signal(signal.SIGSTOP)
                first.send(request)
                for client in others:
                    # These replies keep the server busy for a while.
                    client.send(get("/long"))
                late.send(request[:8])
                # The server continues in short steps, so that the change falls into the middle of the turn.
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
    return f"{crowd} other requests in the turn; stale replies of {rounds} each: {figures}"


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
        return "a reply in flight is sent to its end; then 403, for cached files too; 200 when the permission is back"


def append_to(path):
    """Appends 1,000 lines a second until it is killed."""
    with open(path, "ab", buffering=0) as file:
        due = time.monotonic()
        while True:
            file.write(b"a line of a log\n")
            due += 0.001
            if (left := due - time.monotonic()) > 0:
                time.sleep(left)


@fault("neighbour-grows")
def neighbour_grows():
    """Measures what a log that grows in the served directory costs requests for another file."""
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
        # In turns, so that other load on the machine affects both alike.
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
