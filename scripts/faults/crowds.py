"""Very many clients: with slow requests, with slow reading, and with short connections."""

import errno
import multiprocessing
import select
import socket
import time

from . import check, fault, latencies, percentile
from .client import IP_BIND_ADDRESS_NO_PORT, RESET, Bystander, Client, assert_serves, get
from .content import pattern
from .server import Server, Site, raise_descriptor_limit

DRIPS = 10_000
DRIP = b"GET /page.bin HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"x" * 1000
PAGE = pattern("page", 1024)
MEASURED = 15
CONNECTIONS = 100_000
WORKERS = 4


def connect(address, source):
    """Begins a connection from the address `source`; with several addresses, ports do not run out."""
    client = socket.socket()
    client.setblocking(False)
    client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    client.bind((source, 0))
    error = client.connect_ex(address)
    check(error in (0, errno.EINPROGRESS), errno.errorcode.get(error, error))
    return client


def drip(address, count, pipe):
    """Keeps `count` connections that send a byte a second each; reports when all are open, and their outcomes at the end."""
    poll = select.epoll()
    clients, refused, silent, lasted = {}, 0, 0, []

    def open_one(number):
        client = connect(address, f"127.0.0.{2 + number % 2}")
        clients[client.fileno()] = [client, 0, 0.0, b""]
        poll.register(client, select.EPOLLIN)

    for number in range(count):
        open_one(number)
    told, opened = False, count
    while not pipe.poll():
        began = time.monotonic()
        for number, entry in enumerate(list(clients.values())):
            client, sent, _, _ = entry
            try:
                client.send(DRIP[sent : sent + 1])
                entry[1] += 1
                entry[2] = entry[2] or time.monotonic()
            except OSError:
                # The connection is not open yet, or closed; the poll returns which.
                pass
            if number % 200 == 0:
                for descriptor, _ in poll.poll(0):
                    client, _, first, received = entry = clients[descriptor]
                    try:
                        data = client.recv(4096)
                    except OSError:
                        data = b""
                    entry[3] = received + data
                    if data:
                        continue
                    refused += received.startswith(b"HTTP/1.1 408 ")
                    silent += not received
                    lasted.append(time.monotonic() - first)
                    poll.unregister(client)
                    client.close()
                    del clients[descriptor]
                    open_one(opened)
                    opened += 1
        if not told and all(sent for _, sent, _, _ in clients.values()):
            told = True
            pipe.send("ready")
        time.sleep(max(0.0, began + 1 - time.monotonic()))
    for client, *_ in clients.values():
        client.close()
    pipe.send((refused, silent, opened, lasted))


@fault("slow-drip")
def ten_thousand_clients_that_drip():
    raise_descriptor_limit(DRIPS + 1000)
    with Site() as site, Server(site, "-q", limit=DRIPS + 1000) as server:
        site.file("page.bin", PAGE)
        assert_serves(server, "/page.bin", PAGE)
        with Bystander(server, "/page.bin", PAGE) as alone:
            time.sleep(2)
        before = server.footprint()
        pipe, theirs = multiprocessing.Pipe()
        dripping = multiprocessing.Process(target=drip, args=((server.host, server.port), DRIPS, theirs))
        dripping.start()
        try:
            check(pipe.poll(30), f"{DRIPS} clients have not connected within 30 s")
            pipe.recv()
            check(server.sockets() > DRIPS * 0.9, f"only {server.sockets()} of {DRIPS} are connected")
            grown = server.memory() - before.memory
            with Bystander(server, "/page.bin", PAGE) as other:
                time.sleep(MEASURED)
            pipe.send("end")
            refused, silent, opened, lasted = pipe.recv()
        finally:
            dripping.join(10)
            dripping.kill()
        check(refused > DRIPS * 0.9, f"{refused} of {DRIPS} got 408")
        check(silent == 0, f"{silent} were closed without a reply")
        check(
            9.5 < min(lasted) and percentile(lasted, 0.99) < 13, f"408 after {min(lasted):.1f} to {max(lasted):.1f} s"
        )
        # On a busy machine, requests take longer without the slow clients too.
        limit = max(0.05, 4 * percentile(alone.took, 0.99))
        check(percentile(other.took, 0.99) < limit, f"others wait: {latencies(other.took)}")
        left = before.check(kib=8192)
        return (
            f"{DRIPS} at a time, {opened} in all, {refused} × 408 after {min(lasted):.1f}–{max(lasted):.1f} s, "
            f"{grown} KiB; {len(other.took)} requests of others: {latencies(other.took)} "
            f"(without them p99 {percentile(alone.took, 0.99) * 1000:.1f} ms); {left}"
        )


@fault("slow-readers")
def slow_readers_of_a_big_file():
    readers, length = 200, 64 << 20
    with Site(memory=True) as site, Server(site) as server:
        big = pattern("big", length)
        site.file("big.bin", big)
        site.file("page.bin", PAGE)
        assert_serves(server, "/page.bin", PAGE)
        before = server.footprint()
        clients = [Client(server, window=4096).send(get("/big.bin")) for _ in range(readers)]
        places = []
        for client in clients:
            check(client.head().fields["content-length"] == str(length), "wrong length")
            places.append(0)
        samples, end = [], time.monotonic() + 8
        with Bystander(server, "/page.bin", PAGE) as other:
            while time.monotonic() < end:
                for number, client in enumerate(clients):
                    piece = client.take(512)
                    check(piece == big[places[number] : places[number] + 512], f"wrong bytes at {places[number]}")
                    places[number] += 512
                samples.append(server.memory() - before.memory)
                time.sleep(0.2)
        check(max(samples) < 4096, f"{max(samples)} KiB more memory")
        for number, client in enumerate(clients):
            if number % 50 == 0:
                check(client.take(length - places[number]) == big[places[number] :], "wrong bytes")
            client.close()
        left = before.check(files=1)
        return f"{readers} readers, at most {max(samples):+} KiB; others: {latencies(other.took)}; {left}"


def come_and_go(address, source, count, wrong):
    """Opens and closes connections in every way that a client can."""
    request = get("/page.bin")
    last = get("/page.bin", "Connection: close")

    def open_one():
        client = socket.socket()
        client.settimeout(20)
        client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        client.bind((source, 0))
        client.connect(address)
        return client

    def read_all(client, to_end):
        received = b""
        while not received.endswith(PAGE):
            data = client.recv(65536)
            if not data:
                break
            received += data
        return (
            received.startswith(b"HTTP/1.1 200 OK\r\n") and received.endswith(PAGE) and not (to_end and client.recv(1))
        )

    for number in range(count):
        client = open_one()
        way, right = number % 5, True
        if way == 0:
            client.sendall(request)
            right = read_all(client, False)
        elif way == 1:
            client.sendall(last)
            right = read_all(client, True)
        elif way == 2:
            client.sendall(request[: number % len(request)])
        elif way == 3:
            client.sendall(request)
        if way in (0, 3, 4) and number % 2:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        if not right:
            with wrong.get_lock():
                wrong.value += 1


def crowd(server, count):
    wrong = multiprocessing.Value("i", 0)
    workers = [
        multiprocessing.Process(
            target=come_and_go, args=((server.host, server.port), f"127.0.1.{1 + number}", count // WORKERS, wrong)
        )
        for number in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
        check(worker.exitcode == 0, f"a client ended with {worker.exitcode}")
    check(wrong.value == 0, f"{wrong.value} wrong replies")


@fault("many-connections")
def a_hundred_thousand_connections():
    with Site() as site, Server(site, "-q") as server:
        site.file("page.bin", PAGE)
        assert_serves(server, "/page.bin", PAGE)
        crowd(server, 2000)
        before, cpu, began = server.footprint(), server.cpu(), time.monotonic()
        crowd(server, CONNECTIONS)
        took = time.monotonic() - began
        left = before.check(kib=1024)
        return f"{CONNECTIONS} in {took:.1f} s, {(server.cpu() - cpu) / CONNECTIONS * 1e6:.0f} µs each; {left}"
