"""Simulates an intruder in the program: makes every kind of system call inside the running server."""

import contextlib
import os
import platform
import pty
import select
import shutil
import struct
import subprocess
from pathlib import Path
from types import SimpleNamespace

from . import Skip, check, fault, wait_until
from .calls import NUMBERS, UNKNOWN, families, others, shown
from .client import ask, assert_serves
from .content import pattern
from .server import NOBODY, Server, Site, as_nobody
from .surroundings import listening_sockets
from .tracer import Thread

PAGE = pattern("page", 1024)
BIG = pattern("big", 1 << 20)
GETPID_32 = 20


@contextlib.contextmanager
def terminal(note):
    """Yields a terminal to start a server from; notes if something was typed into it."""
    master, slave = pty.openpty()
    try:
        yield slave
        # A terminal echoes what is typed into it.
        if select.select([master], [], [], 0)[0]:
            note("something was typed into the terminal")
    finally:
        os.close(master)
        os.close(slave)


def traits(process):
    """Returns what must not change of another process: its limits, priority, policy and processors; None if it has ended."""
    if process.poll() is not None:
        return None
    folder = Path(f"/proc/{process.pid}")
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    allowed = [line for line in (folder / "status").read_text().splitlines() if "_allowed" in line]
    return (folder / "limits").read_text(), fields[15:17], fields[37:39], allowed


@contextlib.contextmanager
def bystander(note):
    """Yields another process of the same user; notes if it was changed or killed."""
    with subprocess.Popen([*as_nobody(), "sleep", "600"]) as process:
        try:
            wait_until("it sleeps", lambda: b"sleep" in Path(f"/proc/{process.pid}/comm").read_bytes())
            before = traits(process)
            yield process.pid
            if traits(process) != before:
                note("another process was changed or killed")
        finally:
            process.kill()


def tree(folder):
    """Returns the attributes and the content of everything below `folder`."""
    found = {}
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[path] = (facts.st_mode, facts.st_uid, facts.st_mtime_ns, facts.st_ino, os.listxattr(path), content)
    return found


def descriptor_of(server, target):
    folder = Path(f"/proc/{server.pid}/fd")
    return next(int(path.name) for path in folder.iterdir() if os.readlink(path) == target)


def look_at_rights(server, note):
    """Notes if a server that gave up root has capabilities left, or if another user than root may read its memory."""
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        name, _, value = line.partition(":\t")
        if name.startswith("Cap") and int(value, 16):
            note(f"capabilities are left: {name} {value}")
    if owner := os.stat(f"/proc/{server.pid}/mem").st_uid:
        note(f"the memory of the server belongs to the user {owner}")


def assert_can_serve(thread, at):
    """Makes the calls that serving needs, each with the result of the call before it."""

    def made(name, *arguments):
        return thread.result(NUMBERS[name], *arguments)

    file = made("openat", -100, at.file, 0)
    room = thread.page + 2048
    steps = {
        "fstat": made("fstat", file, room) == 0,
        "pread64": made("pread64", file, room, len(PAGE), 0) == len(PAGE) and thread.read(room, len(PAGE)) == PAGE,
        "close": made("close", file) == 0,
        "poll": made("poll", struct.pack("=ihh", 2, 4, 0), 1, 0) in (0, 1),
        "clock_gettime": made("clock_gettime", 1, room) == 0,
        "futex": made("futex", room, 129, 1, 0, 0, 0) == 0,
        "write": made("write", 2, b"said from inside\n", 17) == 17,
    }
    missing = [name for name, works in steps.items() if not works]
    check(not missing, f"calls that serving needs do not work: {', '.join(missing)}")


def make_all(thread, at, note):
    """Makes all calls in one thread and notes those with a wrong outcome; returns the number of calls."""
    assert_can_serve(thread, at)
    at.page = thread.page
    table = [(call, expected) for _, expected, calls in families(at) for call in calls]
    table += [(call, UNKNOWN) for call in others({call[0] for call, _ in table})]
    for call, expected in table:
        name, *arguments = call
        came = thread.outcome(NUMBERS.get(name, name), *arguments)
        if came not in expected.split():
            note(f"{shown(call, at)}: {came} instead of {expected}")
    return len(table)


def play(site, outside, where, options, wrap, wrong):
    """Starts a server and makes all calls in each of its threads; it must still serve. Returns the number of calls."""

    def note(what):
        wrong.setdefault(what, []).append(where)

    root, wrap = site.path / "root", ("setsid", "--ctty", *wrap)
    with terminal(note) as slave, bystander(note) as other, Server(root, *options, wrap=wrap, stdin=slave) as server:
        if "not confined by" in server.last_words():
            raise Skip(server.last_words())
        if "--user" in options:
            look_at_rights(server, note)
        assert_serves(server, "/page.bin", PAGE)
        before = tree(site.path)
        at = SimpleNamespace(
            file=str(root / "page.bin"),
            free=str(root / "free"),
            directory=str(root / "sub"),
            outside=str(outside.path / "secret"),
            link=str(outside.path / "link"),
            listener=listening_sockets(server)[0],
            inotify=descriptor_of(server, "anon_inode:inotify"),
            own=server.pid,
            other=other,
        )
        count = 0
        for number in sorted(map(int, os.listdir(f"/proc/{server.pid}/task"))):
            with Thread(server.pid, number) as thread:
                count += make_all(thread, at, note)
        if tree(site.path) != before:
            note("files were changed")
        for _ in range(10):
            assert_serves(server, "/page.bin", PAGE)
            assert_serves(server, "/big.bin", BIG)
            check(b"page.bin" in ask(server, "/").body, "a file is not in the listing")
    return count


def assert_ends_by_other_numbers(site):
    """The filter does not know the call numbers of 32-bit programs: the first such call ends the process."""
    with Server(site.path / "root") as server:
        server.has_ended = True
        with Thread(server.pid, server.pid) as thread:
            came = thread.outcome_by_32_bits(GETPID_32)
            check(came in ("the end", *UNKNOWN.split()), f"getpid of 32-bit programs: {came}")


@fault("confined")
def confined():
    """Runs the server as root with --user, as an ordinary user, and as root, each with one loop and with two."""
    if platform.machine() != "x86_64":
        raise Skip("only the system calls of x86-64 are listed")
    if not shutil.which("setsid"):
        raise Skip("setsid is missing")
    kinds = [("an ordinary user", (), as_nobody())]
    if os.geteuid() == 0:
        kinds += [("--user", ("--user", "nobody"), ()), ("root", (), ())]
    wrong, counts = {}, []
    with Site() as site, Site() as outside:
        site.file("root/page.bin", PAGE)
        site.file("root/big.bin", BIG)
        site.file("root/sub/deep", PAGE)
        outside.file("secret", b"secret").chmod(0o644)
        (outside.path / "link").symlink_to("secret")
        if os.geteuid() == 0:
            # Only confinement, not file permissions, must refuse access.
            for path in (site.path, *site.path.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        for loops in ("1", "2"):
            for where, options, wrap in kinds:
                counts.append(play(site, outside, f"{where}, -n {loops}", (*options, "-n", loops), wrap, wrong))
        assert_ends_by_other_numbers(site)
    told = ""
    for what, places in wrong.items():
        places = sorted(set(places))
        told += f"\n  {what}" + (f" ({'; '.join(places)})" if len(places) < len(counts) else "")
    check(not wrong, f"{len(wrong)} wrong outcomes:{told}")
    return f"{sum(counts)} calls in all threads of {len(counts)} servers, each with the right outcome; all servers still serve"
