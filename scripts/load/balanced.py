"""Nodes behind HAProxy: servers on loopback addresses that are ended and started again while wrk asks for a file."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from faults import Wrong, check, wait_until
from faults.server import program

from .counts import Counts
from .deploy import VERSIONS, write_releases

PATH = os.environ["PATH"] + ":/usr/sbin"
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
# Connections of the two loads that run together, and the longest time between two requests of one, in milliseconds.
LOADS = {"64": (64, 0), "200 that think": (200, 1500)}

NGINX = """daemon off; worker_processes 2; pid {folder}/pid; error_log /dev/null;
events {{ worker_connections 2048; }}
http {{ access_log off; keepalive_timeout 75s; keepalive_requests 1000000; {temporary}
server {{ listen {host}:{port}; root {site}; }}
server {{ listen {host}:{admin}; location = /readyz {{ if (!-d {site}) {{ return 503; }} return 200; }} }} }}
"""
HAPROXY = """global
    maxconn 4000
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout check 500ms
frontend front
    bind {host}:{port}
    default_backend nodes
backend nodes
    balance roundrobin
    {options}
    {servers}
"""


def install(tool, package):
    """Finds a program, or installs it where that is possible; returns its path or None."""
    if not shutil.which(tool, path=PATH) and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-q"], check=False, **QUIET)
        subprocess.run(["apt-get", "install", "-qy", "--no-install-recommends", package], check=False, **QUIET)
    return shutil.which(tool, path=PATH)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def listens(address):
    try:
        socket.create_connection(address, timeout=1).close()
        return True
    except OSError:
        return False


class Node:
    """A server on an address of its own, which serves the release to which a link in its folder leads."""

    def __init__(self, folder, host, delay):
        self.folder, self.host, self.delay = folder / host, host, delay
        self.port, self.admin = free_port(), free_port()
        self.process, self.binary = None, program()
        self.current = self.folder / "current"
        self.folder.mkdir()
        write_releases(self.folder)
        self.deploy(VERSIONS[0])

    def deploy(self, version):
        """Serves this release from now on, without a moment at which there is none."""
        link = self.folder / "next"
        link.symlink_to(version)
        link.replace(self.current)

    def take_away(self):
        """Makes the served directory vanish."""
        self.current.rename(self.folder / "away")

    def start(self):
        # The signals of a scenario go to its workers, too.
        self.process = subprocess.Popen(self.command(), start_new_session=True, **QUIET)
        wait_until(f"{self.host} listens", lambda: listens((self.host, self.port)))

    def end(self):
        """Asks the process to end without losing a request."""
        self.process.send_signal(self.END)

    def wait(self):
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            raise Wrong(f"{self.host} does not end") from None
        check(code == 0, f"{self.host} ended with {code}")

    def restart(self):
        """Ends it, and starts it again when it has ended."""
        self.end()
        self.wait()
        self.start()

    def signal_all(self, number):
        """Sends a signal to the process and its workers."""
        os.killpg(self.process.pid, number)

    def kill(self):
        """Ends the process and its workers at once."""
        if self.process and self.process.poll() is None:
            self.signal_all(signal.SIGKILL)
            self.process.wait()

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Httpoll(Node):
    NAME, END = "httpoll", signal.SIGTERM

    def command(self):
        addresses = ["-b", f"{self.host}:{self.port}", "--admin", f"{self.host}:{self.admin}"]
        return [self.binary, "-q", *addresses, "-d", str(self.current), "--drain-delay", str(self.delay)]


class Nginx(Node):
    NAME, END = "nginx", signal.SIGQUIT

    def command(self):
        folder = self.folder
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        text = NGINX.format(
            folder=folder,
            site=self.current,
            host=self.host,
            port=self.port,
            admin=self.admin,
            temporary=" ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds),
        )
        (folder / "nginx.conf").write_text(text)
        return [install("nginx", "nginx-light"), "-e", "/dev/null", "-c", str(folder / "nginx.conf")]


class Cluster:
    """Nodes of one kind behind HAProxy, with lines for its backend and words for each of its servers."""

    def __init__(self, folder, kind, delay, options=(), server="", count=3, binary=None):
        self.nodes = [kind(folder, f"127.0.1.{number}", delay) for number in range(1, count + 1)]
        for node in self.nodes:
            node.binary = binary or node.binary
        self.front = ("127.0.0.1", free_port())
        self.proxy = self.configuration = None
        servers = [
            f"server n{at} {node.host}:{node.port} " + server.format(admin=node.admin)
            for at, node in enumerate(self.nodes)
        ]
        self.text = HAPROXY.format(
            host=self.front[0],
            port=self.front[1],
            options="\n    ".join(options),
            servers="\n    ".join(servers),
        )

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def start(self):
        for node in self.nodes:
            node.start()
        self.configuration = tempfile.NamedTemporaryFile("w", suffix=".cfg")
        self.configuration.write(self.text)
        self.configuration.flush()
        self.proxy = subprocess.Popen([install("haproxy", "haproxy"), "-db", "-f", self.configuration.name], **QUIET)
        wait_until("HAProxy listens", lambda: listens(self.front))

    def end(self):
        if self.proxy:
            self.proxy.kill()
            self.proxy.wait()
        for node in self.nodes:
            node.remove()
        if self.configuration:
            self.configuration.close()


class Load:
    """Loads on an address, each a wrk, until they are asked for their counts."""

    def __init__(self, address, path, seconds, loads=LOADS):
        script = Path(__file__).with_name("think.lua")
        url = f"http://{address[0]}:{address[1]}{path}"
        self.processes = [
            subprocess.Popen(
                ["nice", "-n", "5", install("wrk", "wrk"), "-t", "1", "-c", str(connections), "-d", f"{seconds}s"]
                + ["--timeout", "20s", "-s", str(script), url, "--", str(longest)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for connections, longest in loads.values()
        ]

    def counts(self):
        """Returns the counts of each load."""
        found = []
        for process in self.processes:
            said = process.communicate(timeout=90)[0]
            counted = re.search(r"p99 (\d+) us\nrequests (\d+) (connect.*)", said)
            check(counted, f"the output of wrk is {said[-300:]!r}")
            failures = re.findall(r"(\w+) (\d+)", counted.group(3))
            failed = {kind: int(count) for kind, count in failures if count != "0"}
            found.append(Counts(int(counted.group(2)), failed, int(counted.group(1)) / 1000))
        return found
