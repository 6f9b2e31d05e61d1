"""Programs that speak TLS with the release binary: one file for each kind of program, and the code that they share.

Invariant: clients and proxies verify the certificate; only scanners, and clients that have to be refused before, do not.
"""

import contextlib
import random
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass

from faults import Skip, Wrong, check
from faults.server import Server, Site
from load.balanced import PATH

CHECKS = []
# How a program tells its version, where it is not by `--version`.
VERSIONS = {
    "HAProxy": ("haproxy", "-v"),
    "Node.js": ("node", "--version"),
    "Python ssl": ("python3", "--version"),
    "nginx": ("nginx", "-v"),
    "openssl s_client": ("openssl", "version"),
}
HELLO = b"hello over TLS\n"
LARGE = bytes(range(256)) * 16384


@dataclass
class Check:
    """What `function` does with `program`. It takes `Certificates` and returns what it found as text."""

    program: str
    title: str
    function: object


def tries(program, title):
    """Registers a check."""

    def register(function):
        CHECKS.append(Check(program, title, function))
        return function

    return register


def find(tool):
    """Returns the path of a program, or skips the check."""
    path = shutil.which(tool, path=PATH)
    if not path:
        raise Skip(f"{tool} is not installed")
    return path


def run(*command, input=b"", code=0, **settings):
    """Runs a program that must end with this exit code, if one is given; returns what it wrote."""
    settings = {"timeout": 60, "input": input, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **settings}
    done = subprocess.run([find(command[0]), *map(str, command[1:])], check=False, **settings)
    text = done.stdout.decode(errors="replace")
    check(code in (None, done.returncode), f"{' '.join(map(str, command))} ends with {done.returncode}: {text[-500:]}")
    return text


@contextlib.contextmanager
def serving(pair, *options):
    """Runs the server with a certificate, and two files to serve."""
    with Site() as site:
        site.file("hello.txt", HELLO)
        site.file("large.bin", LARGE)
        with Server(site, *pair.options(), *options) as server:
            server.url = f"https://localhost:{server.port}"
            yield server


def free_port():
    """Returns a port below those that the kernel gives to clients: of those, a busy machine has many in use."""
    for port in random.sample(range(10000, 32000), 100):
        with contextlib.suppress(OSError), socket.create_server(("", port)):
            return port
    raise Wrong("there is no free port")


def version(program):
    """Returns the version of a program as it says it, or nothing."""
    words = VERSIONS.get(program, (program, "--version"))
    path = shutil.which(words[0], path=PATH)
    if not path:
        return ""
    done = subprocess.run([path, *words[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found[0] if found else ""
