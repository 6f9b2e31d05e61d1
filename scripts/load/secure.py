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
import subprocess
import time

from faults import check
from faults.client import Client, Ended, get
from .kinds import Kind

# Seconds from one certificate to the next, and those after which the server has to use it.
RENEWAL, READING = 2, 1
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def issue(place, number, *options):
    """Makes a certificate and its key, and renames the file with both into `place`."""
    parts = [place.with_suffix(suffix) for suffix in (".cert", ".key")]
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-set_serial", str(number), "-out", parts[0], "-keyout", parts[1], *options]
    subprocess.run(command, check=True, capture_output=True)
    new = place.with_suffix(".new")
    new.write_bytes(b"".join(part.read_bytes() for part in parts))
    new.rename(place)


class Certificates:
    """The certificates, shared by all processes. The file at `path` has the latest one and its key."""

    def __init__(self, folder):
        self.path, self.authority = folder / "current.pem", folder / "authority.pem"
        self.begun, self.settled, self.full, self.resumed = (multiprocessing.Value("q", 0) for _ in range(4))
        issue(self.authority, 1)
        self.renew()
        self.settled.value = self.begun.value
        self.contexts = [self.context(version) for version in VERSIONS]

    def context(self, version):
        context = ssl.create_default_context(cafile=self.authority)
        context.minimum_version = context.maximum_version = version
        return context

    def renew(self):
        self.begun.value += 1
        signed = ["-CA", self.authority, "-CAkey", self.authority, "-addext", "subjectAltName=IP:127.0.0.1"]
        issue(self.path, self.begun.value, *signed)

    def keep_renewing(self, servers, stop):
        """Renews the certificate every few seconds, and tells the servers."""
        while not stop.wait(RENEWAL - READING):
            self.renew()
            for server in servers:
                os.kill(server.pid, signal.SIGHUP)
            if not stop.wait(READING):
                self.settled.value = self.begun.value


class SecureClient(Client):
    """A connection with TLS. Half of them resume a session of this process."""

    sessions = {}
    has_failed = False

    def __init__(self, server, **options):
        super().__init__(server, **options)
        certificates = server.certificates
        context = random.choice(certificates.contexts)
        self.key = (server.pid, context)
        session = self.sessions.get(self.key) if random.random() < 0.5 else None
        oldest = certificates.settled.value
        # An end of the stream without close_notify is an error.
        self.socket = context.wrap_socket(
            self.socket, server_hostname=server.host, session=session, suppress_ragged_eofs=False
        )
        if not self.socket.session_reused:
            number, newest = int(self.socket.getpeercert()["serialNumber"], 16), certificates.begun.value
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
        hello = client_hello(random.choice(self.files.certificates.contexts))
        with Client(self.files, timeout=60) as client:
            client.send(hello[: random.randrange(len(hello))])
            time.sleep(random.choice((0, 0.1)))
            random.choice((client.close, client.reset))()

    def half_a_record(self, request):
        with SecureClient(self.files, timeout=60) as client:
            record = b"\x17\x03\x03" + len(request).to_bytes(2, "big") + random.randbytes(len(request) // 2)
            received = client.cut(record)
            check(len(received) < 1000, f"{len(received)} bytes in reply to half a record")

    def half_a_reply(self, request):
        with SecureClient(self.files, window=4096, timeout=60) as client:
            client.send(request).take(1)
            random.choice((client.reset, lambda: client.cut(b"")))()


def client_hello(context):
    """Returns the first message of a client."""
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


SECURE_KINDS = {"secure vandals": (SecureVandal, 1)}
