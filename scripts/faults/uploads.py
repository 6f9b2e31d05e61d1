"""Uploads that the server refuses, from clients that read the reply only after sending the whole body."""

import contextlib
import http.client
import os
import shutil
import subprocess
import time

from . import Skip, check, fault, latencies
from .client import Bystander
from .content import pattern
from .proxies import nginx
from .server import Server, Site

PAGE = pattern("page", 1024)
SIZE = 50_000_000
ATTEMPTS = 20
FETCH = """
const body = Buffer.alloc(Number(process.argv[2]));
for (let attempt = 0; attempt < Number(process.argv[3]); attempt++) {
    const reply = await fetch(process.argv[1], {method: 'PUT', body});
    await reply.text();
    console.log(reply.status);
}
"""


def run(command):
    """Runs a client that makes all its attempts in one process; returns its output."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    check(done.returncode == 0, f"{command[0]}: {done.stderr[-300:]}")
    return done.stdout


def python(port, _):
    """Makes one attempt with http.client; returns the status or the error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("PUT", "/page.bin", bytes(SIZE))
        reply = connection.getresponse()
        reply.read()
        return reply.status
    except OSError as error:
        return str(error)
    finally:
        connection.close()


def wget(*options):
    def attempt(port, file):
        command = ["wget", "-nv", "-t", "1", "-O", os.devnull]
        command += [option.replace("FILE", str(file)) for option in options]
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{port}/page.bin"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        # Exit code 8 is an error reply of the server, not an error of the network.
        return 405 if done.returncode == 8 and " 405" in done.stderr else done.stderr.strip()

    return attempt


@fault("refused-upload")
def refused_upload():
    """Every client reads its reply, though the server refuses the upload after its first bytes."""
    figures = []

    def count(name, statuses, began):
        bad = [status for status in statuses if status != 405]
        check(len(statuses) == ATTEMPTS and not bad, f"{name}: {len(bad)} of {len(statuses)} did not read 405: {bad[:3]}")
        figures.append(f"{name} {ATTEMPTS} of {ATTEMPTS} ({(time.monotonic() - began) / ATTEMPTS * 1000:.0f} ms each)")

    with Site() as site, Server(site, "-q") as server, Site() as elsewhere, contextlib.ExitStack() as stack:
        site.file("page.bin", PAGE)
        file = elsewhere.file("upload", bytes(SIZE))
        before = server.footprint()
        other = stack.enter_context(Bystander(server, "/page.bin", PAGE))
        attempts = {
            "http.client": python,
            "wget --post-file": wget("--post-file=FILE"),
            "wget --body-file": wget("--method=PUT", "--body-file=FILE"),
        }
        for name, attempt in attempts.items():
            if name.startswith("wget") and not shutil.which("wget"):
                figures.append(f"{name} is missing")
                continue
            began = time.monotonic()
            count(name, [attempt(server.port, file) for _ in range(ATTEMPTS)], began)
        if shutil.which("node"):
            began = time.monotonic()
            url = f"http://127.0.0.1:{server.port}/page.bin"
            said = run(["node", "--input-type=module", "-e", FETCH, url, str(SIZE), str(ATTEMPTS)])
            count("fetch of node", [int(status) for status in said.split()], began)
        else:
            figures.append("node is missing")
        try:
            with nginx(server, "/") as front:
                began = time.monotonic()
                count("through nginx", [python(front.port, file) for _ in range(ATTEMPTS)], began)
        except Skip as reason:
            figures.append(str(reason))
        stack.close()
        return (
            f"405 read after {SIZE // 1_000_000} MB: {', '.join(figures)}; {len(other.took)} requests of others: "
            f"{latencies(other.took)}; {before.check()}"
        )
