"""Crowds of handshakes that are not completed, and handshakes with wrong bytes."""

import contextlib
import functools
import multiprocessing
import random
import select
import time

from . import check, fault, latencies, percentile, wait_until
from .client import Bystander, Client, assert_serves, get
from .content import pattern
from .secure import VERSIONS, Authority, Handshake, SecureClient
from .server import Server, Site, raise_descriptor_limit

CROWD = 10_000
# Complete hellos that arrive in each of so many seconds; the server signs for each.
FLOOD, FLOODED = 2_000, 6
# KiB for each connection that has begun a handshake.
EACH = 8
HEAD_TIMEOUT = 10
MEASURED = 6
PAGE = pattern("page", 1024)


@contextlib.contextmanager
def https(*options, **others):
    """Runs a server of HTTPS with one small file; yields it, and the context of clients that trust it."""
    with Site() as site, Site() as keys:
        authority = Authority(keys.path)
        pair = keys.file("pair.pem", b"".join(authority.issue(1)))
        site.file("page.bin", PAGE)
        with Server(site, "--tls-cert", str(pair), *options, **others) as server:
            yield server, authority


def send_to(server, first, number):
    """Opens a connection from one of a few addresses, so that ports do not run out, and sends `first`."""
    return Client(server, source=f"127.0.0.{2 + number % 4}").send(first)


def stay(server, first, pipe):
    """Opens a crowd of connections that send `first` and nothing more, until it is told to end."""
    clients = [send_to(server, first, number) for number in range(CROWD)]
    pipe.send("open")
    pipe.recv()
    for client in clients:
        client.close()


def flood(server, hello, pipe):
    """Opens connections at a constant rate; each sends a whole hello, and resets a second later without having read."""
    clients, began = [], time.monotonic()
    pipe.send("open")
    for number in range(FLOOD * FLOODED):
        time.sleep(max(0.0, began + number / FLOOD - time.monotonic()))
        clients.append(send_to(server, hello, number))
        if number >= FLOOD:
            clients[number - FLOOD].close()
    pipe.send(time.monotonic() - began)


def beside(server, authority, crowd, first, seconds):
    """Measures others, and the memory of the server, while `crowd` runs in a process of its own."""
    pipe, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=crowd, args=(server, first, theirs))
    before = server.memory()
    process.start()
    try:
        check(pipe.poll(30), f"{CROWD} clients have not connected within 30 s")
        pipe.recv()
        with Bystander(server, "/page.bin", PAGE, client=client_of(authority)) as others:
            time.sleep(seconds / 2)
            grown, sockets = server.memory() - before, server.sockets()
            time.sleep(seconds / 2)
        if crowd is stay:
            wait_until("the deadline ends all handshakes", lambda: server.sockets() <= server.own_sockets, HEAD_TIMEOUT + 4)
            pipe.send("end")
        else:
            took = pipe.recv()
            check(took < 1.5 * FLOODED, f"the flood came slowly, within {took:.1f} s")
    finally:
        process.join(10)
        process.kill()
    return others.took, grown, sockets - server.own_sockets


def client_of(authority):
    return functools.partial(SecureClient, context=authority.context())


@fault("half-open-handshakes")
def handshakes_that_are_not_completed():
    raise_descriptor_limit(CROWD + 1000)
    figures = []
    with https("-q", limit=CROWD + 1000) as (server, authority):
        with Bystander(server, "/page.bin", PAGE, client=client_of(authority)) as alone:
            time.sleep(2)
        # On a busy machine, requests take longer without the crowd too.
        limit = max(0.05, 4 * percentile(alone.took, 0.99))
        before = server.footprint()
        hello = Handshake(authority.context()).flight()
        crowds = {
            "half a hello": (stay, hello[: len(hello) // 2], MEASURED),
            "nothing": (stay, b"", MEASURED),
            f"{FLOOD} hellos a second": (flood, hello, FLOODED - 1),
        }
        for name, (crowd, first, seconds) in crowds.items():
            took, grown, connected = beside(server, authority, crowd, first, seconds)
            # Half hellos count as requests that have begun to arrive, so there is room for 2 MiB of them.
            check(crowd is flood or connected > CROWD * 0.7, f"{name}: only {connected} are connected")
            check(grown < EACH * max(connected, FLOOD), f"{name}: {grown} KiB for {connected} connections")
            check(percentile(took, 0.99) < limit, f"{name}: others wait: {latencies(took)}")
            figures.append(f"{name}: {connected} connected, {grown:+} KiB, {len(took)} of others {latencies(took)}")
        # glibc keeps what the largest crowd needed. If every hello of the flood kept its 4 KiB, this would be 48 MiB.
        left = before.check(kib=32 << 10)
        return f"{'; '.join(figures)} (alone p99 {percentile(alone.took, 0.99) * 1000:.1f} ms); {left}"


def mutants(data):
    """Yields every place in `data`, and `data` with another byte there."""
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= random.randrange(1, 256)
        yield place, bytes(changed)


def first_flights(authority):
    """Yields what clients send first: random bytes, as records and not, hellos with a wrong byte, and hellos that end early."""
    for number in range(500):
        data = random.randbytes(random.randrange(1, 2000))
        yield f"random {number}", b"\x16\x03\x01" + data if number % 2 else b"\x80" + data
    for version in VERSIONS:
        hello = Handshake(authority.context(version)).flight()
        yield from ((f"hello {place}", changed) for place, changed in mutants(hello))
        yield from ((f"hello up to {end}", hello[:end]) for end in range(1, len(hello), 7))


def may_differ(records, place):
    """Whether the byte is of the type or the version in the header of a record. The version means nothing, and for TLS 1.3
    rustls authenticates the type that it has to be, so the record counts as if that had arrived."""
    start = 0
    while start + 5 <= place:
        length = int.from_bytes(records[start + 3 : start + 5], "big")
        if place < start + 5 + length:
            return False
        start += 5 + length
    return place - start < 3


def with_a_wrong_byte(server, prepare):
    """Yields connections whose client sends the records that `prepare(client)` returns, with another byte wrong each time."""
    place, length = 0, 1
    while place < length:
        client = Client(server)
        records = bytearray(prepare(client))
        length = len(records)
        if place < length and not may_differ(records, place):
            records[place] ^= 1 << random.randrange(8)
            yield place, client.send(records)
        else:
            client.close()
        place += 1


def second_flights(server, context):
    """Yields connections that have a wrong byte in the client's last messages of the handshake."""
    for place, client in with_a_wrong_byte(server, lambda client: Handshake(context).second_flight(client)):
        yield f"finished {place}", client


def requests(server, context):
    """Yields connections that have a wrong byte in the record of a request."""
    for place, client in with_a_wrong_byte(server, lambda client: Handshake(context).complete(client).sealed(get("/page.bin"))):
        yield f"request {place}", client


class Ending:
    """Connections that have to end by themselves."""

    def __init__(self):
        self.poll, self.clients, self.lasted = select.epoll(), {}, {}

    def add(self, name, client):
        client.socket.setblocking(False)
        self.clients[client.socket.fileno()] = (name, client, time.monotonic())
        self.poll.register(client.socket, select.EPOLLIN)

    def wait(self):
        """Reads until all have ended, or the deadline of a head has passed."""
        while self.clients:
            for descriptor, _ in self.poll.poll(0.1):
                name, client, began = self.clients[descriptor]
                try:
                    while data := client.socket.recv(1 << 16):
                        client.unread += data
                except BlockingIOError:
                    continue
                except ConnectionResetError:
                    pass
                # The ticket and an alert are much shorter than the page.
                check(not name.startswith("request") or len(client.unread) < len(PAGE), f"{name}: a reply")
                self.lasted.setdefault(name.split()[0], []).append(time.monotonic() - began)
                client.close()
                del self.clients[descriptor]
            late = [name for name, _, began in self.clients.values() if time.monotonic() - began > HEAD_TIMEOUT + 3]
            check(not late, f"{len(late)} are open after {HEAD_TIMEOUT + 3} s: {', '.join(late[:9])}")


@fault("tls-garbage")
def wrong_bytes():
    """Every byte of a handshake and of a request is wrong once: the server ends the connection, and serves no such request."""
    raise_descriptor_limit(4000)
    with https("-q", limit=4000) as (server, authority):
        client = client_of(authority)
        assert_serves(server, "/page.bin", PAGE, client=client)
        before, ending = server.footprint(), Ending()
        for name, data in first_flights(authority):
            ending.add(name, Client(server).send(data))
        for version in VERSIONS:
            for wrong in (second_flights, requests):
                for name, connection in wrong(server, authority.context(version)):
                    ending.add(name, connection)
        with Bystander(server, "/page.bin", PAGE, client=client) as others:
            ending.wait()
        shown = ", ".join(f"{len(lasted)} × {name} at most {max(lasted):.1f} s" for name, lasted in ending.lasted.items())
        return f"{shown}; {len(others.took)} of others {latencies(others.took)}; {before.check()}"
