"""Restarts with an inherited listener: the next server starts beside the one before it, under load, and no request fails."""

import os
import re
import signal
import socket
import subprocess
import threading
import time

from . import check, fault
from .client import get
from .content import pattern
from .server import Site, program

# The threads of Python share a processor: more clients would think longer than a server waits for their next request.
RESTARTS = 4
SERVED = 1.0
BODY = pattern("overlap", 1000)
PATH = "/small.bin"


class Load:
    """One kind of client, each in a thread: it counts its replies, and keeps what went wrong."""

    def __init__(self, address, clients, is_closing=False, thinks=0.0):
        self.address, self.is_closing, self.thinks = address, is_closing, thinks
        self.replies, self.failures, self.is_over = 0, [], False
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.is_over:
            try:
                with socket.create_connection(self.address, 10) as connection:
                    while self.ask(connection) and not self.is_over:
                        time.sleep(self.thinks)
                if self.is_closing:
                    time.sleep(self.thinks)
            except (OSError, ValueError) as error:
                self.failures.append(repr(error))

    def ask(self, connection):
        """Sends a request and reads its reply; returns whether another one may follow."""
        fields = ["Connection: close"] if self.is_closing else []
        connection.sendall(get(PATH, *fields))
        received = b""
        while b"\r\n\r\n" not in received or len(received) < received.find(b"\r\n\r\n") + 4 + len(BODY):
            data = connection.recv(65536)
            if not data:
                raise ValueError(f"closed after {len(received)} bytes of a reply")
            received += data
        if not received.startswith(b"HTTP/1.1 200 ") or not received.endswith(BODY):
            raise ValueError(f"a wrong reply: {received[:100]!r}")
        self.replies += 1
        return not re.search(rb"\r\nConnection: close\r\n", received)

    def end(self):
        self.is_over = True
        for thread in self.threads:
            thread.join(15)


class Parent:
    """Holds the listener, and hears from each server when it is ready."""

    def __init__(self, site):
        self.site = site
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.address = self.listener.getsockname()
        self.ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ready.settimeout(10)
        self.name = f"httpoll-overlap-{os.getpid()}"
        self.ready.bind(f"\0{self.name}")

    def start(self):
        env = {**os.environ, "LISTEN_FDS": "1", "NOTIFY_SOCKET": f"@{self.name}"}
        server = subprocess.Popen(
            ["sh", "-c", 'exec 3<&0 </dev/null; exec "$@"', "sh", program(), "-q", "-d", str(self.site.path)],
            stdin=self.listener,
            stdout=subprocess.DEVNULL,
            env=env,
        )
        while not self.ready.recv(1024).startswith(b"READY=1\n"):
            pass
        return server


@fault("overlap")
def restarts_beside_the_old_server():
    with Site(memory=True) as site:
        site.file(PATH[1:], BODY)
        parent = Parent(site)
        server = parent.start()
        loads = {
            "closing": Load(parent.address, 4, is_closing=True, thinks=0.002),
            "keep-alive": Load(parent.address, 4, thinks=0.002),
            "keep-alive with think time": Load(parent.address, 16, thinks=0.05),
        }
        try:
            for _ in range(RESTARTS):
                time.sleep(SERVED)
                successor = parent.start()
                server.send_signal(signal.SIGTERM)
                code = server.wait(40)
                server = successor
                check(code == 0, f"exit code {code} after SIGTERM")
            time.sleep(SERVED)
        finally:
            for load in loads.values():
                load.end()
            server.terminate()
            server.wait(40)
        failed = {name: load.failures for name, load in loads.items() if load.failures}
        counts = {name: len(failures) for name, failures in failed.items()}
        examples = {failure for failures in failed.values() for failure in failures[:3]}
        check(not failed, f"failed requests: {counts}, such as {sorted(examples)}")
        replies = sum(load.replies for load in loads.values())
        return f"{RESTARTS} restarts, {replies} replies, 0 failed"
