"""File systems that answer slowly or not at all: only the clients that ask for their files wait."""

import concurrent.futures
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from . import Skip, check, fault, latencies, percentile, wait_until
from .client import Bystander, Client, ask, assert_serves, get
from .content import pattern
from .proxies import run_nginx
from .server import ROOT, Server, Site, in_own_mounts

PAGE = pattern("page", 1024)
BIG = pattern("big", 8 << 20)
# Seconds by which answers are delayed, and by which the 99th percentile of other clients may grow.
DELAY, MORE = 1, 0.002
MEASURED = 6

# Clients of a file system that does not answer, clients of a local file, and the share of their requests that must be left.
WAITING, LOADING, SHARE = 100, 64, 0.95
LOADS = 16

# The disk takes this long to read a block. Every file has its inode in a block of its own.
DISK_DELAY = 0.01
DIRECTORIES, FILES = 100, 100
COLD_CLIENTS = 8


class SlowMount:
    """A FUSE file system that shows `source`, and what its daemon is told. Only names that begin with `slow` are slow."""

    def __init__(self, site):
        self.source, self.root, self.control = (site.path / name for name in ("source", "root", "delays"))
        self.place = self.root / "mount"
        self.source.mkdir()
        self.place.mkdir(parents=True)
        self.delay()

    def __enter__(self):
        if os.geteuid() != 0 or not Path("/dev/fuse").exists():
            raise Skip("FUSE file systems may not be mounted here")
        program = ROOT / "tests/common/slow_mount.py"
        # The daemon unmounts when its standard input ends, so also if this process is killed.
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.daemon = subprocess.Popen(["python3", program, self.source, self.place, self.control], **pipes)
        if not self.daemon.stdout.readline():
            raise Skip(self.daemon.communicate()[1].decode().strip())
        return self

    def __exit__(self, *_):
        self.daemon.kill()
        self.daemon.communicate()
        subprocess.run(["umount", "-l", self.place], capture_output=True, check=False)

    def delay(self, **seconds):
        """Delays requests of the kernel of these kinds, and no others."""
        self.control.write_text("".join(f"{kind} {delay}\n" for kind, delay in seconds.items()))

    @contextlib.contextmanager
    def stopped(self):
        """Stops the daemon for a while: requests for its files wait in the kernel."""
        self.daemon.send_signal(signal.SIGSTOP)
        # A request that the daemon has read before it stops could not be withdrawn.
        status = Path(f"/proc/{self.daemon.pid}/status")
        wait_until("the daemon has stopped", lambda: "\nState:\tT" in status.read_text())
        try:
            yield
        finally:
            self.daemon.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def slow_site():
    """Makes a site with a local file and a slow file system below it."""
    with Site(memory=True) as site, SlowMount(site) as mount:
        (mount.root / "page.bin").write_bytes(PAGE)
        (mount.source / "slow.bin").write_bytes(PAGE)
        (mount.source / "slow-directory").mkdir()
        (mount.source / "slow-directory" / "entry.bin").touch()
        yield mount


def others(servers, seconds):
    """Returns the latencies of a small file from each of the servers, which are asked at the same time."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Bystander(server, "/page.bin", PAGE, pause=0.002)) for server in servers]
        time.sleep(seconds)
    return [client.took for client in clients]


def check_others(beside, without):
    """Checks that other clients do not wait, by those of a server without slow requests at the same time; returns their figures."""
    figures = f"others: {latencies(beside)}; without: {latencies(without)}"
    check(max(beside) < DELAY / 2, f"too long: {figures}")
    check(percentile(beside, 0.99) < percentile(without, 0.99) + MORE, f"too long: {figures}")
    return figures


def slow_kind(kind, path):
    """A client keeps asking for what takes a second in one kind of request of the kernel."""
    with slow_site() as mount, Server(mount.root, "-q") as server, Server(mount.root, "-q") as idle:
        body = ask(server, path).body
        assert_serves(server, "/page.bin", PAGE)
        before = server.footprint()
        mount.delay(**{kind: DELAY})
        with Bystander(server, path, body, pause=0) as slow:
            figures = check_others(*others((server, idle), MEASURED))
        check(min(slow.took) >= DELAY, f"{path}: not slow: {latencies(slow.took)}")
        return f"{len(slow.took)} replies after {min(slow.took):.1f} s or more; {figures}; {before.check(files=1)}"


@fault("slow-lookup")
def slow_lookup():
    return slow_kind("lookup", "/mount/slow.bin")


@fault("slow-getattr")
def slow_getattr():
    return slow_kind("getattr", "/mount/slow.bin")


@fault("slow-open")
def slow_open():
    return slow_kind("open", "/mount/slow.bin")


@fault("slow-read")
def slow_read():
    return slow_kind("read", "/mount/slow.bin")


@fault("slow-readdir")
def slow_readdir():
    return slow_kind("readdir", "/mount/slow-directory/")


def load(server):
    """Returns the requests per second of many clients that ask for a small local file."""
    if not shutil.which("wrk"):
        raise Skip("wrk is missing (apt-get install wrk)")
    url = f"http://{server.host}:{server.port}/page.bin"
    said = subprocess.run(["wrk", "-t1", f"-c{LOADING}", "-d1s", url], capture_output=True, text=True, check=True).stdout
    check("errors" not in said and "Non-2xx" not in said, said)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


@fault("dead-mount")
def dead_mount():
    """The daemon of a FUSE file system is stopped while many clients ask for its files, and goes on later."""
    with slow_site() as mount, Server(mount.root, "-q") as server:
        assert_serves(server, "/mount/slow.bin", PAGE)
        load(server)
        before = server.footprint()
        alone, beside = [], []
        for number in range(LOADS):
            # In this order, a machine that gets faster or slower changes both figures alike.
            if number % 4 in (0, 3):
                alone.append(load(server))
                continue
            with mount.stopped():
                crowd = [Client(server).send(get("/mount/slow.bin")) for _ in range(WAITING)]
                time.sleep(0.2)
                beside.append(load(server))
                check(all(client.is_open() for client in crowd), "a reply while the daemon is stopped")
            for client in crowd:
                reply = client.reply()
                check((reply.status, reply.body) == (200, PAGE), f"status {reply.status} after SIGCONT")
                client.close()
        share = sum(beside) / sum(alone)
        check(share >= SHARE, f"others get {share:.1%} of their requests: {beside} of {alone}")
        return (
            f"{WAITING} clients, answered after SIGCONT, {len(beside)} times; {LOADING} others meanwhile: {share:.1%} "
            f"of {sum(alone) / len(alone):.0f} requests per second; {before.check(files=1)}"
        )


def make_image(site, image):
    """Makes a file system with many small files; each inode has a block of its own, so that each name has to be read."""
    tree = site.path / "tree"
    for directory in range(DIRECTORIES):
        (tree / str(directory)).mkdir(parents=True)
        for number in range(FILES):
            (tree / str(directory) / str(number)).write_bytes(f"{directory}/{number}".encode())
    (tree / "page.bin").write_bytes(PAGE)
    (tree / "big.bin").write_bytes(BIG)
    if not shutil.which("mkfs.ext4", path=os.environ["PATH"] + ":/usr/sbin"):
        raise Skip("mkfs.ext4 is missing (apt-get install e2fsprogs)")
    inodes = DIRECTORIES * FILES + DIRECTORIES + 100
    options = ("-q", "-b", "4096", "-I", "4096", "-N", inodes, "-O", "^has_journal", "-d", tree, image, "256M")
    subprocess.run(["mkfs.ext4", *map(str, options)], capture_output=True, check=True)
    shutil.rmtree(tree)


@contextlib.contextmanager
def slow_disk():
    """Makes a disk image on a slow file system. Yields that file system, the directory to serve, and the words before a command
    that mount the image there for it alone. To the kernel it is a local disk, and nothing of it is in memory when it is mounted."""
    with Site(memory=True) as site, SlowMount(site) as mount:
        make_image(site, mount.source / "slow-disk")
        disk = mount.root / "disk"
        disk.mkdir()
        # The loop device ends with the mount, and the mount with the command.
        yield mount, disk, in_own_mounts(
            f"device=$(losetup -r --direct-io=on -f --show {mount.place}/slow-disk) && "
            f"mount -t ext4 -o ro,inode_readahead_blks=1 $device {disk} && losetup -d $device"
        )


def cold_names():
    names = [f"{directory}/{number}" for directory in range(DIRECTORIES) for number in range(FILES)]
    random.shuffle(names)
    return iter(names)


def ask_for_all(server, names, done):
    """Asks for one name after the other; returns how many were served."""
    count = 0
    with Client(server) as client:
        for name in names:
            if done.is_set():
                break
            reply = client.ask(f"/{name}")
            check((reply.status, reply.body) == (200, name.encode()), f"/{name}: status {reply.status}, or wrong bytes")
            count += 1
    return count


def others_beside_cold_names(server, *servers):
    """Lets clients ask the first server for cold names; returns how many of those were served, and the latencies of a file in
    memory from each server."""
    for each in (server, *servers):
        assert_serves(each, "/page.bin", PAGE)
    names, done = cold_names(), threading.Event()
    with concurrent.futures.ThreadPoolExecutor(COLD_CLIENTS) as pool:
        asking = [pool.submit(ask_for_all, server, names, done) for _ in range(COLD_CLIENTS)]
        try:
            took = others((server, *servers), MEASURED)
        finally:
            done.set()
        return sum(future.result() for future in asking), *took


@fault("slow-disk")
def slow_local_disk():
    """Clients ask for names on a slow local disk that nothing has read before, others for a file that is in memory."""
    with slow_disk() as (mount, disk, wrap):
        with Server(disk, "-q", wrap=wrap) as server, Server(disk, "-q", wrap=wrap) as idle:
            mount.delay(read=DISK_DELAY)
            count, *took = others_beside_cold_names(server, idle)
            figures = [f"{count} cold names; {check_others(*took)}"]
        for name, rule in {"nginx": "", "nginx with aio threads": "aio threads;"}.items():
            mount.delay()
            with contextlib.suppress(Skip), run_nginx(f"root {disk}; {rule}", wrap) as server:
                mount.delay(read=DISK_DELAY)
                count, took = others_beside_cold_names(server)
                figures.append(f"{name}: {count} cold names, others: {latencies(took)}")
        return "; ".join(figures)


@fault("dead-disk")
def dead_local_disk():
    """A local disk does not answer for a while: what is in memory is served, and all else when the disk answers again."""
    with contextlib.ExitStack() as stack:
        mount, disk, wrap = stack.enter_context(slow_disk())
        server, idle = (stack.enter_context(Server(disk, "-q", wrap=wrap)) for _ in range(2))
        assert_serves(server, "/page.bin", PAGE)
        assert_serves(idle, "/page.bin", PAGE)
        before = server.footprint()
        names = [f"{directory}/{directory}" for directory in range(WAITING)]
        with mount.stopped():
            crowd = [Client(server).send(get(f"/{name}")) for name in names]
            download = Client(server).send(get("/big.bin"))
            figures = check_others(*others((server, idle), MEASURED))
            check(all(client.is_open() for client in crowd), "a reply while the disk does not answer")
        for name, client in zip(names, crowd):
            reply = client.reply()
            check((reply.status, reply.body) == (200, name.encode()), f"/{name}: status {reply.status}, or wrong bytes")
            client.close()
        check(download.reply().body == BIG, "the download: wrong bytes")
        download.close()
        return f"{WAITING} clients, answered when it goes on; {figures}; {before.check(files=1)}"
