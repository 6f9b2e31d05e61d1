"""Served paths that change to other directories: each request gets the file that its path leads to at that time."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from . import Skip, check, fault, wait_until
from .changes import CLOSED_AFTER, OLD, SMALL, download, finish, status_of
from .client import Client, assert_serves, get
from .content import pattern
from .server import Server, Site, in_own_mounts

AT_CWD, RENAME_EXCHANGE = -100, 2
# Larger than the files that the server keeps in memory.
LARGE = 200_000


def build(root, version):
    """Makes the directory `root`; the content of its files tells the version."""
    root.mkdir(parents=True)
    for name, length in (("small", 1000), ("large", LARGE)):
        (root / name).write_bytes(pattern(version, length))
    # The server need not cache a file that has just changed, and these files should be cached.
    time.sleep(0.1)


def assert_is(client, version, path="/"):
    """Asserts that `path` leads to a directory of this version; asks twice, so that the server caches what it can."""
    for _ in range(2):
        for name, length in (("small", 1000), ("large", LARGE)):
            reply = client.ask(path + name)
            check(reply.status == 200, f"{path}{name}: {reply.status} instead of version {version}")
            check(reply.body == pattern(version, length), f"{path}{name} is not of version {version}")
        check(b"small" in client.ask(path).body, "a file is not in the listing")


def assert_leads_nowhere(client):
    for path in ("/small", "/large", "/nothing", "/"):
        status = client.ask(path).status
        check(status == 404, f"{path}: {status} while the served directory is not there")


def is_out_of_reach(client, path):
    """Returns whether the reply is the 503 of a server confined to the former parent directory."""
    reply = client.ask(path)
    check(reply.status != 503 or b"It has to be restarted." in reply.body, f"{path}: 503 with another text")
    return reply.status == 503


def exchange(one, other):
    """Exchanges two names in one step."""
    names = os.fsencode(one), os.fsencode(other)
    if ctypes.CDLL(None, use_errno=True).renameat2(AT_CWD, names[0], AT_CWD, names[1], RENAME_EXCHANGE):
        raise Skip(f"names cannot be exchanged here: {os.strerror(ctypes.get_errno())}")


@fault("root-recreated")
def recreated():
    """The served directory is rebuilt, renamed over and exchanged, as build tools do, and so is the directory above it."""
    with Site() as site:
        above, spare = site.path / "above", site.path / "spare"
        root = above / "root"
        build(root, "0")

        def rebuild():
            shutil.rmtree(root)
            assert_leads_nowhere(client)
            build(root, "1")

        def rename():
            build(spare, "2")
            root.rename(site.path / "old")
            spare.rename(root)

        def exchange_both():
            build(spare, "3")
            exchange(spare, root)

        def rebuild_above():
            shutil.rmtree(above)
            assert_leads_nowhere(client)
            build(root, "4")

        with Server(root) as server, Client(server) as client:
            assert_is(client, "0")
            for number, way in enumerate((rebuild, rename, exchange_both), 1):
                way()
                assert_is(client, str(number))
            with Client(server) as other:
                assert_is(other, "3")
            rebuild_above()
            if not is_out_of_reach(client, "/small"):
                assert_is(client, "4")
    return "rebuilt, renamed over, exchanged: 404 in between, then the new one; with the directory above: 503 that says why"


@fault("root-switched")
def switched():
    """The served path is a symbolic link, relative to the current directory, that is replaced to switch releases."""
    switches = 100
    with Site() as site:
        for version in ("0", "1"):
            build(site.path / f"release-{version}", version)

        def switch(version):
            (site.path / "next").symlink_to(f"release-{version}")
            os.replace(site.path / "next", site.path / "current")

        switch("0")
        with Server("current", wrap=("env", "-C", str(site.path))) as server, Client(server) as client:
            for number in range(switches):
                assert_is(client, str(number % 2))
                switch(str((number + 1) % 2))
            (site.path / "current").unlink()
            assert_leads_nowhere(client)
            switch("0")
            assert_is(client, "0")
    return f"{switches} switches: every request after a switch gets the new release; 404 while there is no link"


@fault("directory-moved")
def moved():
    """The served directory is renamed: the server serves its path, not the directory."""
    with download() as (site, _, server, client):
        elsewhere = site.path.with_name(site.path.name + ".moved")
        site.path.rename(elsewhere)
        try:
            for path in ("/small.bin", "/big.bin", "/"):
                status_of(server, path, 404)
            site.path.mkdir()
            site.file("small.bin", b"what took its name")
            assert_serves(server, "/small.bin", b"what took its name")
            status_of(server, "/big.bin", 404)
            finish(client)
        finally:
            shutil.rmtree(site.path, ignore_errors=True)
            elsewhere.rename(site.path)
        assert_serves(server, "/small.bin", SMALL)
        assert_serves(server, "/big.bin", OLD)
        return "a reply in flight is sent to its end; 404, then the new directory, then the old one when it is back"


@fault("directory-deleted")
def removed():
    with download() as (site, _, server, client):
        shutil.rmtree(site.path)
        for path in ("/big.bin", "/small.bin", "/nothing", "/"):
            status_of(server, path, 404)
        finish(client)
        site.path.mkdir()
        site.file("small.bin", b"made again")
        assert_serves(server, "/small.bin", b"made again")
        status_of(server, "/big.bin", 404)
        return "a reply in flight is sent to its end; then 404; served when the directory is made again"


@fault("moved-outside")
def moved_outside():
    """A directory is moved out of the served one and replaced by a link to it: the server must not send its cached files."""
    with Site() as site:
        root, outside = site.path / "root", site.path / "outside"
        outside.mkdir()
        build(root / "leaves", "secret")
        build(root / "stays", "public")
        with Server(root) as server, Client(server) as client:
            for name, version, place in (("leaves", "secret", outside), ("stays", "public", root)):
                assert_is(client, version, f"/{name}/")
                (root / name).rename(place / "moved")
                (root / name).symlink_to(os.path.relpath(place / "moved", root))
            for name in ("small", "large", ""):
                status = client.ask(f"/leaves/{name}").status
                check(status == 404, f"/leaves/{name}: {status} through a link that leads out")
            assert_is(client, "public", "/stays/")
    return "404 through the link that leads out, for cached files too; 200 through the link that stays inside"


def in_mounts_of(server, *command):
    if not shutil.which("nsenter"):
        raise Skip("nsenter is missing")
    done = subprocess.run(["nsenter", "-t", str(server.pid), "-m", *command], capture_output=True, check=False)
    return done.returncode == 0, done.stderr.decode().strip()


def mount_for(server, *command):
    done, why = in_mounts_of(server, *command)
    check(done, f"{' '.join(command)}: {why}")


def seen_by(server, path):
    """Returns the path that shows `path` as the server sees it, in its mount namespace."""
    return Path(f"/proc/{server.pid}/root{path}")


@fault("mounted-over")
def mounted_over():
    """A mount covers a file, its directory, the served directory and the one above; inotify reports none of these."""
    with Site() as site:
        above, instead = site.path / "above", site.path / "instead"
        build(above / "root" / "sub", "below")
        build(instead / "root" / "sub", "mounted")
        with Server(above / "root", wrap=in_own_mounts("true")) as server, Client(server) as client:

            def assert_all_are(version):
                client.send(get("/sub/small") * 40)
                bodies = {client.reply().body for _ in range(40)}
                check(bodies == {pattern(version, 1000)}, f"{place}: not the {version} file")

            for place in ("root/sub/small", "root/sub", "root", "."):
                for _ in range(3):
                    assert_all_are("below")
                mount_for(server, "mount", "--bind", str(instead / place), str(above / place))
                if place != "." or not is_out_of_reach(client, "/sub/small"):
                    assert_all_are("mounted")
                mount_for(server, "umount", "-l", str(above / place))
                assert_all_are("below")
    return "over a file, its directory, the served one, the one above: the mounted files are sent at once, until they are unmounted"


@fault("unmounted")
def unmounted():
    """A file system is unmounted while the server sends a file of it; only a lazy unmount is possible then."""
    with Site() as site:
        disk = site.path / "disk"
        disk.mkdir()
        tmpfs = ("mount", "-t", "tmpfs", "-o", "size=80m,mode=755", "none", str(disk))
        wrap = in_own_mounts(" ".join(tmpfs))
        site.file("small.bin", SMALL)
        for served, path in ((site.path, "/disk"), (disk, "")):
            with Server(served, wrap=wrap) as server:
                big = seen_by(server, disk) / "big.bin"
                big.write_bytes(OLD)
                assert_serves(server, f"{path}/big.bin", OLD)
                with Client(server, window=65536) as client:
                    client.send(get(f"{path}/big.bin")).head()
                    mount_for(server, "umount", "-l", str(disk))
                    status_of(server, f"{path}/big.bin", 404)
                    finish(client)
                    mount_for(server, *tmpfs)
                    big.write_bytes(b"another disk")
                    assert_serves(server, f"{path}/big.bin", b"another disk")
    return "a part of the site, or all of it: sent to its end, then 404; then the files of another file system mounted there"


@fault("disk-let-go")
def let_go():
    """A file system can be unmounted soon after its last request, even if the server gets no other request."""
    with Site() as site:
        disk = site.path / "disk"
        disk.mkdir()
        with Server(site, wrap=in_own_mounts(f"mount -t tmpfs -o size=80m,mode=755 none {disk}")) as server:
            inside = seen_by(server, disk)
            build(inside / "sub", "old")
            with Client(server) as client:
                assert_is(client, "old", "/disk/sub/")
            took = wait_until("it is unmounted", lambda: in_mounts_of(server, "umount", str(disk))[0], CLOSED_AFTER)
            status_of(server, "/disk/sub/small", 404)
    return f"its files and listings were cached; unmounted {took:.1f} s after the last request, then 404"


@contextlib.contextmanager
def bindfs(source, place):
    """Mounts a FUSE file system that shows `source` at `place`; it stays mounted when its daemon is killed."""
    if not shutil.which("bindfs") or not shutil.which("fusermount3"):
        raise Skip("bindfs is missing (apt-get install bindfs fuse3)")
    with subprocess.Popen(["bindfs", "-f", str(source), str(place)], stderr=subprocess.PIPE) as daemon:
        try:
            while not os.path.ismount(place):
                if daemon.poll() is not None:
                    raise Skip(f"bindfs: {daemon.stderr.read().decode().strip()}")
                time.sleep(0.01)
            yield daemon
        finally:
            subprocess.run(["fusermount3", "-uz", str(place)], capture_output=True, check=False)
            daemon.kill()


@fault("fuse-remounted")
def remounted():
    """The daemon of a FUSE file system dies and the file system is mounted again, at the served directory and below it."""
    with Site() as site:
        disk = site.path / "root" / "disk"
        disk.mkdir(parents=True)
        for version in ("1", "2"):
            build(site.path / version, version)
        with contextlib.ExitStack() as stack:
            with bindfs(site.path / "1", disk) as daemon:
                part = stack.enter_context(Client(stack.enter_context(Server(disk.parent))))
                whole = stack.enter_context(Client(stack.enter_context(Server(disk))))
                assert_is(part, "1", "/disk/")
                assert_is(whole, "1")
                daemon.send_signal(signal.SIGKILL)
                daemon.wait()
                # The kernel caches replies of the daemon for a second, so 200 is possible too.
                dead = {part.ask("/disk/small").status, whole.ask("/small").status}
                check(dead <= {200, 404, 500, 503}, f"statuses {dead} without a daemon")
            statuses = {part.ask("/disk/small").status, whole.ask("/small").status}
            check(statuses == {404}, f"statuses {statuses} when it is unmounted")
            with bindfs(site.path / "2", disk):
                assert_is(part, "2", "/disk/")
                assert_is(whole, "2")
    return f"{', '.join(map(str, sorted(dead)))} when its daemon was killed, 404 when unmounted; mounted again: served"
