"""Two releases of a site, and clients that download its files in parts while the nodes change from one to the other.

The small file has the same date and length in both releases, as reproducible builds make it. The large file has the date of its
release, the same one on all nodes, as rsync and tar set it.
"""

import http.client
import os
import threading

from faults import check
from faults.content import pattern

from .counts import Counts

VERSIONS = ("old", "new")
DATE = 1_767_225_600
# The small file has a hash of its content as its tag, the large one its date and length.
FILES = {
    version: {"file.html": pattern(f"{version} small", 1000), "large.bin": pattern(f"{version} large", 300_000 + at)}
    for at, version in enumerate(VERSIONS)
}
PARTS = 4
CLIENTS = 6


def write_releases(folder):
    for at, version in enumerate(VERSIONS):
        (folder / version).mkdir()
        for name, content in FILES[version].items():
            path = folder / version / name
            path.write_bytes(content)
            date = DATE + (at if name == "large.bin" else 0)
            os.utime(path, (date, date))


class Downloads:
    """Threads that download both files in parts, each part by a connection of its own, which may lead to another node."""

    def __init__(self, front):
        self.front, self.is_over = front, False
        self.whole, self.failed = 0, {}
        # The tags of each version of a file, which are one if the tags are equal on all nodes.
        self.tags, self.lock = {}, threading.Lock()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        for thread in self.threads:
            thread.join(30)

    def run(self):
        while not self.is_over:
            for name in FILES[VERSIONS[0]]:
                try:
                    self.download(name)
                except (OSError, http.client.HTTPException):
                    self.fail("broken off")

    def fail(self, kind):
        with self.lock:
            self.failed[kind] = self.failed.get(kind, 0) + 1

    def ask(self, name, begin, size, tag=None):
        """Asks for a part if the file still has this tag; returns status, tag and content, and the length of the file with a part."""
        fields = {"Range": f"bytes={begin}-{begin + size - 1}", **({"If-Range": tag} if tag else {})}
        connection = http.client.HTTPConnection(*self.front, timeout=20)
        try:
            connection.request("GET", f"/{name}", headers=fields)
            reply = connection.getresponse()
            total = int(reply.getheader("Content-Range", "/0").rpartition("/")[2])
            return reply.status, reply.getheader("ETag"), reply.read(), total
        finally:
            connection.close()

    def download(self, name):
        """Downloads a file in parts, and checks that they all are of one version."""
        size = len(FILES[VERSIONS[0]][name]) // PARTS
        status, tag, content, total = self.ask(name, 0, size)
        while status == 206 and len(content) < total:
            status, next_tag, more, _ = self.ask(name, len(content), size, tag)
            if status == 200:
                # This node has another version, and sends the whole of it.
                content, tag = more, next_tag
            elif status == 206:
                content += more
        if status not in (200, 206):
            return self.fail(f"status {status}")
        versions = [version for version in VERSIONS if FILES[version][name] == content]
        if not versions:
            return self.fail("mixed")
        with self.lock:
            self.whole += 1
            self.tags.setdefault((name, versions[0]), set()).add(tag)

    def counts(self):
        """Returns the counts of the downloads; a version with several tags counts as a failure for each tag too many."""
        missing = [f"{version} {name}" for version in VERSIONS for name in FILES[version] if (name, version) not in self.tags]
        check(not missing, f"never downloaded whole: {', '.join(missing)}")
        more = sum(len(tags) - 1 for tags in self.tags.values())
        return Counts(self.whole, {**self.failed, **({"tags too many": more} if more else {})})
