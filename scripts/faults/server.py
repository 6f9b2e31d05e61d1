"""The program as a process, seen from outside: its banner, its descriptors, its memory, its end."""

import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from . import Skip, Wrong, check, wait_until

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
NOBODY = 65534


def program(example=None):
    """Finds the release binary, or an example as the tests have built it."""
    places = [f"release/examples/{example}", f"debug/examples/{example}"] if example else ["release/httpoll"]
    for place in places:
        if (TARGET / place).exists():
            return str(TARGET / place)
    raise Wrong(f"{TARGET / places[0]} is not built: cargo build --release --bin httpoll --example upload")


def raise_descriptor_limit(wanted):
    """Lets this process, and those it starts, open `wanted` descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if hard < wanted:
            raise Skip(f"{wanted} descriptors are wanted, {hard} allowed (ulimit -Hn)") from None


class Site:
    """A directory for the time of one fault, readable for everybody."""

    def __init__(self, memory=False):
        # A disk is no part of most faults.
        place = "/dev/shm" if memory and os.access("/dev/shm", os.W_OK) else None
        self.path = Path(tempfile.mkdtemp(prefix="httpoll-torture-", dir=place))
        self.path.chmod(0o755)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def file(self, name, content):
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path


class Server:
    """A running server. `wrap` are words before the command, `limit` descriptors, `log` its standard error."""

    def __init__(
        self, site, *options, wrap=(), limit=None, log=None, env=None, bind="127.0.0.1", example=None, stdin=subprocess.DEVNULL
    ):
        site = str(getattr(site, "path", site))
        if example:
            command = [program(example), f"{bind}:0", site]
        else:
            command = [program(), "0", "-b", bind, "-d", site, *options]
        self.log = tempfile.TemporaryFile() if log is None else log

        def prepare():
            if limit:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

        self.process = subprocess.Popen(
            [*wrap, *command],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**os.environ, **(env or {})},
            preexec_fn=prepare,
        )
        self.pid = self.process.pid
        banner = self.process.stdout.readline().decode()
        found = re.search(r"port (\d+)|:(\d+)/$", banner.strip())
        if not found:
            self.process.kill()
            self.process.wait()
            raise Wrong(f"the server did not start: {banner.strip() or self.last_words()}")
        self.host, self.port = bind, int(found.group(1) or found.group(2))
        self.has_ended = False
        self.own_sockets = self.sockets()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None and not self.has_ended:
                self.end()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()

    def end(self):
        """Asks for the end, which must come soon and in order."""
        check(self.is_alive(), f"the server has ended by itself: {self.last_words()}")
        self.has_ended = True
        self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(40)
        except subprocess.TimeoutExpired:
            code = "none"
        # An example leaves its end to the signal.
        check(code in (0, -signal.SIGTERM), f"exit code {code} after SIGTERM: {self.last_words()}")
        check("panicked" not in self.last_words(1 << 20), "a panic is in the log")

    def last_words(self, length=500):
        """The end of what it said on standard error, where that is a file."""
        try:
            size = os.fstat(self.log.fileno()).st_size
            return os.pread(self.log.fileno(), length, max(0, size - length)).decode(errors="replace").strip()
        except (AttributeError, OSError):
            return ""

    def signal(self, number):
        self.process.send_signal(number)

    def is_alive(self):
        return self.process.poll() is None

    def descriptors(self):
        """What each of its descriptors is."""
        found = []
        folder = f"/proc/{self.pid}/fd"
        for name in os.listdir(folder):
            try:
                found.append(os.readlink(f"{folder}/{name}"))
            except FileNotFoundError:
                pass
        return found

    def sockets(self):
        return sum(target.startswith("socket:") for target in self.descriptors())

    def memory(self):
        """Its share of memory in KiB, or what is resident where the kernel does not tell."""
        for name, field in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
            try:
                for line in Path(f"/proc/{self.pid}/{name}").read_text().splitlines():
                    if line.startswith(field):
                        return int(line.split()[1])
            except (FileNotFoundError, PermissionError):
                pass
        raise Skip("the kernel does not tell how much memory a process has")

    def cpu(self):
        """Seconds of the processor that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def footprint(self):
        """What it holds now, once all connections of before are gone."""
        wait_until("all connections are closed", lambda: self.sockets() <= self.own_sockets)
        return Footprint(self)


class Footprint:
    """What a server holds now, to be compared with what it holds later."""

    def __init__(self, server):
        self.server, self.memory, self.all = server, server.memory(), len(server.descriptors())

    def check(self, kib=2048, files=0):
        """No descriptor more than before, but for `files` that may be kept, and at most `kib` more of memory."""
        server = self.server
        check(server.is_alive(), f"the server has ended: {server.last_words()}")
        try:
            wait_until("all descriptors are back", lambda: len(server.descriptors()) <= self.all + files)
        finally:
            now = server.descriptors()
            check(len(now) <= self.all + files, f"{self.all} descriptors before, {len(now)} after: {sorted(now)}")
        grown = server.memory() - self.memory
        check(grown <= kib, f"{grown} KiB of memory more than before")
        return f"descriptors {self.all} → {len(now)}, memory {grown:+} KiB"


def as_nobody():
    """The words before a command that run it without root's rights; none are needed where we are not root."""
    if os.geteuid() != 0:
        return ()
    if not shutil.which("setpriv"):
        raise Skip("setpriv is missing, and root may read everything")
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def in_own_mounts(script):
    """The words before a command that first run `script` in a mount namespace of its own."""
    for unshare in (("unshare", "-m"), ("unshare", "-r", "-m")):
        words = (*unshare, "sh", "-c", script + ' && exec "$@"', "sh")
        if (
            shutil.which("unshare")
            and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
        ):
            return words
    raise Skip("mounting is not permitted here")
