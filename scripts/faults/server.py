"""The program as a process: its start, descriptors, memory and end."""

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
    """Returns the path of the release binary, or of an example in the release or debug build."""
    places = [f"release/examples/{example}", f"debug/examples/{example}"] if example else ["release/httpoll"]
    for place in places:
        if (TARGET / place).exists():
            return str(TARGET / place)
    raise Wrong(f"{TARGET / places[0]} is not built: cargo build --release --bin httpoll --example upload")


def raise_descriptor_limit(wanted):
    """Lets this process and its children open `wanted` descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if hard < wanted:
            raise Skip(f"{wanted} descriptors are needed, {hard} allowed (ulimit -Hn)") from None


class Site:
    """A temporary directory for one fault, readable for every user."""

    def __init__(self, memory=False):
        # Most faults do not need a disk.
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
    """A running server. `wrap` are words before the command, `limit` is its descriptor limit, `log` its standard error."""

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
        self.site, self.host, self.port = Path(site), bind, int(found.group(1) or found.group(2))
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
        """Sends SIGTERM and checks that the server ends within 40 s, with the right exit code and without a panic."""
        check(self.is_alive(), f"the server has ended by itself: {self.last_words()}")
        self.has_ended = True
        self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(40)
        except subprocess.TimeoutExpired:
            code = "none"
        # An example does not handle SIGTERM, so the signal ends it.
        check(code in (0, -signal.SIGTERM), f"exit code {code} after SIGTERM: {self.last_words()}")
        check("panicked" not in self.last_words(1 << 20), "a panic is in the log")

    def last_words(self, length=500):
        """Returns the last bytes of its standard error, if that is a file."""
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
        """Returns the target of each of its descriptors."""
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
        """Returns its Pss in KiB, or its RSS where the kernel does not tell Pss."""
        for name, field in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
            try:
                for line in Path(f"/proc/{self.pid}/{name}").read_text().splitlines():
                    if line.startswith(field):
                        return int(line.split()[1])
            except (FileNotFoundError, PermissionError):
                pass
        raise Skip("the kernel does not tell the memory of a process")

    def resident(self):
        """Returns its RSS in KiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def resident_without_libraries(self):
        """Returns the RSS in KiB of its mappings, except shared libraries, because other processes share their pages."""
        total, is_library = 0, False
        for line in Path(f"/proc/{self.pid}/smaps").read_text().splitlines():
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                is_library = ".so" in line
            elif line.startswith("Rss:") and not is_library:
                total += int(line.split()[1])
        return total

    def cpu(self):
        """Returns the processor time that it has used, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def footprint(self):
        """Returns what it holds once all earlier connections are closed."""
        wait_until("all connections are closed", lambda: self.sockets() <= self.own_sockets)
        return Footprint(self)


class Footprint:
    """The descriptors and the memory of a server at one moment, to compare with a later moment."""

    def __init__(self, server):
        self.server, self.memory, self.all = server, server.memory(), len(server.descriptors())

    def check(self, kib=2048, files=0):
        """Checks that the server holds at most `files` more descriptors than before and `kib` more memory; returns the figures."""
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
    """Returns the words before a command that run it as the user nobody; none if this process is not root."""
    if os.geteuid() != 0:
        return ()
    if not shutil.which("setpriv"):
        raise Skip("setpriv is missing, and root may read everything")
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def require_strace():
    """Skips the fault where strace is missing or may not trace."""
    if not shutil.which("strace"):
        raise Skip("strace is missing (apt-get install strace)")
    if subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode:
        raise Skip("tracing is not permitted here")


def in_own_mounts(script):
    """Returns the words before a command that run `script` and then the command in a new mount namespace."""
    for unshare in (("unshare", "-m"), ("unshare", "-r", "-m")):
        words = (*unshare, "sh", "-c", script + ' && exec "$@"', "sh")
        if (
            shutil.which("unshare")
            and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
        ):
            return words
    raise Skip("mounting is not permitted here")
