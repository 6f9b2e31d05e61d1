"""The kinds of clients. Each step of a client makes requests, checks the replies and returns how many requests it made."""

import random
import re
import time

from faults import Wrong, check
from faults.client import Client, Ended, get
from .releases import FILES
from .versions import SIZES, content, size

STATIC = 300
# Bad requests, and the status of the reply.
BAD = [
    (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", {400}),
    (b"GET / HTTP/1.1\r\n\r\n", {400}),
    (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", {505}),
    (b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", {501}),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", {400}),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", {400}),
    (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {414}),
    (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", {431}),
    (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", {400}),
    (b"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
    (b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", {404}),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk\r\n", {400}),
]


def is_version(reply, number, versions, start=0, end=None):
    """Returns the version that has the reply's body from `start` to `end`; raises Wrong if there is none."""
    for version in versions:
        stop = size(number, version) if end is None else min(end, size(number, version))
        if len(reply.body) == stop - start and reply.body == content(number, version, start, stop):
            return version
    raise Wrong(f"{len(reply.body)} bytes of file {number} are none of its versions {versions}")


def connect(server, **options):
    """Opens a connection of the kind that this server serves."""
    return getattr(server, "client", Client)(server, **options)


class Kind:
    """A client with one connection at a time, which it keeps while it can. The server `files` serves the directory of
    `versions`, the server `current` that of `releases`."""

    def __init__(self, files, uploads, current, versions, releases):
        self.files, self.uploads, self.current = files, uploads, current
        self.versions, self.releases = versions, releases
        self.client, self.tags, self.name = None, {}, f"{random.getrandbits(64):016x}"

    def connection(self):
        if self.client is None or random.random() < 0.02:
            self.drop()
            self.client = connect(self.server(), timeout=60)
        return self.client

    def server(self):
        return self.files

    def drop(self):
        if self.client:
            random.choice((self.client.close, self.client.reset))()
        self.client = None


class Reader(Kind):
    """Asks for files, ranges, known versions, heads, listings, redirects and missing files."""

    def step(self):
        number = random.randrange(self.versions.count)
        oldest = self.versions.settled[number]
        path, client = f"/live/{self.versions.name(number)}", self.connection()
        way = random.choice(("whole", "whole", "range", "known", "head", "missing", "listing", "redirect"))
        if way == "whole":
            reply = client.ask(path)
            check(reply.status == 200, f"{path}: status {reply.status}")
            version = is_version(reply, number, self.versions.possible(number, oldest))
            self.tags[number] = (reply.fields["etag"], version)
        elif way == "range":
            start = random.randrange(size(number, oldest))
            end = start + random.choice((1, 50, 5000, 1_000_000))
            reply = client.ask(path, f"Range: bytes={start}-{end - 1}")
            possible = self.versions.possible(number, oldest)
            if reply.status == 416:
                check(
                    any(start >= size(number, version) for version in possible), f"{path}: 416 to a range from {start}"
                )
            else:
                check(reply.status == 206, f"{path}: status {reply.status} to a range")
                is_version(reply, number, possible, start, end)
        elif way == "known" and number in self.tags:
            tag, version = self.tags[number]
            reply = client.ask(path, f"If-None-Match: {tag}")
            possible = self.versions.possible(number, oldest)
            if reply.status == 304:
                # Two versions of a tiny file can have the same content.
                same = any(content(number, other) == content(number, version) for other in possible)
                check(same, f"304 for version {version} of file {number}, which is none of {possible}")
            else:
                is_version(reply, number, possible)
        elif way == "head":
            reply = client.ask(path, method="HEAD")
            lengths = {str(size(number, version)) for version in self.versions.possible(number, oldest)}
            check(
                reply.fields["content-length"] in lengths, f"HEAD says {reply.fields['content-length']}, not {lengths}"
            )
        elif way == "listing":
            reply = client.ask("/static/", "Accept: application/json")
            names = sum(f'"{number}.txt"'.encode() in reply.body for number in range(STATIC))
            check(names == STATIC and reply.status == 200, f"{names} names in a listing of {STATIC}")
        elif way == "redirect":
            check(client.ask("/static").status == 301, "no redirect to a directory")
        else:
            check(client.ask(f"/live/{number}.none").status == 404, "a missing file is found")
        return 1


class Pipeliner(Kind):
    """Sends many requests before it reads the first reply."""

    def step(self):
        numbers = [random.randrange(self.versions.count - 2) for _ in range(random.randrange(2, 60))]
        oldest = [self.versions.settled[number] for number in numbers]
        client = self.connection()
        client.send(b"".join(get(f"/live/{self.versions.name(number)}") for number in numbers))
        for number, old in zip(numbers, oldest):
            reply = client.reply()
            check(reply.status == 200, f"status {reply.status} in a pipeline")
            is_version(reply, number, self.versions.possible(number, old))
        return len(numbers)


class Follower(Kind):
    """Asks for files of the current release."""

    def server(self):
        return self.current

    def step(self):
        name, file = random.choice(list(FILES.items()))
        way = random.choice(("whole", "whole", "known", "listing", "missing"))
        tag, known = self.tags.get(name, (None, None))
        client, moment = self.connection(), self.releases.moment()
        if way == "listing":
            reply = client.ask("/", "Accept: application/json")
        elif way == "missing":
            reply = client.ask("/nothing")
        else:
            reply = client.ask(f"/{name}", *([f"If-None-Match: {tag}"] if way == "known" and tag else []))
        possible, may_be_missing = self.releases.possible(moment), self.releases.may_be_missing(moment)
        if way == "missing":
            check(reply.status == 404, f"status {reply.status} for a file that no release has")
        elif reply.status == 404:
            check(may_be_missing, f"404 for a {way} of {name} while releases {possible} were in place")
        elif way == "listing":
            # While a release is built, its files appear one by one.
            numbers = {int(number) for number in re.findall(rb'"release-(\d+)"', reply.body)}
            check(reply.status == 200, f"status {reply.status} for a listing")
            check(numbers <= set(possible), f"a listing of release {numbers}, which is none of {possible}")
            check(numbers or may_be_missing, f"a listing of no release while {possible} were in place")
        elif reply.status == 304:
            check(known in possible, f"304 for release {known}, which is none of {possible}")
        else:
            check(reply.status == 200, f"status {reply.status} for {name} of a release")
            self.tags[name] = (reply.fields["etag"], is_version(reply, file, possible))
        return 1


class Uploader(Kind):
    """Stores a file through the server of uploads, and asks the other server for it."""

    def step(self):
        body = random.randbytes(random.choice((0, 1, 1000, 65_536, 65_537, 300_000, 2_000_000)))
        name = f"{self.name}-{random.randrange(3)}"
        if random.random() < 0.5:
            head, sent = f"Content-Length: {len(body)}", body
        else:
            head, sent = "Transfer-Encoding: chunked", b""
            for start in range(0, len(body), 50_000):
                piece = body[start : start + 50_000]
                sent += b"%x\r\n" % len(piece) + piece + b"\r\n"
            sent += b"0\r\n\r\n"
        with Client(self.uploads, timeout=60) as client:
            if random.random() < 0.2:
                client.send(get(f"/{name}-broken", head, method="PUT") + sent[: len(sent) // 2]).reset()
                return 1
            reply = client.send(get(f"/{name}", head, method="PUT") + sent).reply()
            check(reply.status == 201, f"an upload: status {reply.status}")
        reply = self.connection().ask(f"/uploads/{name}")
        check(
            (reply.status, reply.body) == (200, body),
            f"an upload came back with {len(reply.body)} bytes of {len(body)}",
        )
        return 2


class Vandal(Kind):
    """Sends bad requests, resets, half-closes and random bytes to two servers."""

    def step(self):
        server = random.choice((self.files, self.files, self.uploads))
        way = random.randrange(5)
        number = random.randrange(self.versions.count)
        good = get(f"/live/{self.versions.name(number)}")
        with connect(server, window=random.choice((None, 4096)), timeout=60) as client:
            if way == 0 and server is self.files:
                bytes_, statuses = random.choice(BAD)
                status = client.send(bytes_).head().status
                check(status in statuses, f"{bytes_[:60]!r}: status {status}, not {statuses}")
                client.half_close()
                client.rest()
            elif way == 1:
                client.send(good[: random.randrange(len(good))]).reset()
            elif way == 2:
                client.send(good).socket.recv(random.randrange(1, 100_000))
                client.reset()
            elif way == 3:
                end = random.randrange(len(good))
                client.send(good[:end]).half_close()
                check(client.rest() == b"", "a reply to half a request")
            else:
                client.send(random.randbytes(random.randrange(1, 3000)) + b"\r\n\r\n").half_close()
                client.rest()
        return 1


class Slow(Kind):
    """Keeps many slow connections at once: slow to send, slow to read, or with a head that never ends."""

    CROWD = 150

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.crowd = []

    def step(self):
        while len(self.crowd) < self.CROWD:
            self.crowd.append(random.choice((self.sending, self.sending, self.reading, self.dripping))())
        going, count = [], 0
        for act in self.crowd:
            try:
                next(act)
                going.append(act)
            except StopIteration:
                count += 1
        self.crowd = going
        time.sleep(0.1)
        return count

    def sending(self):
        """Sends a request in pieces, over some seconds."""
        number = random.randrange(self.versions.count)
        request = get(f"/live/{self.versions.name(number)}", "User-Agent: slow")
        pieces = [request[place : place + 12] for place in range(0, len(request), 12)]
        with connect(self.files, timeout=60) as client:
            for piece in pieces[:-1]:
                client.send(piece)
                yield
            oldest = self.versions.settled[number]
            reply = client.send(pieces[-1]).reply()
            check(reply.status == 200, f"status {reply.status} to a slow request")
            is_version(reply, number, self.versions.possible(number, oldest))

    def reading(self):
        """Reads the largest file through a small window, to its end or to a reset."""
        number = len(SIZES) - 1
        oldest = self.versions.settled[number]
        with connect(self.files, window=8192, timeout=60) as client:
            length = int(client.send(get(f"/live/{self.versions.name(number)}")).head().fields["content-length"])
            possible, begun = self.versions.possible(number, oldest), b""
            for _ in range(random.randrange(5, 100)):
                begun += client.take(1000)
                yield
            if random.random() < 0.5:
                return client.reset()
            whole = begun + client.take(length - len(begun))
            check(any(whole == content(number, version) for version in possible), "wrong bytes for a slow reader")

    def dripping(self):
        """Sends a head that never ends; the server must reply 408 at the deadline, and not before."""
        began = time.monotonic()
        with connect(self.files, timeout=60) as client:
            client.send(b"GET / HTTP/1.1\r\nX: ")
            while client.is_open():
                try:
                    client.send(b"x")
                except OSError:
                    break
                yield
            took = time.monotonic() - began
            try:
                status = client.head().status
            except (Ended, OSError):
                # A byte that arrived after the close has reset the connection.
                status = 408
            check(status == 408 and 9.9 < took < 20, f"status {status} for a drip after {took:.1f} s")


KINDS = {
    "readers": (Reader, 2),
    "pipeliners": (Pipeliner, 1),
    "followers": (Follower, 1),
    "uploaders": (Uploader, 1),
    "vandals": (Vandal, 1),
    "slow": (Slow, 1),
}
