"""Files with a misleading size or date: files of the kernel, files with a constant date, copies, and mapped files."""

import mmap
import os
import time
from email.utils import formatdate
from pathlib import Path

from . import Skip, check, fault, wait_until
from .client import Client, ask, assert_serves
from .content import pattern
from .server import Server, Site


@fault("kernel-files")
def kernel_files():
    """Files of the kernel: stat gives their size as 0 or 4096 bytes, which is wrong."""
    lengths = []
    for served, path in (("/proc", "/version"), ("/proc", "/filesystems"), ("/sys", "/class/net/lo/address")):
        if not os.path.exists(served + path):
            raise Skip(f"{served}{path} is missing")
        content = Path(served + path).read_bytes()
        with Server(served) as server, Client(server) as client:
            for _ in range(3):
                reply = client.ask(path)
                check(reply.status == 200, f"{served}{path}: status {reply.status}")
                check(reply.body == content, f"{served}{path}: {len(reply.body)} of {len(content)} bytes")
            length = client.ask(path, method="HEAD").fields.get("content-length", str(len(content)))
            check(length == str(len(content)), f"{served}{path}: HEAD says {length} instead of {len(content)}")
        lengths.append(f"{served}{path} {len(content)}")
    return f"sent with their real length: {', '.join(lengths)} bytes"


@fault("same-date")
def same_date():
    """A file is replaced by one with the same size and date, a second after the epoch, as in Nix, OSTree and container images. A
    client that knows the old file gets the whole new file."""
    questions = 0
    with Site() as site, Server(site) as server, Client(server) as client:
        for length in (10, 200_000):
            old, new = pattern("old", length), pattern("new", length)
            # The server may cache a file once it was asked for twice.
            for content in (old, new, old):
                place = site.file("next", content)
                os.utime(place, (1, 1))
                os.replace(place, site.path / "file")
                if content == old:
                    time.sleep(0.1)
                    for _ in range(2):
                        fields = client.ask("/file").fields
                    tag, date = fields["etag"], fields.get("last-modified", formatdate(1, usegmt=True))
                    continue
                for known in (
                    (f"If-Range: {tag}", "Range: bytes=5-"),
                    (f"If-Range: {date}", "Range: bytes=5-"),
                    (f"If-None-Match: {tag}",),
                    (f"If-Modified-Since: {date}",),
                ):
                    reply = client.ask("/file", *known)
                    check(reply.status == 200, f"{length} bytes, {known[0]}: {reply.status}")
                    check(reply.body == new, f"{length} bytes, {known[0]}: wrong bytes")
                    questions += 1
            reply = client.ask("/file", f"If-None-Match: {tag}")
            check(reply.status == 304, f"{length} bytes: {reply.status} for an unchanged file")
    return f"{questions} conditional requests for a file replaced by one with the same size and date: 200 and the whole new file"


@fault("equal-copies")
def equal_copies():
    """Several servers serve copies of the same files with different dates: the entity tags are the same."""
    tags = {}
    for node in range(3):
        with Site() as site, Server(site) as server:
            for name in ("one", "other"):
                for length in (0, 1, 1000, 10_000):
                    os.utime(site.file(f"{name}-{length}", pattern(name, length)), (1e9 + node, 1e9 + node))
                    tags.setdefault((name, length), set()).add(ask(server, f"/{name}-{length}").fields["etag"])
    for (name, length), same in tags.items():
        check(len(same) == 1, f"{length} bytes: {sorted(same)}")
        check(not any(tag.startswith("W/") for tag in same), f"{length} bytes: a weak tag")
    different = {tag for same in tags.values() for tag in same}
    # Two of the eight are empty.
    check(len(different) == 7, f"{len(different)} tags for 7 contents")
    return "3 servers, 7 contents with different dates: the same strong tags on all servers, a different one for each content"


@fault("mapped-store")
def mapped():
    """inotify does not report a store through shared memory, so the server compares cached files from time to time."""
    with Site() as site:
        path = site.file("mapped.bin", pattern("old", 4096))
        with Server(site) as server:
            for _ in range(3):
                assert_serves(server, "/mapped.bin", pattern("old", 4096))
            with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
                memory[:] = pattern("new", 4096)
            took = wait_until("the new bytes are sent", lambda: ask(server, "/mapped.bin").body == pattern("new", 4096))
    return f"the new bytes are sent after {took:.1f} s"
