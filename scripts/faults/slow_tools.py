"""slowhttptest, where it is installed: hundreds of slow clients of each of its kinds, each kind with a new server."""

import re
import shutil
import signal
import subprocess
import time

from . import Skip, check, fault, latencies
from .client import Bystander, assert_serves
from .content import pattern
from .server import Server, Site, raise_descriptor_limit

CLIENTS = 500
PAGE = pattern("page", 1024)


def attack(seconds, path, *options, clients=CLIENTS, least=CLIENTS):
    """Runs slowhttptest for at most `seconds` beside a bystander; the server must close all slow connections before that."""
    tool = shutil.which("slowhttptest")
    if not tool:
        raise Skip("slowhttptest is missing (apt-get install slowhttptest)")
    raise_descriptor_limit(8192)
    with Site(memory=True) as site, Server(site, "-q") as server:
        site.file("page.bin", PAGE)
        site.file("big.bin", pattern("big", 16 << 20))
        assert_serves(server, "/page.bin", PAGE)
        before = server.footprint()
        command = [tool, "-c", str(clients), "-r", "250", "-l", str(seconds), "-p", "5", *options]
        command += ["-u", f"http://{server.host}:{server.port}{path}"]
        began = time.monotonic()
        most = last = 0
        ended = None
        with (
            Bystander(server, "/page.bin", PAGE, pause=0.05) as other,
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            ) as tool,
        ):
            try:
                while tool.poll() is None and (age := time.monotonic() - began) < seconds - 1:
                    last = server.sockets() - server.own_sockets
                    most = max(most, last)
                    # By then its clients have connected. Three other connections are two of the bystander and one probe.
                    if last <= 3 and age > clients / 250 + 1:
                        ended = ended or age
                    time.sleep(0.1)
                if tool.poll() is not None:
                    ended = ended or time.monotonic() - began
            finally:
                # At SIGINT it prints its results.
                tool.send_signal(signal.SIGINT)
            said = re.sub(r"\x1b\[[0-9;]*\w", "", tool.communicate(timeout=20)[0].decode(errors="replace"))
        check("slow HTTP test status" in said, f"its output is {said[-300:]!r}")
        check(not re.search(r"service available:\s+NO", said), "service was not available")
        check(most >= least, f"only {most} connections at a time")
        check(ended, f"{last} of {most} connections are open after {seconds - 1} s; others: {latencies(other.took)}")
        return (
            f"{clients} connections, all ended by the server after {ended:.0f} s; {len(other.took)} requests of others: "
            f"{latencies(other.took)}; {before.check(kib=4096, files=1)}"
        )


@fault("slow-headers", patient=True)
def slow_headers():
    return attack(20, "/page.bin", "-H", "-i", "2")


@fault("slow-body", patient=True)
def slow_body():
    # The server replies at once, and the clients close when they have read the reply.
    return attack(25, "/page.bin", "-B", "-i", "2", "-s", "8192", least=0)


@fault("read-attack", patient=True)
def read_attack():
    # Each client first fills a buffer of some megabytes in the kernel.
    options = ("-X", "-n", "5", "-z", "32", "-w", "512", "-y", "1024")
    # A client that took a few bytes before its deadline gets another one.
    return attack(75, "/big.bin", *options, clients=200, least=200)


@fault("range-attack", patient=True)
def range_attack():
    return attack(20, "/page.bin", "-R", "-a", "5", "-b", "1000", least=0)
