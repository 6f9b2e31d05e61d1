"""Idle connections to one node: the memory of each, and the latency of other clients without and beside them."""

import re
import resource
import socket
import statistics
import time
from pathlib import Path

from faults import Skip, check, wait_until

from .balanced import Httpoll, Load

ACTIVE = {"64": (64, 0)}
# Descriptors that this process and the node need for other things.
SPARE = 500
# Addresses of the clients, because one has only some 28,000 ports.
SOURCES = [f"127.0.0.{number}" for number in range(2, 10)]


class Crowd:
    """Connections to a node that asked once, because the kernel hands them over with their first bytes, and then are idle."""

    def __init__(self, address, count):
        self.connections = []
        for number in range(count):
            idle = socket.create_connection(address, 10, (SOURCES[number % len(SOURCES)], 0))
            self.connections.append(idle)
            idle.sendall(b"HEAD /file.html HTTP/1.1\r\nHost: x\r\n\r\n")
            check(idle.recv(4096).startswith(b"HTTP/1.1 200 "), f"idle connection {number} gets no reply")

    def close(self):
        """Closes the connections; returns how many were still open."""
        is_open = 0
        for idle in self.connections:
            idle.setblocking(False)
            try:
                idle.recv(1)
            except BlockingIOError:
                is_open += 1
            except OSError:
                pass
            idle.close()
        return is_open


def private_kib(pid):
    """Returns the KiB of memory that the process shares with no other."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        raise Skip("the kernel does not tell the private memory of a process") from None
    return sum(int(kib) for kib in re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE))


def idle_connections(folder, wanted, rounds):
    """Measures for so many seconds without, beside and again without the crowd; returns the failed requests and the figures."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(wanted, soft - SPARE)
    node = Httpoll(folder, "127.0.1.1", 0)
    address = (node.host, node.port)
    counts, p99, crowd = [], [], None
    try:
        node.start()
        for is_crowded in (False, True, False):
            if is_crowded:
                before = private_kib(node.process.pid)
                crowd = Crowd(address, count)
                time.sleep(0.5)
                bytes_each = (private_kib(node.process.pid) - before) * 1024 / count
            found = [Load(address, "/file.html", 1, ACTIVE).counts()[0] for _ in range(rounds)]
            counts += found
            # Other work of the machine lasts shorter than all rounds.
            p99.append(statistics.median(each.p99 for each in found))
            if is_crowded:
                left, crowd = crowd.close(), None
                check(left == count, f"{count - left} of {count} idle connections were closed")
                descriptors = Path(f"/proc/{node.process.pid}/fd")
                wait_until("all connections are closed", lambda: len(list(descriptors.iterdir())) < SPARE)
                time.sleep(0.5)
    finally:
        if crowd:
            crowd.close()
        node.remove()
    first, beside, last = p99
    text = f"{count} idle connections: {bytes_each:.0f} bytes each; p99 of {', '.join(ACTIVE)} others {first:.2f} ms without,"
    text += f" {beside:.2f} beside, {last:.2f} without: x {beside / ((first + last) / 2):.2f}"
    return sum(each.all_failed() for each in counts), text
