"""Clients that send raw bytes and read one checked reply at a time."""

import re
import socket
import struct
import threading
import time

from . import Wrong, check

RESET = struct.pack("ii", 1, 0)
IP_BIND_ADDRESS_NO_PORT = 24


class Ended(Wrong):
    """The connection ended before the reply was complete."""


class Reply:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body


def get(path, *fields, method="GET"):
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode()


class Client:
    """One connection. `window` makes its receive buffer small, `source` is an address of 127/8."""

    def __init__(self, server, window=None, source=None, timeout=20):
        self.socket = socket.socket()
        self.socket.settimeout(timeout)
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        if source:
            self.socket.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            self.socket.bind((source, 0))
        self.socket.connect((server.host, server.port))
        self.unread = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.close()

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, data):
        self.socket.sendall(data)
        return self

    def _more(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise Ended(f"the connection ended, {len(self.unread)} bytes unread")
        self.unread += data

    def take(self, length):
        while len(self.unread) < length:
            self._more()
        taken = bytes(self.unread[:length])
        del self.unread[:length]
        return taken

    def _line(self):
        while (end := self.unread.find(b"\r\n")) < 0:
            self._more()
        return self.take(end + 2)[:-2]

    def head(self):
        """Reads the head of a final or interim reply."""
        status = self._line()
        match = re.fullmatch(rb"HTTP/1\.1 (\d{3}) [ -~]+", status)
        check(match, f"not a status line: {status!r}")
        fields = {}
        while line := self._line():
            name, _, value = line.partition(b": ")
            fields[name.lower().decode()] = value.decode("latin-1")
        return Reply(int(match.group(1)), fields, b"")

    def reply(self, method="GET"):
        """Reads one whole reply, with Content-Length or chunked."""
        reply = self.head()
        if method == "HEAD" or reply.status in (204, 304) or reply.status < 200:
            return reply
        if reply.fields.get("transfer-encoding") == "chunked":
            body = bytearray()
            while size := int(self._line(), 16):
                body += self.take(size)
                check(self.take(2) == b"\r\n", "a chunk does not end with CR LF")
            check(self._line() == b"", "the last chunk does not end with CR LF")
            reply.body = bytes(body)
        else:
            reply.body = self.take(int(reply.fields["content-length"]))
        return reply

    def ask(self, path, *fields, method="GET"):
        return self.send(get(path, *fields, method=method)).reply(method)

    def rest(self):
        """Reads to the end of the connection, which may be a reset."""
        try:
            while True:
                self._more()
        except (Ended, ConnectionResetError):
            return self.take(len(self.unread))

    def is_open(self):
        """Returns whether the connection is open and has no unread bytes."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
            return False
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        finally:
            self.socket.settimeout(20)


def ask(server, path, *fields, method="GET", client=Client, **options):
    """Sends one request over a new connection; returns the reply."""
    with client(server, **options) as client:
        return client.ask(path, *fields, method=method)


def assert_serves(server, path, body, **options):
    """Asserts that the reply for `path` has exactly these bytes; returns the seconds that it took."""
    began = time.monotonic()
    reply = ask(server, path, **options)
    took = time.monotonic() - began
    check(reply.status == 200, f"{path}: status {reply.status}")
    check(reply.body == body, f"{path}: {len(reply.body)} wrong bytes")
    return took


class Bystander(threading.Thread):
    """A client that asks for a file repeatedly, over new connections and a kept one in turn, and records the latencies."""

    def __init__(self, server, path, body, pause=0.01, client=Client):
        super().__init__(daemon=True)
        self.server, self.path, self.body, self.pause, self.client = server, path, body, pause, client
        self.took, self.failure = [], None
        self.done = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.done.set()
        self.join()
        if kind is None and self.failure:
            raise Wrong(f"the bystander, after {len(self.took)} replies: {self.failure}")

    def run(self):
        try:
            with self.client(self.server) as kept:
                while not self.done.is_set():
                    began = time.monotonic()
                    is_kept = len(self.took) % 2
                    reply = kept.ask(self.path) if is_kept else ask(self.server, self.path, client=self.client)
                    self.took.append(time.monotonic() - began)
                    check((reply.status, reply.body) == (200, self.body), f"status {reply.status}, or wrong bytes")
                    time.sleep(self.pause)
        except (OSError, Wrong) as error:
            self.failure = error
