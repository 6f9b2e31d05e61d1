"""Files that are rewritten all the time, each version known, so that a reply can be right, wrong, torn or stale.

A version is begun before its file is renamed into place and done after that: a reply to a request may be any version from the
last that was done when the request was sent to the last that was begun when the reply had come, and no other.
"""

import hashlib
import itertools
import multiprocessing
import os
import random
import time

# Sizes around what is kept in memory, what fits a buffer, and what takes many turns.
SIZES = [1, 100, 1000, 4096, 30_000, 65_536, 70_001, 400_000, 3_000_000]
BLOCK = 32
# What wrk asks for, and checks by itself: blocks that are all alike.
WHOLE = 4096


def size(number, version):
    """Every other file keeps its size, so that only times tell its versions apart."""
    base = SIZES[number % len(SIZES)]
    return base if number % 2 else base + version % 50


def block(number, version):
    return hashlib.sha256(f"{number} {version}".encode()).digest()


def content(number, version, start=0, end=None):
    """The bytes of a version, from `start` up to `end`."""
    end = size(number, version) if end is None else end
    shift = start % BLOCK
    return (block(number, version) * ((end - start) // BLOCK + 2))[shift : shift + end - start]


class Versions:
    """What is known of all files, shared by all processes."""

    def __init__(self, folder):
        self.folder, self.count = folder, 2 * len(SIZES)
        self.begun = multiprocessing.Array("q", self.count + 1, lock=False)
        self.done = multiprocessing.Array("q", self.count + 1, lock=False)
        for number in range(self.count + 1):
            self.rewrite(number)

    def name(self, number):
        return f"{number}.bin"

    def rewrite(self, number):
        """Puts the next version in place, whole."""
        version = self.done[number] + 1
        if number == self.count:
            path, data = self.folder / "wrk.bin", block(number, version) * (WHOLE // BLOCK)
        else:
            path, data = self.folder / self.name(number), content(number, version)
        new = self.folder / f".new-{number}"
        new.write_bytes(data)
        self.begun[number] = version
        os.rename(new, path)
        self.done[number] = version

    def keep_rewriting(self, stop):
        """A rewrite every few milliseconds, sometimes of the same file twice in a row."""
        for number in itertools.cycle(range(self.count + 1)):
            if stop.is_set():
                return
            self.rewrite(number)
            if random.random() < 0.2:
                self.rewrite(number)
            time.sleep(random.choice((0.0, 0.005, 0.02)))

    def possible(self, number, oldest):
        """The versions that a reply may be, where `oldest` was done when its request was sent."""
        return range(oldest, self.begun[number] + 1)
