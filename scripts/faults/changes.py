"""Files and directories that change while they are served: what had begun ends as announced or breaks off, what comes next is
true."""

import contextlib
import os
import shutil
import subprocess
import time

from . import Skip, check, fault
from .client import Client, assert_serves, ask, get
from .content import pattern
from .server import Server, Site, as_nobody, in_own_mounts

LENGTH = 32 << 20
OLD, NEW = pattern("old", LENGTH), pattern("new", LENGTH)
SMALL = pattern("small", 1000)


@contextlib.contextmanager
def download(**options):
    """A server, and a client that has begun to read `big.bin` and does not go on yet."""
    with Site() as site:
        big = site.file("big.bin", OLD)
        site.file("small.bin", SMALL)
        with Server(site, **options) as server:
            # Files that have not just changed are kept by the server, once they were asked for.
            time.sleep(0.1)
            for _ in range(2):
                assert_serves(server, "/big.bin", OLD)
                assert_serves(server, "/small.bin", SMALL)
            before = server.footprint()
            with Client(server, window=65536) as client:
                head = client.send(get("/big.bin")).head()
                check(head.fields["content-length"] == str(LENGTH), "wrong length")
                yield site, big, server, client
            before.check(kib=4096, files=1)


def finish(client, expected=OLD):
    """Reads the rest of the download, which must be as it was announced, and leaves the connection in step."""
    check(client.take(LENGTH) == expected, "wrong bytes")
    check(client.is_open(), "the connection was closed after a whole reply")


def status_of(server, path, status):
    reply = ask(server, path)
    check(reply.status == status, f"{path}: {reply.status} where {status} was expected")


@fault("file-shrinks")
def shrinking():
    with download() as (_, big, server, client):
        os.truncate(big, 1 << 20)
        rest = client.rest()
        check(1 << 20 <= len(rest) < LENGTH, f"{len(rest)} bytes")
        check(rest[: 1 << 20] == OLD[: 1 << 20], "wrong bytes")
        # The socket holds pages of the file itself, and the kernel may empty those behind the new end.
        for place in range(1 << 20, len(rest), 4096):
            page = rest[place : place + 4096]
            check(page == OLD[place : place + len(page)] or not any(page), f"wrong bytes at {place}")
        assert_serves(server, "/big.bin", OLD[: 1 << 20])
        os.truncate(big, 0)
        assert_serves(server, "/big.bin", b"")
        return f"broken off after {len(rest)} of {LENGTH} bytes; the next reply has the new length"


@fault("file-grows")
def growing():
    with download() as (_, big, server, client):
        with big.open("ab") as file:
            file.write(NEW)
        finish(client)
        assert_serves(server, "/big.bin", OLD + NEW)
        return f"{LENGTH} bytes as announced; the next reply has {2 * LENGTH}"


@fault("file-deleted")
def deleted():
    with download() as (_, big, server, client):
        big.unlink()
        status_of(server, "/big.bin", 404)
        finish(client)
        held = [name for name in server.descriptors() if name.endswith("(deleted)") and "big.bin" in name]
        check(not held, f"still open: {held}")
        return "sent to its end; then 404, and its descriptor is closed"


@fault("file-replaced")
def replaced():
    with download() as (site, big, server, client):
        for round_, content in enumerate([NEW, OLD, NEW]):
            os.replace(site.file("new.bin", content), big)
            assert_serves(server, "/big.bin", content)
            # Same size, same name, put there within a tick of the clock.
            small = pattern(f"small {round_}", 1000)
            os.replace(site.file("new.bin", small), site.path / "small.bin")
            assert_serves(server, "/small.bin", small)
        finish(client)
        os.replace(site.file("new.bin", SMALL), site.path / "small.bin")
        return "the old one sent to its end; every request after a rename got the new one, 6 of 6"


@fault("permission-taken")
def permission():
    with download(wrap=as_nobody()) as (site, big, server, client):
        for path in (big, site.path / "small.bin"):
            path.chmod(0)
            status_of(server, "/" + path.name, 403)
        finish(client)
        site.path.chmod(0o700 if os.geteuid() == 0 else 0)
        status_of(server, "/small.bin", 403)
        status_of(server, "/", 403)
        site.path.chmod(0o755)
        for path, content in ((big, OLD), (site.path / "small.bin", SMALL)):
            path.chmod(0o644)
            assert_serves(server, "/" + path.name, content)
        return "what had begun is sent to its end; then 403, of kept files too; 200 when it is given back"


@fault("directory-moved")
def moved():
    with download() as (site, _, server, client):
        elsewhere = site.path.with_name(site.path.name + ".moved")
        site.path.rename(elsewhere)
        site.path.mkdir()
        site.file("small.bin", b"an impostor")
        try:
            # It is the directory that is served, not its name.
            assert_serves(server, "/small.bin", SMALL)
            finish(client)
            assert_serves(server, "/big.bin", OLD)
        finally:
            shutil.rmtree(site.path)
            elsewhere.rename(site.path)
        return "served on from where it is now; what took its name is not served"


@fault("directory-deleted")
def removed():
    with download() as (site, _, server, client):
        shutil.rmtree(site.path)
        for path in ("/big.bin", "/small.bin", "/nothing"):
            status_of(server, path, 404)
        status = ask(server, "/").status
        check(status in (200, 404), f"/: {status}")
        finish(client)
        return f"what had begun is sent to its end; then 404; / is {status}"


def in_mounts_of(server, *command):
    done = subprocess.run(["nsenter", "-t", str(server.pid), "-m", *command], capture_output=True, check=False)
    return done.returncode == 0, done.stderr.decode().strip()


@fault("mounted-over")
def mounted_over():
    """A file system's own table changes above a file that is asked for a lot: its directory does not tell."""
    if not shutil.which("nsenter"):
        raise Skip("nsenter is missing")
    with Site() as site:
        for number in range(40):
            site.file(f"{number}.txt", b"old")
        other = site.file("other", b"new")
        time.sleep(0.1)
        with Server(site, wrap=in_own_mounts("true")) as server, Client(server) as client:

            def last():
                client.send(b"".join(get(f"/{number}.txt") for number in range(40)))
                return [client.reply().body for _ in range(40)][-1]

            check(last() == b"old", "wrong content")
            before = len(server.descriptors())
            for _ in range(3):
                check(last() == b"old", "wrong content")
            held = len(server.descriptors()) - before
            done, why = in_mounts_of(server, "mount", "--bind", str(other), str(site.path / "39.txt"))
            check(done, f"mount: {why}")
            check(last() == b"new", "the file below the mount was sent")
            done, why = in_mounts_of(server, "umount", str(site.path / "39.txt"))
            check(done, f"umount: {why}")
            check(last() == b"old", "the file that was mounted was sent")
    return f"{held} files held by descriptors; what is mounted over one of them is sent at once, and no longer than that"


@fault("unmounted")
def unmounted():
    """A file system is taken away below the server: lazily, for nothing else goes while files of it are being sent."""
    if not shutil.which("nsenter"):
        raise Skip("nsenter is missing")
    with Site() as site:
        disk = site.path / "disk"
        disk.mkdir()
        wrap = in_own_mounts(f"mount -t tmpfs -o size=80m,mode=755 none {disk}")
        site.file("small.bin", SMALL)
        with Server(site, wrap=wrap) as server:
            # Through the server's own eyes: nobody else sees its mount.
            inside = type(site).__new__(type(site))
            inside.path = site.path.__class__(f"/proc/{server.pid}/root{disk}")
            inside.file("big.bin", OLD)
            assert_serves(server, "/disk/big.bin", OLD)
            with Client(server, window=65536) as client:
                client.send(get("/disk/big.bin")).head()
                busy = not in_mounts_of(server, "umount", str(disk))[0]
                done, why = in_mounts_of(server, "umount", "-l", str(disk))
                check(done, f"umount -l: {why}")
                status_of(server, "/disk/big.bin", 404)
                finish(client)
                assert_serves(server, "/small.bin", SMALL)
        with Server(disk, wrap=wrap) as server:
            inside.path = site.path.__class__(f"/proc/{server.pid}/root{disk}")
            inside.file("big.bin", OLD)
            with Client(server, window=65536) as client:
                client.send(get("/big.bin")).head()
                done, why = in_mounts_of(server, "umount", "-l", str(disk))
                check(done, f"umount -l: {why}")
                finish(client)
                reply = ask(server, "/big.bin")
                check(reply.status == 404 or (reply.status, reply.body) == (200, OLD), f"status {reply.status}")
        return (
            f"below the directory ({'busy, so ' if busy else ''}lazily): sent to its end, then 404; "
            f"the directory itself: sent to its end, then {reply.status}"
        )
