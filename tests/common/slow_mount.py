#!/usr/bin/env python3
"""A FUSE file system that shows a directory, read-only, and answers as slowly as it is told.

Usage: slow_mount.py DIRECTORY MOUNT_POINT CONTROL

CONTROL is a file with lines such as `read 3`: requests of that kind about files whose name begins with `slow` are answered after so
many seconds. The kinds are the values of KINDS. The file is read at each request, so it may change at any time. No request waits
for another one. The kernel keeps neither names nor attributes, so every path walk asks.

The program speaks the protocol of /dev/fuse itself (linux/fuse.h), because libfuse's interface of paths does not tell a lookup from
a getattr. It prints a line when it has mounted. When its standard input ends, it unmounts and ends.
"""

import ctypes
import errno
import os
import signal
import struct
import sys
import threading

KINDS = {
    1: "lookup",
    3: "getattr",
    5: "readlink",
    14: "open",
    15: "read",
    17: "statfs",
    18: "release",
    25: "flush",
    26: "init",
    27: "opendir",
    28: "readdir",
    29: "releasedir",
}
# FORGET, INTERRUPT, BATCH_FORGET: the kernel expects no answer.
UNANSWERED = (2, 36, 42)
ROOT = 1
HEADER = struct.Struct("<IIQQIIIHH")
BUFFER = 1 << 20
ASYNC_READ, ASYNC_DIO, PARALLEL_DIROPS = 1 << 0, 1 << 15, 1 << 18
MS_RDONLY, MS_NOSUID, MS_NODEV, MNT_DETACH = 1, 2, 4, 2
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


def attributes(status):
    times = status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns
    seconds, nanoseconds = [time // 10**9 for time in times], [time % 10**9 for time in times]
    owner = status.st_mode, status.st_nlink, status.st_uid, status.st_gid, 0, 4096, 0
    return struct.pack("<6Q10I", status.st_ino, status.st_size, status.st_blocks, *seconds, *nanoseconds, *owner)


class SlowMount:
    def __init__(self, device, directory, control):
        self.device, self.control = device, control
        # The numbers by which the kernel knows files. A file that takes the name of another one gets a new number.
        self.paths, self.numbers = {ROOT: directory}, {}
        self.listings = {}

    def serve(self):
        """Answers requests until the file system is unmounted."""
        while True:
            try:
                request = os.read(self.device, BUFFER + 4096)
            except OSError as error:
                # ENOENT: the kernel has withdrawn the request.
                if error.errno == errno.ENOENT:
                    continue
                return
            _, kind, unique, number, *_ = HEADER.unpack_from(request)
            if kind in UNANSWERED:
                continue
            question = KINDS.get(kind), unique, self.paths[number or ROOT], request[HEADER.size :]
            if delay := self.delay(*question):
                threading.Timer(delay, self.answer, question).start()
            else:
                self.answer(*question)

    def delay(self, kind, _, path, body):
        name = body if kind == "lookup" else os.path.basename(path)
        if not name.startswith(b"slow"):
            return 0
        with open(self.control) as control:
            delays = dict(line.split() for line in control)
        return float(delays.get(kind, 0))

    def answer(self, kind, unique, path, body):
        result, data = 0, b""
        try:
            if kind is None:
                raise OSError(errno.ENOSYS, "unknown to this program")
            data = getattr(self, kind)(path, body)
        except OSError as error:
            result = -error.errno
        try:
            os.write(self.device, struct.pack("<IiQ", 16 + len(data), result, unique) + data)
        except OSError:
            # The process that asked has ended, or the file system is unmounted.
            pass

    def init(self, *_):
        flags = ASYNC_READ | ASYNC_DIO | PARALLEL_DIROPS
        return struct.pack("<4I2H2I2H32x", 7, 31, BUFFER, flags, 512, 512, 4096, 1, 0, 0)

    def lookup(self, path, body):
        path = os.path.join(path, body.rstrip(b"\0"))
        status = os.lstat(path)
        number = self.numbers.setdefault((path, status.st_ino), len(self.numbers) + ROOT + 1)
        self.paths[number] = path
        return struct.pack("<5Q", number, 0, 0, 0, 0) + attributes(status)

    def getattr(self, path, body):
        has_handle, _, handle = struct.unpack_from("<IIQ", body)
        status = os.fstat(handle) if has_handle & 1 else os.lstat(path)
        return struct.pack("<QQ", 0, 0) + attributes(status)

    def readlink(self, path, _):
        return os.readlink(path)

    def open(self, path, _):
        return struct.pack("<QQ", os.open(path, os.O_RDONLY), 0)

    def read(self, _, body):
        handle, offset, size = struct.unpack_from("<QQI", body)
        return os.pread(handle, size, offset)

    def flush(self, *_):
        return b""

    def release(self, _, body):
        os.close(struct.unpack_from("<Q", body)[0])
        return b""

    def statfs(self, path, _):
        found = os.statvfs(path)
        counts = found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree
        return struct.pack("<5Q3I28x", *counts, found.f_bsize, found.f_namemax, found.f_frsize)

    def opendir(self, path, _):
        number = len(self.listings) + 1
        self.listings[number] = sorted(os.scandir(path), key=lambda entry: entry.name)
        return struct.pack("<QQ", number, 0)

    def readdir(self, _, body):
        number, offset, size = struct.unpack_from("<QQI", body)
        data = b""
        for entry in self.listings[number][offset:]:
            offset += 1
            kind = entry.stat(follow_symlinks=False).st_mode >> 12
            record = struct.pack("<QQII", entry.inode(), offset, len(entry.name), kind) + entry.name
            record += bytes(-len(record) % 8)
            if len(data) + len(record) > size:
                break
            data += record
        return data

    def releasedir(self, _, body):
        self.listings[struct.unpack_from("<Q", body)[0]] = None
        return b""


def main(directory, mount_point, control):
    # If the test is killed while this process is stopped, it goes on, and finds that its standard input has ended.
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGCONT)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    flags = MS_RDONLY | MS_NOSUID | MS_NODEV
    if libc.mount(b"slow_mount", os.fsencode(mount_point), b"fuse", flags, options):
        sys.exit(f"slow_mount: {os.strerror(ctypes.get_errno())}")

    def end_with_parent():
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    print("mounted", flush=True)
    try:
        SlowMount(device, os.fsencode(directory), control).serve()
    finally:
        libc.umount2(os.fsencode(mount_point), MNT_DETACH)
        # Answers that are still due are not waited for.
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
