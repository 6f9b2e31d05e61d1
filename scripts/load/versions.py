"""Files that are rewritten all the time. The content of each version is known, so a reply that is wrong, torn or stale is found.

A version counts as begun just before its file is renamed into place, and as settled a moment after that. A reply may have any
version from the last one settled when the request was sent to the last one begun when the reply was complete. The moment
is there because the server looks at a file once in a turn of its loop.
"""

import collections
import hashlib
import itertools
import multiprocessing
import os
import random
import time

# Sizes around the limits of files kept in memory, of buffers, and of replies that take many turns of the loop.
SIZES = [1, 100, 1000, 4096, 30_000, 65_536, 70_001, 400_000, 3_000_000]
BLOCK = 32
# Seconds that a turn of the loop may take on a busy machine.
TURN = 0.3
# The size of the file that wrk asks for. wrk checks it without knowing the version: all its blocks are the same.
WHOLE = 4096


def size(number, version):
    """Returns the size of a version. Every second file keeps its size, so that only times tell its versions apart."""
    base = SIZES[number % len(SIZES)]
    return base if number % 2 else base + version % 50


def block(number, version):
    return hashlib.sha256(f"{number} {version}".encode()).digest()


def content(number, version, start=0, end=None):
    """Returns the bytes of a version from `start` up to `end`."""
    end = size(number, version) if end is None else end
    shift = start % BLOCK
    return (block(number, version) * ((end - start) // BLOCK + 2))[shift : shift + end - start]


class Versions:
    """The versions of all files, shared by all processes."""

    def __init__(self, folder):
        self.folder, self.count = folder, 2 * len(SIZES)
        self.begun = multiprocessing.Array("q", self.count + 1, lock=False)
        self.settled = multiprocessing.Array("q", self.count + 1, lock=False)
        self.settling = collections.deque()
        for number in range(self.count + 1):
            self.rewrite(number)
            self.settled[number] = 1

    def name(self, number):
        return f"{number}.bin"

    def rewrite(self, number):
        """Writes the next version of a file and renames it into place."""
        version = self.begun[number] + 1
        if number == self.count:
            path, data = self.folder / "wrk.bin", block(number, version) * (WHOLE // BLOCK)
        else:
            path, data = self.folder / self.name(number), content(number, version)
        new = self.folder / f".new-{number}"
        new.write_bytes(data)
        self.begun[number] = version
        os.rename(new, path)
        self.settling.append((time.monotonic() + TURN, number, version))

    def settle(self):
        while self.settling and self.settling[0][0] < time.monotonic():
            _, number, version = self.settling.popleft()
            self.settled[number] = version

    def keep_rewriting(self, stop):
        """Rewrites a file every few milliseconds, often twice in a row. Some files then stay the same for seconds, so that
        clients ask for a change that the server may have missed."""
        for tick in itertools.count():
            number = tick % (self.count + 1)
            if stop.is_set():
                return
            if number % 3 == 0 or tick // (self.count + 1) % 20 == number:
                for _ in range(random.choice((1, 1, 2, 3))):
                    self.rewrite(number)
            self.settle()
            time.sleep(random.choice((0.0, 0.005, 0.02)))

    def possible(self, number, oldest):
        """Returns the versions that a reply may have, if `oldest` was settled when its request was sent."""
        return range(oldest, self.begun[number] + 1)
