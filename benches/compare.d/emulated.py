"""A machine with a clock that advances by one nanosecond with each instruction, so that the processor time of a process is
the number of its instructions. QEMU emulates it (-icount): no hardware counters and no privileges are needed. It runs a kernel
of the distribution, unpacked but not installed. It sees the files of this machine under the same paths, read-only, and has a disk
of its own at /mnt."""

import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import clients

PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86", "busybox": "busybox-static", "cpio": "cpio", "mke2fs": "e2fsprogs",
    "depmod": "kmod", "xz": "xz-utils", "zstd": "zstd", "wrk": "wrk", "cc": "gcc",
}
MODULES = ["virtio_pci", "virtio_blk", "ext4", "9pnet_virtio", "9p"]
UNPACK = {".xz": ["xz", "-dc"], ".zst": ["zstd", "-dcq"]}

# QEMU counts each iteration of a repeated instruction, and `rep movsb` moves one byte in each: without these two features the
# kernel copies by loops of 8 bytes a move, as it does on older processors.
PROCESSOR = "max,-erms,-fsrm"
# No mitigations, because they differ between processors; no clearing of pages that are written anyway; and the time of an
# interrupt counts for the interrupted process, as in perf.
KERNEL = "console=ttyS0 quiet panic=-1 mitigations=off init_on_alloc=0 tsc=reliable tsc=noirqtime"

INIT = """#!/bin/busybox sh
set -e
b=/bin/busybox
$b mount -t proc none /proc
$b mount -t sysfs none /sys
$b mount -t devtmpfs none /dev
for module in %s; do $b insmod /modules/$module; done
# The server keeps nothing of a site below a directory of a file server, so the root is in memory.
$b mkdir /files
$b mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=512000 root /files
$b mount -t tmpfs none /host
for each in $($b ls /files); do
    if [ -L /files/$each ]; then
        $b cp -a /files/$each /host/
    elif [ -d /files/$each ]; then
        $b mkdir /host/$each
        $b mount -o bind /files/$each /host/$each
    fi
done
for each in proc sys dev; do $b mount -o bind /$each /host/$each; done
$b mount -t ext4 /dev/vda /host/mnt
$b ip link set lo up
$b chroot /host /bin/sh /mnt/job || true
$b poweroff -f
"""


def missing(cache):
    """Returns what is missing: names of packages, and a note if there is no kernel yet."""
    packages = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    # A dynamically linked busybox cannot start before the C library is mounted.
    if shutil.which("busybox") and b"/ld-linux" in contents(shutil.which("busybox")):
        packages.append("busybox-static")
    return packages + ([] if glob.glob(f"{cache}/boot/vmlinuz-*") else ["a kernel, to be unpacked and not installed"])


def install(cache):
    """Installs what is missing, and unpacks the newest kernel of the distribution that has 9p."""
    needed = missing(cache)
    clients.install_packages([package for package in needed if package in PACKAGES.values()])
    if glob.glob(f"{cache}/boot/vmlinuz-*"):
        return
    listed = subprocess.run(["apt-cache", "search", "--names-only", "^linux-image-"], capture_output=True, text=True).stdout
    known = re.findall(r"^linux-image-(\d+\.\d+\.[\w.+~]+(?:-\d+)?-(?:amd64|generic)) ", listed, re.M)
    if not known:
        sys.exit("apt knows no kernel linux-image-*-amd64 or linux-image-*-generic")
    newest = max(known, key=lambda version: list(map(int, re.findall(r"\d+", version))))
    # Ubuntu has the modules in a separate package.
    packages = [f"linux-image-{newest}"] + [f"linux-modules-{newest}"] * newest.endswith("generic")
    partial = f"{cache}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    os.makedirs(partial)
    subprocess.run(["apt-get", "download", "-q"] + packages, cwd=partial, check=True)
    for package in glob.glob(f"{partial}/*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, partial], check=True)
        os.unlink(package)
    if not os.path.exists(f"{partial}/lib"):
        os.symlink("usr/lib", f"{partial}/lib")
    subprocess.run(["depmod", "-b", partial, newest], check=True)
    os.rename(partial, cache)


def run(cache, scratch, command, seconds):
    """Runs `command` in the machine, with the directory `{scratch}/mnt` as its disk; returns the JSON written to /dev/ttyS1."""
    with open(f"{scratch}/mnt/job", "w") as file:
        # The descriptor limit is the one that systemd gives to services.
        file.write(f"ulimit -n 524288; export HOME=/mnt TMPDIR=/mnt PATH={shlex.quote(os.environ['PATH'])}; cd /mnt; exec {shlex.join(command)}\n")
    # The inode tables are written now; otherwise the guest would write them while it counts.
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-N", "80000", "-E", "lazy_itable_init=0,lazy_journal_init=0",
                    "-d", f"{scratch}/mnt", f"{scratch}/disk", "512M"], stdout=subprocess.DEVNULL, check=True)
    machine = subprocess.Popen(
        ["timeout", "-k", "5", str(seconds), "qemu-system-x86_64", "-machine", "pc", "-m", "4096", "-cpu", PROCESSOR,
         "-accel", "tcg", "-icount", "shift=0,sleep=off", "-nodefaults", "-no-reboot", "-display", "none",
         "-serial", "stdio", "-serial", f"file:{scratch}/found",
         "-kernel", glob.glob(f"{cache}/boot/vmlinuz-*")[0], "-initrd", initial_files(cache, scratch), "-append", KERNEL,
         "-drive", f"file={scratch}/disk,format=raw,if=virtio,cache=unsafe",
         "-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
         "-device", "virtio-9p-pci,fsdev=root,mount_tag=root"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    try:
        for line in machine.stdout:
            print(line.rstrip(), file=sys.stderr, flush=True)
        if machine.wait() in (124, 137):
            sys.exit(f"the emulated machine did not finish within {seconds} seconds; --limit allows more")
    finally:
        machine.terminate()
        machine.wait()
    try:
        return json.loads(contents(f"{scratch}/found"))
    except (OSError, ValueError):
        sys.exit("the emulated machine ended without figures; its output is above")


def initial_files(cache, scratch):
    """Packs the initial file system: busybox, and the kernel modules needed to mount the files of this machine."""
    root = f"{scratch}/initial"
    for directory in ("bin", "modules", "host", "proc", "sys", "dev"):
        os.makedirs(f"{root}/{directory}")
    shutil.copy(shutil.which("busybox"), f"{root}/bin/busybox")
    version = os.listdir(f"{cache}/lib/modules")[0]
    listed = subprocess.run(["modprobe", "-d", cache, "-S", version, "--show-depends", "-a"] + MODULES,
                            stdout=subprocess.PIPE, text=True, check=True).stdout
    names = []
    for path in dict.fromkeys(re.findall(r"^insmod (\S+)", listed, re.M)):
        name, kind = os.path.splitext(os.path.basename(path))
        names.append(name.removesuffix(".ko") + ".ko")
        with open(f"{root}/modules/{names[-1]}", "wb") as file:
            subprocess.run(UNPACK.get(kind, ["cat"]) + [path], stdout=file, check=True)
    with open(f"{root}/init", "w") as file:
        file.write(INIT % " ".join(names))
    os.chmod(f"{root}/init", 0o755)
    with open(f"{scratch}/initrd", "wb") as file:
        listed = "\n".join(os.path.relpath(os.path.join(at, name), root)
                           for at, directories, files in os.walk(root) for name in directories + files)
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], cwd=root, input=listed.encode(), stdout=file, check=True)
    return file.name


def contents(path):
    with open(path, "rb") as file:
        return file.read()
