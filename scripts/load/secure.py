"""HTTPS: clients that check the certificate, which is renewed all the time, and clients that break off.

A certificate has its number as serial number. A full handshake may show any number from the last one settled when the connection
was opened to the last one begun when the handshake was complete, like a reply that may have several versions of a file.
"""

import contextlib
import multiprocessing
import os
import random
import signal
import socket
import ssl
import time

from faults import check
from faults.client import Client, Ended, get
from faults.secure import VERSIONS, Authority, Handshake, SecureClient
from .kinds import Kind

# Seconds from one certificate to the next, and those after which the server has to use it.
RENEWAL, READING = 2, 1


class Certificates:
    """The certificates, shared by all processes. The file at `path` has the latest one and its key."""

    def __init__(self, folder):
        self.path, self.authority = folder / "current.pem", Authority(folder)
        self.begun, self.settled, self.full, self.resumed = (multiprocessing.Value("q", 0) for _ in range(4))
        self.renew()
        self.settled.value = self.begun.value
        self.contexts = [self.authority.context(version) for version in VERSIONS]

    def renew(self):
        self.begun.value += 1
        new = self.path.with_suffix(".new")
        new.write_bytes(b"".join(self.authority.issue(self.begun.value)))
        new.rename(self.path)

    def keep_renewing(self, servers, stop):
        """Renews the certificate every few seconds, and tells the servers."""
        while not stop.wait(RENEWAL - READING):
            self.renew()
            for server in servers:
                os.kill(server.pid, signal.SIGHUP)
            if not stop.wait(READING):
                self.settled.value = self.begun.value


class LoadClient(SecureClient):
    """Half of these connections resume a session of their process, and half of them end without close_notify."""

    sessions = {}
    has_failed = False

    def __init__(self, server, **options):
        certificates = server.certificates
        context = random.choice(certificates.contexts)
        self.key = (server.pid, context)
        session = self.sessions.get(self.key) if random.random() < 0.5 else None
        oldest = certificates.settled.value
        super().__init__(server, context, session, **options)
        if not self.socket.session_reused:
            number, newest = self.serial(), certificates.begun.value
            check(oldest <= number <= newest, f"certificate {number}, which is none of {oldest} to {newest}")
        count = certificates.resumed if self.socket.session_reused else certificates.full
        with count.get_lock():
            count.value += 1

    def close(self):
        """Closes the connection, with close_notify or without it."""
        # It may be closed in one direction or in both.
        with contextlib.suppress(OSError, ValueError):
            # With TLS 1.3 the ticket arrives with the first reply.
            if session := self.socket.session:
                self.sessions[self.key] = session
            if random.random() < 0.5:
                self.half_close()
        super().close()

    def half_close(self):
        """Sends close_notify. The client can still read."""
        self.socket.setblocking(False)
        try:
            # It reads, too: it would wait for the close_notify of the server, and fails for good if it finds a reply.
            self.socket.unwrap()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.has_failed = error.reason == "APPLICATION_DATA_AFTER_CLOSE_NOTIFY"
        self.socket.settimeout(20)

    def _more(self):
        if self.has_failed:
            raise Ended("a reply came before close_notify was sent")
        try:
            super()._more()
        except ssl.SSLZeroReturnError:
            raise Ended("close_notify") from None

    def cut(self, data):
        """Ends the stream with `data`, which is not encrypted, and without close_notify; returns what still arrives."""
        with Client.__new__(Client) as client:
            client.socket, client.unread = socket.socket(fileno=self.socket.detach()), bytearray()
            client.socket.settimeout(20)
            client.send(data).half_close()
            return client.rest()

    def is_open(self):
        self.socket.setblocking(False)
        try:
            data = self.socket.recv(1 << 16)
            self.unread += data
            return False
        except ssl.SSLWantReadError:
            return not self.unread
        except (ConnectionResetError, ssl.SSLEOFError):
            return False
        finally:
            self.socket.settimeout(20)


class SecureVandal(Kind):
    """Sends plain text, garbage and pieces of handshakes to the port of TLS, and cuts streams."""

    def step(self):
        number = random.randrange(self.versions.count)
        request = get(f"/live/{self.versions.name(number)}")
        way = random.choice((self.plain_text, self.garbage, self.half_a_hello, self.half_a_record, self.half_a_reply))
        way(request)
        return 1

    def plain_text(self, request):
        with Client(self.files, timeout=60) as client:
            check(client.send(request).reply().status == 308, "plain text is not redirected")

    def garbage(self, _):
        with Client(self.files, timeout=60) as client:
            client.send(b"\x16\x03\x01" + random.randbytes(random.randrange(3000))).half_close()
            received = client.rest()
            check(received[:1] in (b"", b"\x15"), f"no alert, but {received[:60]!r}")

    def half_a_hello(self, _):
        hello = Handshake(random.choice(self.files.certificates.contexts)).flight()
        with Client(self.files, timeout=60) as client:
            client.send(hello[: random.randrange(len(hello))])
            time.sleep(random.choice((0, 0.1)))
            random.choice((client.close, client.reset))()

    def half_a_record(self, request):
        with LoadClient(self.files, timeout=60) as client:
            record = b"\x17\x03\x03" + len(request).to_bytes(2, "big") + random.randbytes(len(request) // 2)
            received = client.cut(record)
            check(len(received) < 1000, f"{len(received)} bytes in reply to half a record")

    def half_a_reply(self, request):
        with LoadClient(self.files, window=4096, timeout=60) as client:
            client.send(request).take(1)
            random.choice((client.reset, lambda: client.cut(b"")))()


SECURE_KINDS = {"secure vandals": (SecureVandal, 1)}
