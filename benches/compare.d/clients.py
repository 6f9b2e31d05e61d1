"""The clients: wrk for nearly every work, openssl for full handshakes, and oha for one work, because it reads replies differently
from wrk."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import time

import growing
import meters
from works import DONE


class Clients:
    def __init__(self, scratch, root, cores, seconds):
        self.scratch, self.root, self.cores, self.seconds = scratch, root, cores, seconds
        self.threads = min(len(cores), 4)
        self.instructions = meters.Instructions()
        self.scripts = {}

    def script(self, work):
        path = f"{self.scratch}/{work.name}.lua"
        if work.name not in self.scripts:
            with open(path, "w") as file:
                file.write(work.script + DONE)
            self.scripts[work.name] = path
        return path

    def run(self, command):
        return subprocess.run(command, capture_output=True, text=True, start_new_session=True,
                              preexec_fn=lambda: meters.pin(self.cores))

    def measure(self, server, work, headers):
        """Measures one round; returns the figures of the client and of the server's process."""
        return self.openssl(server, work) if work.full_handshakes else self.wrk(server, work, headers)

    def wrk(self, server, work, headers):
        command = ["wrk", f"-t{self.threads}", f"-c{max(work.connections, self.threads)}", f"-d{self.seconds}s",
                   "--timeout", "10s", "-s", self.script(work)]
        for name, value in headers.items():
            command += ["-H", f"{name}: {value}"]
        pids = server.pids()
        with growing.log(f"{self.root}/growing.log", self.cores) if work.beside_log else contextlib.nullcontext():
            before = meters.cpu_seconds(pids)
            command = self.instructions.around(pids) + command + [f"{work.scheme()}://127.0.0.1:{server.port}{work.path}"]
            run = self.run(command)
            cpu = meters.cpu_seconds(server.pids()) - before
        lines = [line for line in run.stderr.splitlines() if line.startswith("{")]
        said = json.loads(lines[-1]) if lines else {}
        requests = said.get("requests")
        if not requests:
            raise ValueError("answered no request under load")
        counted = self.instructions.counted()
        return {
            "requests": requests,
            "requests_per_second": requests / said["us"] * 1e6,
            "mib_per_second": said["bytes"] / said["us"] * 1e6 / (1 << 20),
            "cpu_us": cpu * 1e6 / requests,
            "busy_percent": cpu / said["us"] * 1e8,
            "instructions": [count / requests for count in counted] if counted else None,
            "p50_ms": said["p50"] / 1e3,
            "p99_ms": said["p99"] / 1e3,
            "faults": said["faults"],
        }

    def openssl(self, server, work):
        """The same by openssl, which opens one connection after the other, each with a full handshake."""
        pids = server.pids()
        before, began = meters.cpu_seconds(pids), time.perf_counter()
        command = ["openssl", "s_time", "-new", "-time", str(self.seconds), "-www", work.path, "-connect", f"127.0.0.1:{server.port}"]
        run = self.run(self.instructions.around(pids) + command)
        cpu, took = meters.cpu_seconds(server.pids()) - before, time.perf_counter() - began
        said = re.search(r"^(\d+) connections in .* bytes read (\d+)", run.stdout, re.M)
        count, read = map(int, said.groups()) if said else (0, 0)
        if not count or read < 1024 * count:
            raise ValueError(f"openssl s_time: {count} connections, {read} bytes")
        counted = self.instructions.counted()
        return {
            "requests": count,
            "requests_per_second": count / took,
            "mib_per_second": read / took / (1 << 20),
            "cpu_us": cpu * 1e6 / count,
            "busy_percent": cpu / took * 100,
            "instructions": [each / count for each in counted] if counted else None,
            # It does not measure these.
            "p50_ms": 0,
            "p99_ms": 0,
            "faults": 0,
        }

    @staticmethod
    def has_oha():
        return shutil.which("oha") is not None

    def oha(self, server, work, headers):
        """The same by oha; of header fields it needs none for the work that it is used for."""
        command = ["oha", "--no-tui", "--output-format", "json", "-c", str(work.connections), "-z", f"{self.seconds}s",
                   f"http://127.0.0.1:{server.port}{work.path}"]
        pids = server.pids()
        before = meters.cpu_seconds(pids)
        run = self.run(command)
        cpu = meters.cpu_seconds(server.pids()) - before
        if run.returncode:
            raise ValueError("oha: " + (run.stderr.strip().splitlines() or ["failed"])[-1])
        said = json.loads(run.stdout)
        rate, percentiles = said["summary"]["requestsPerSec"], said["latencyPercentiles"]
        return {
            "requests_per_second": rate,
            "cpu_us": cpu * 1e6 / max(1, rate * said["summary"]["total"]),
            "p50_ms": (percentiles["p50"] or 0) * 1e3,
            "p99_ms": (percentiles["p99"] or 0) * 1e3,
            "faults": sum(count for fault, count in said["errorDistribution"].items() if "deadline" not in fault),
        }


def install():
    """Installs clients and peers; what cannot be had is left out later."""
    install_packages(["wrk", "gcc", "openssl", "linux-perf", "nginx-light", "h2o", "lighttpd", "caddy"])
    for crate, features in [("oha", []), ("static-web-server", ["--no-default-features", "--features", "directory-listing"])]:
        if not shutil.which(crate):
            subprocess.run(["cargo", "install", "--locked", crate] + features)


def install_packages(packages):
    if packages and shutil.which("apt-get"):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-q"], env=environment)
        for package in packages:
            subprocess.run(["apt-get", "install", "-qy", "--no-install-recommends", package], env=environment)
