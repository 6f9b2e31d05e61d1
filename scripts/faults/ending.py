"""SIGTERM under load, while a thousand clients receive replies."""

import re
import select
import signal
import socket
import time

from . import check, fault
from .client import get
from .content import pattern
from .server import Server, Site, raise_descriptor_limit

CLIENTS = 1000
BODIES = {"/small.bin": pattern("drain", 1000), "/large.bin": pattern("drain", 300_000)}
LOADED = 2


class Asking:
    """A client that sends the next request after each reply, and knows how much of a reply it has received."""

    def __init__(self, address, path):
        self.path = path
        self.socket = socket.socket()
        self.socket.connect(address)
        self.socket.setblocking(False)
        self.received, self.length, self.replies, self.last = bytearray(), None, 0, False

    def ask(self):
        try:
            self.socket.send(get(self.path))
        except OSError:
            # The connection is closed; the next read returns that.
            pass

    def read(self):
        """Reads what has arrived; returns whether the connection is still open."""
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            data = b""
        self.received += data
        if self.length is None and (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.received[: end + 2])
            length = re.search(rb"\r\nContent-Length: (\d+)\r\n", head)
            check(head.startswith(b"HTTP/1.1 200 OK\r\n") and length, f"a wrong head: {head[:100]!r}")
            self.length = end + 4 + int(length[1])
            self.last = b"\r\nConnection: close\r\n" in head
        if self.length is not None and len(self.received) >= self.length:
            check(self.received.endswith(b"\r\n\r\n" + BODIES[self.path]), "a reply has wrong bytes")
            self.replies += 1
            self.received, self.length = bytearray(), None
            if not self.last:
                self.ask()
        return bool(data)


@fault("drain")
def the_end_under_load():
    raise_descriptor_limit(CLIENTS + 200)
    with Site(memory=True) as site, Server(site) as server:
        for path, body in BODIES.items():
            site.file(path[1:], body)
        poll, clients = select.epoll(), {}
        for number in range(CLIENTS):
            client = Asking((server.host, server.port), list(BODIES)[number % 2])
            clients[client.socket.fileno()] = client
            poll.register(client.socket, select.EPOLLIN)
            client.ask()
        all_clients = list(clients.values())
        began, asked, took = time.monotonic(), None, 0.0
        while clients:
            now = time.monotonic()
            if asked is None and now - began > LOADED:
                server.signal(signal.SIGTERM)
                asked = now
            check(asked is None or now - asked < 40, f"{len(clients)} connections are open 40 s after SIGTERM")
            for descriptor, _ in poll.poll(0.1):
                if not clients[descriptor].read():
                    clients.pop(descriptor).socket.close()
        took = time.monotonic() - asked
        code = server.process.wait(10)
        server.has_ended = True
        check(code == 0, f"exit code {code} after SIGTERM")
        cut = [len(client.received) for client in all_clients if client.received]
        check(not cut, f"{len(cut)} replies were cut, the first after {cut[:1]} bytes")
        told = sum(client.last for client in all_clients)
        replies = sum(client.replies for client in all_clients)
        return f"{CLIENTS} clients, {replies} replies, none cut; {told} with Connection: close; ended in {took:.1f} s"
