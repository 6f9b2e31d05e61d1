"""Nodes behind HAProxy: servers on loopback addresses that are ended and started again while wrk asks for a file."""

import http.server
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from faults import Wrong, check, wait_until
from faults.server import program

PATH = os.environ["PATH"] + ":/usr/sbin"
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
# Connections of the two loads that run together, and the longest time between two requests of one, in milliseconds.
LOADS = {"64": (64, 0), "200 that think": (200, 1500)}

NGINX = """daemon off; worker_processes 2; pid {folder}/pid; error_log /dev/null;
events {{ worker_connections 2048; }}
http {{ access_log off; keepalive_timeout 75s; keepalive_requests 1000000; {temporary}
server {{ listen {host}:{port}; root {site}; }} }}
"""
HAPROXY = """global
    maxconn 4000
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
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


class Readiness(http.server.BaseHTTPRequestHandler):
    """Answers the checks of HAProxy for one node: 200, or 503 from the signal that ends the node until it is started again."""

    def do_GET(self):
        self.send_response(503 if self.server.node.is_ending else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Node:
    """A server on an address of its own, with the place where HAProxy asks whether it is ready."""

    def __init__(self, site, host, delay):
        self.site, self.host, self.delay = site, host, delay
        self.port = free_port()
        self.process, self.is_ending = None, False
        self.readiness = http.server.ThreadingHTTPServer((host, 0), Readiness)
        self.readiness.node = self
        threading.Thread(target=self.readiness.serve_forever, daemon=True).start()

    def start(self):
        self.process = subprocess.Popen(self.command(), **QUIET)
        wait_until(f"{self.host} listens", lambda: listens((self.host, self.port)))
        self.is_ending = False

    def end(self):
        """Asks the process to end without losing a request."""
        self.is_ending = True
        self.process.send_signal(self.END)

    def wait(self):
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            raise Wrong(f"{self.host} does not end") from None
        check(code == 0, f"{self.host} ended with {code}")

    def kill(self):
        self.readiness.shutdown()
        self.readiness.server_close()
        if self.process:
            self.process.kill()
            self.process.wait()


class Httpoll(Node):
    NAME, END = "httpoll", signal.SIGTERM

    def command(self):
        address = f"{self.host}:{self.port}"
        return [program(), "-q", "-b", address, "-d", str(self.site), "--drain-delay", str(self.delay)]


class Nginx(Node):
    NAME, END = "nginx", signal.SIGQUIT

    def __init__(self, site, host, delay):
        super().__init__(site, host, delay)
        self.folder = Path(tempfile.mkdtemp(prefix="httpoll-cluster-"))

    def command(self):
        folder = self.folder
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        text = NGINX.format(
            folder=folder,
            site=self.site,
            host=self.host,
            port=self.port,
            temporary=" ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds),
        )
        (folder / "nginx.conf").write_text(text)
        return [install("nginx", "nginx-light"), "-e", "/dev/null", "-c", str(folder / "nginx.conf")]

    def kill(self):
        # The workers end with their master only if it is told to end.
        self.process.terminate()
        self.process.wait()
        super().kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Cluster:
    """Nodes of one kind behind HAProxy, with lines for its backend and words for each of its servers."""

    def __init__(self, site, kind, delay, options=(), server="", count=3):
        self.nodes = [kind(site, f"127.0.1.{number}", delay) for number in range(1, count + 1)]
        self.front = ("127.0.0.1", free_port())
        servers = [
            f"server n{at} {node.host}:{node.port} " + server.format(readiness=node.readiness.server_port)
            for at, node in enumerate(self.nodes)
        ]
        self.text = HAPROXY.format(
            host=self.front[0],
            port=self.front[1],
            options="\n    ".join(options),
            servers="\n    ".join(servers),
        )

    def __enter__(self):
        for node in self.nodes:
            node.start()
        self.configuration = tempfile.NamedTemporaryFile("w", suffix=".cfg")
        self.configuration.write(self.text)
        self.configuration.flush()
        self.proxy = subprocess.Popen([install("haproxy", "haproxy"), "-db", "-f", self.configuration.name], **QUIET)
        wait_until("HAProxy listens", lambda: listens(self.front))
        return self

    def __exit__(self, *_):
        self.proxy.kill()
        self.proxy.wait()
        for node in self.nodes:
            node.kill()
        self.configuration.close()

    def restart(self, node):
        """Ends a node, and starts it again when it has ended."""
        node.end()
        node.wait()
        node.start()


class Load:
    """The loads on a cluster, each a wrk, until they are asked for their counts."""

    def __init__(self, cluster, path, seconds):
        script = Path(__file__).with_name("think.lua")
        url = f"http://{cluster.front[0]}:{cluster.front[1]}{path}"
        self.processes = [
            subprocess.Popen(
                ["nice", "-n", "5", install("wrk", "wrk"), "-t", "1", "-c", str(connections), "-d", f"{seconds}s"]
                + ["--timeout", "20s", "-s", str(script), url, "--", str(longest)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for connections, longest in LOADS.values()
        ]

    def counts(self):
        """Returns for each load how many requests there were, how many failed, and the failures as text."""
        found = []
        for process in self.processes:
            said = process.communicate(timeout=90)[0]
            counted = re.search(r"requests (\d+) (connect.*)", said)
            check(counted, f"the output of wrk is {said[-300:]!r}")
            failures = re.findall(r"(\w+) (\d+)", counted.group(2))
            failed = {kind: int(count) for kind, count in failures if count != "0"}
            found.append((int(counted.group(1)), sum(failed.values()), failed))
        return found
