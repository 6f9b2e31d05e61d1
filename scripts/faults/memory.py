"""Memory and disk space that clients make the server hold, and that it must free when they leave; and its memory at rest."""

import os
import time

from . import check, fault, wait_until
from .client import Client, Ended, assert_serves, get
from .content import pattern
from .server import Server, Site, raise_descriptor_limit

CLIENTS = 2000
# KiB of a server that has served and is idle again. Each function that src/layout.ld does not name may bring in 64 KiB of the program.
AT_REST = 2048
PAGE = pattern("page", 60_000)
LONG = "X: " + "x" * 31_000
HEAD = f"POST /page.bin HTTP/1.1\r\nHost: x\r\n{LONG}\r\nContent-Length: 900000\r\n\r\n".encode()

# For each kind of client: what it sends, by how many KiB memory may grow, and how many may remain.
KINDS = {
    "half heads": (get("/page.bin", LONG)[:-4], 4096, 4096),
    "heads of unwanted bodies": (HEAD, 4096, 4096),
    "long heads of downloads": (get("/big.bin", LONG), 4096, 4096),
    "pages that are not read": (get("/page.bin") * 200, 24576, 24576),
    "requests behind a download": (get("/big.bin") + get("/page.bin") * 2000, 24576, 24576),
}


def crowd(server, first):
    """Connects all clients and sends `first` as far as it goes; returns the growth of RSS in KiB, with and after the clients."""
    before = server.resident()
    clients, most = [], 0
    for number in range(CLIENTS):
        client = Client(server, window=4096)
        client.socket.setblocking(False)
        try:
            client.socket.send(first)
        except OSError:
            # The server closed this connection to make room for others.
            pass
        clients.append(client)
        if number % 50 == 0:
            most = max(most, server.resident())
    for _ in range(10):
        time.sleep(0.1)
        most = max(most, server.resident())
    for client in clients:
        client.reset()
    wait_until("all connections are closed", lambda: server.sockets() <= server.own_sockets)
    return most - before, server.resident() - before


@fault("at-rest")
def memory_at_rest():
    """docs/benchmarking.md names the budget as Pss; libraries are left out here, since their Pss depends on other processes."""
    with Site() as site, Server(site, "-q") as server:
        site.file("page.bin", PAGE[:1024])
        for _ in range(20):
            assert_serves(server, "/page.bin", PAGE[:1024])
        server.footprint()
        kib = server.resident_without_libraries()
        check(kib <= AT_REST, f"{kib} KiB without shared libraries; scripts/layout finds the functions that run")
        return f"{kib} KiB without shared libraries, Pss {server.memory()} KiB"


@fault("given-back")
def memory_of_clients_that_are_gone():
    figures = []
    raise_descriptor_limit(CLIENTS + 1000)
    for name, (first, grows, stays) in KINDS.items():
        with Site() as site, Server(site, "-q", limit=CLIENTS + 1000) as server:
            site.file("page.bin", PAGE)
            site.file("big.bin", pattern("big", 32 << 20))
            assert_serves(server, "/page.bin", PAGE)
            most, left = crowd(server, first)
            assert_serves(server, "/page.bin", PAGE)
            check(most < grows, f"{name}: {most} KiB more")
            check(left < stays, f"{name}: {left} KiB remain")
            figures.append(f"{name} +{most} KiB, {left:+} after")
    return f"{CLIENTS} clients each: {'; '.join(figures)}"


@fault("unwanted-body", patient=True)
def bodies_that_trickle_and_that_no_handler_wants():
    """The server replies to each at once, and closes the connection within 30 s, or 5 s after the last byte."""
    kinds = {"1.1 KB a second": b"x" * 1100, "chunks": b"4\r\nbody\r\n", "nothing": b""}
    with Site() as site, Server(site) as server:
        site.file("page.bin", PAGE)
        before = server.footprint()
        clients = {}
        for name in kinds:
            framing = "Transfer-Encoding: chunked" if name == "chunks" else "Content-Length: 1000000"
            began = time.monotonic()
            client = Client(server).send(get("/page.bin", framing, method="POST"))
            check(client.reply().status == 405, "POST to a file is not refused with 405")
            clients[name] = (client, time.monotonic() - began, began)
            check(clients[name][1] < 1, f"{name}: reply after {clients[name][1]:.1f} s")
        lasted, end = {}, time.monotonic() + 40
        while clients and time.monotonic() < end:
            for name, (client, _, began) in list(clients.items()):
                try:
                    client.send(kinds[name])
                    is_open = client.is_open()
                except (OSError, Ended):
                    is_open = False
                if not is_open:
                    lasted[name] = time.monotonic() - began
                    client.close()
                    del clients[name]
            time.sleep(1)
        check(not clients, f"open after 40 s: {', '.join(clients)}")
        check(lasted["nothing"] < 8 and max(lasted.values()) < 33, f"closed after {lasted}")
        shown = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in lasted.items())
        return f"replies at once; closed after {shown}; {before.check()}"


def temporary(server):
    return sum(target.endswith("(deleted)") for target in server.descriptors())


@fault("spooled-bodies")
def more_bodies_than_there_is_room_for():
    """Uploads that stop midway: the server refuses those beyond its limits with 503, and has room again when some end."""
    with Site() as site, Server(site, example="upload") as server:
        before, own_files = server.footprint(), temporary(server)
        head = "PUT /{} HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"
        statuses, held = [], []
        for number in range(100):
            client = Client(server).send(head.format(f"large-{number}").encode() + bytes(150_000))
            held.append(client)
        time.sleep(1)
        for client in held:
            if not client.is_open():
                reply = client.reply()
                check(reply.fields.get("retry-after"), "no Retry-After")
                statuses.append(reply.status)
        check(statuses == [503] * 36, f"of 100 uploads in files, these were refused: {statuses}")
        files = temporary(server) - own_files
        check(files == 64, f"{files} temporary files")
        small = b"PUT /small HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
        check(Client(server).send(small).reply().status == 201, "a small upload is refused")
        for client in held:
            client.close()
        wait_until("all connections are closed", lambda: server.sockets() <= server.own_sockets)
        large = head.format("large").encode() + bytes(200_000)
        check(Client(server).send(large).reply().status == 201, "an upload is refused though there is room")
        check(sorted(os.listdir(site.path)) == ["large", "small"], "a part of an upload was stored")
        return f"36 of 100 refused, 64 files, small ones stored; {before.check(kib=4096)}"
