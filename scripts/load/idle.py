"""Idle connections to one node: the memory of each, and the latency of other clients without and beside them."""

import re
import resource
import select
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

    def is_whole(self):
        """Returns whether all connections are open."""
        poll = select.poll()
        for idle in self.connections:
            poll.register(idle, select.POLLIN)
        return not poll.poll(0)

    def close(self):
        for idle in self.connections:
            idle.close()


def private_kib(pid):
    """Returns the KiB of memory that the process shares with no other."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        raise Skip("the kernel does not tell the private memory of a process") from None
    return sum(int(kib) for kib in re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE))


def idle_connections(folder, wanted, rounds):
    """Measures for so many seconds beside, without and again beside the crowd; returns the failed requests and the figures."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(wanted, soft - SPARE)
    node = Httpoll(folder, "127.0.1.1", 0)
    address = (node.host, node.port)
    failed, p99, bytes_each = 0, [], []
    try:
        node.start()
        crowd = Crowd(address, 64)
        for size in (count, 0, count):
            crowd.close()
            descriptors = Path(f"/proc/{node.process.pid}/fd")
            wait_until("all connections are closed", lambda: len(list(descriptors.iterdir())) < SPARE)
            before = private_kib(node.process.pid)
            crowd = Crowd(address, size)
            time.sleep(0.5)
            if size:
                bytes_each.append((private_kib(node.process.pid) - before) * 1024 / count)
            loads = [Load(address, "/file.html", 1, ACTIVE).counts()[0] for _ in range(rounds)]
            # Other work of the machine lasts shorter than all rounds.
            p99.append(statistics.median(each.p99 for each in loads))
            failed += sum(each.all_failed() for each in loads)
            check(crowd.is_whole(), "idle connections were closed")
        crowd.close()
    finally:
        node.remove()
    first, without, last = p99
    # The memory of the first crowd is that of a new node; the second one finds some of it there.
    text = f"{count} idle connections: {bytes_each[0]:.0f} bytes each; p99 of {', '.join(ACTIVE)} others {first:.2f} ms beside,"
    text += f" {without:.2f} without, {last:.2f} beside: x {(first + last) / 2 / without:.2f}"
    return failed, text
