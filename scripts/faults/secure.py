"""Clients that speak TLS, and the certificates of servers for them."""

import contextlib
import shutil
import ssl
import subprocess

from . import Skip
from .client import Client, Ended

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def issue(place, number, *options):
    """Makes a certificate with this serial number, and its key on P-256; returns both as PEM."""
    if not shutil.which("openssl"):
        raise Skip("openssl is missing")
    files = [place / f"{number}.{kind}" for kind in ("cert", "key")]
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-set_serial", str(number), "-out", files[0], "-keyout", files[1], *options]
    subprocess.run(command, check=True, capture_output=True)
    return [file.read_bytes() for file in files]


class Authority:
    """Issues certificates for 127.0.0.1 that its clients trust. Its files are in the directory `place`."""

    def __init__(self, place):
        self.place, self.file = place, place / "authority.pem"
        self.file.write_bytes(b"".join(issue(place, 0)))

    def issue(self, number):
        signed = ["-CA", self.file, "-CAkey", self.file, "-addext", "subjectAltName=IP:127.0.0.1"]
        return issue(self.place, number, *signed)

    def context(self, version=None):
        """Returns what clients of one version of TLS need, or of both."""
        context = ssl.create_default_context(cafile=self.file)
        if version:
            context.minimum_version = context.maximum_version = version
        return context


class SecureClient(Client):
    """A connection with TLS to a server whose certificate is valid."""

    def __init__(self, server, context, session=None, **options):
        super().__init__(server, **options)
        try:
            self.socket = context.wrap_socket(
                self.socket, server_hostname=server.host, session=session, suppress_ragged_eofs=False
            )
        except BaseException:
            self.socket.close()
            raise

    def serial(self):
        """Returns the serial number of the certificate."""
        return int(self.socket.getpeercert()["serialNumber"], 16)


class Handshake:
    """The client's side of TLS on a connection, with its messages as bytes that can be changed before they are sent."""

    def __init__(self, context):
        self.incoming, self.outgoing, self.is_complete = ssl.MemoryBIO(), ssl.MemoryBIO(), False
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="127.0.0.1")

    def flight(self, received=b""):
        """Takes what the server has sent; returns the next messages of the client."""
        self.incoming.write(received)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
            self.is_complete = True
        return self.outgoing.read()

    def second_flight(self, client):
        """Sends the hello; returns the messages that follow when the server has answered."""
        client.send(self.flight())
        while not (last := self.flight(client.socket.recv(1 << 16))):
            pass
        return last

    def complete(self, client):
        client.send(self.second_flight(client))
        while not self.is_complete:
            client.send(self.flight(client.socket.recv(1 << 16)))
        return self

    def sealed(self, *parts):
        """Returns each part as a record."""
        for part in parts:
            self.tls.write(part)
        return self.outgoing.read()

    def opened(self, records):
        """Returns what the records contain."""
        self.incoming.write(records)
        data = bytearray()
        with contextlib.suppress(ssl.SSLWantReadError):
            while part := self.tls.read(1 << 16):
                data += part
        return data


class SealingClient(Client):
    """A connection with TLS whose `handshake` seals records before they are sent."""

    def __init__(self, server, context, **options):
        super().__init__(server, **options)
        self.handshake = Handshake(context).complete(self)

    def _more(self):
        records = self.socket.recv(1 << 18)
        if not records:
            raise Ended(f"the connection ended, {len(self.unread)} bytes unread")
        self.unread += self.handshake.opened(records)
