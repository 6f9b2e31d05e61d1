"""More clients than connections, all of which hold on to theirs: a client that asks for a small page is still served."""

import select
import socket
import threading
import time

from . import check, fault, latencies, percentile
from .client import Client, Ended, ask, get
from .content import pattern
from .server import Server, Site

LIMIT = 64
CLIENTS = 104
MEASURED = 4
PAGE = pattern("page", 1024)
POST = b"POST /page.bin HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
PUT = b"PUT /stored HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"

# For each kind of client: what it sends first, what it sends every 50 ms after that, and how much it reads each time.
KINDS = {
    "idle": (get("/page.bin"), b"", 0),
    "half heads": (b"GET /page.bin HTTP/1.1\r\nHost: x\r\nX: ", b"x", 0),
    "unwanted bodies": (POST, b"x" * 55, 0),
    "silent bodies": (POST, b"", 0),
    "chunks": (POST.replace(b"Content-Length: 1000000", b"Transfer-Encoding: chunked"), b"1\r\nx\r\n", 0),
    "no reading": (get("/big.bin"), b"", 0),
    "a byte at a time": (get("/big.bin"), b"", 1),
}
WANTED = {"wanted bodies": (PUT, b"x" * 55, 0), "half heads": KINDS["half heads"], "idle": (get("/"), b"", 0)}


class Crowd(threading.Thread):
    """Clients of some kinds; each connects again at once when the server closes its connection."""

    def __init__(self, server, kinds):
        super().__init__(daemon=True)
        self.server, self.kinds = server, kinds
        self.clients, self.again, self.done = {}, 0, threading.Event()

    def __enter__(self):
        for number in range(CLIENTS):
            self.open(self.kinds[number % len(self.kinds)])
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()
        for client, _ in self.clients.values():
            client.close()

    def open(self, kind):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        client.connect_ex((self.server.host, self.server.port))
        select.select([], [client], [], 5)
        try:
            client.send(kind[0])
        except OSError:
            pass
        self.clients[client.fileno()] = (client, kind)

    def run(self):
        while not self.done.wait(0.05):
            for number, (client, (first, more, reads)) in list(self.clients.items()):
                try:
                    client.send(more)
                    ended = reads and client.recv(reads) == b""
                    # A closed connection is readable, but so is one with an unread reply.
                    ended = ended or client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if not ended and first == get("/page.bin"):
                        ended = client.recv(65536) == b""
                except BlockingIOError:
                    ended = False
                except OSError:
                    ended = True
                if ended:
                    client.close()
                    del self.clients[number]
                    self.again += 1
                    self.open((first, more, reads))


def ask_for_pages(server, path, body):
    """Asks for a page for some seconds, over new connections and a kept one in turn; the server may close the kept one."""
    took, kept, end = [], None, time.monotonic() + MEASURED
    while time.monotonic() < end:
        began = time.monotonic()
        try:
            if len(took) % 2:
                kept = kept or Client(server)
                reply = kept.ask(path)
            else:
                reply = ask(server, path)
        except (Ended, ConnectionResetError, BrokenPipeError):
            check(kept and len(took) % 2, "a new connection was closed without a reply")
            kept = None
            continue
        check((reply.status, reply.body) == (200, body), f"status {reply.status}, or wrong bytes")
        took.append(time.monotonic() - began)
        time.sleep(0.01)
    return took


def measure(server, kinds, path="/page.bin", body=PAGE):
    with Crowd(server, kinds) as crowd:
        time.sleep(1)
        cpu = server.cpu()
        took = ask_for_pages(server, path, body)
        cpu = (server.cpu() - cpu) / MEASURED
        check(percentile(took, 0.99) < 1, f"pages wait: {latencies(took)}")
        check(cpu < 0.9, f"{cpu * 100:.0f} % of a processor: it spins")
        return f"p99 {percentile(took, 0.99) * 1000:.0f} ms of {len(took)} ({crowd.again} connected again)"


@fault("full-house")
def a_full_house():
    figures = []
    with Site() as site, Server(site, "-q", limit=LIMIT) as server:
        site.file("page.bin", PAGE)
        site.file("big.bin", pattern("big", 32 << 20))
        before = server.footprint()
        for name, kind in [*((name, [kind]) for name, kind in KINDS.items()), ("all", list(KINDS.values()))]:
            try:
                figures.append(f"{name} {measure(server, kind)}")
            except Exception as error:
                raise type(error)(f"{name}: {error}") from error
        left = before.check(files=1)
    with Site() as site, Server(site, example="upload", limit=LIMIT) as server:
        for name, kind in WANTED.items():
            head = measure_refusals(server, [kind])
            figures.append(f"{name} beside uploads {head}")
    return f"{CLIENTS} clients of {LIMIT} descriptors: {'; '.join(figures)}; {left}"


def measure_refusals(server, kinds):
    """Measures the example `upload`, which replies 501 to GET."""
    with Crowd(server, kinds) as crowd:
        time.sleep(1)
        took, end = [], time.monotonic() + MEASURED
        while time.monotonic() < end:
            began = time.monotonic()
            check(ask(server, "/").status == 501, "GET to the example is not refused with 501")
            took.append(time.monotonic() - began)
            time.sleep(0.01)
        check(percentile(took, 0.99) < 1, f"pages wait: {latencies(took)}")
        return f"p99 {percentile(took, 0.99) * 1000:.0f} ms of {len(took)} ({crowd.again} connected again)"
