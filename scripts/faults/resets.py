"""Clients that leave at every byte of a request and of a reply."""

import time

from . import check, fault
from .client import Client, assert_serves, ask, get
from .content import pattern
from .server import Server, Site

PAGE = pattern("page", 1024)
BIG = 8 << 20
# Among them a body with each kind of framing, and pipelined requests.
REQUESTS = [
    get("/page.bin", "User-Agent: torture", "Accept: */*"),
    get("/page.bin", "Range: bytes=10-20,30-40"),
    get("/page.bin") + get("/") + get("/page.bin"),
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n" + b"x" * 40,
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10;a=b\r\n"
    + b"x" * 16
    + b"\r\n0\r\nA: b\r\n\r\n",
]
UPLOADS = [
    b"PUT /stored HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n" + b"x" * 40,
    b"PUT /stored HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n28\r\n" + b"x" * 40 + b"\r\n0\r\n\r\n",
]


def site_with_page():
    site = Site()
    site.file("page.bin", PAGE)
    # A file that has just changed has a longer entity tag for a moment, and the faults here count bytes.
    time.sleep(0.1)
    return site


@fault("reset-request")
def reset_within_a_request():
    count = 0
    with site_with_page() as site, Server(site) as server:
        assert_serves(server, "/page.bin", PAGE)
        before = server.footprint()
        for request in REQUESTS:
            for end in range(len(request) + 1):
                Client(server).send(request[:end]).reset()
                count += 1
                if end % 50 == 0:
                    assert_serves(server, "/page.bin", PAGE)
        # The rest of a broken request must not become a part of the next one.
        assert_serves(server, "/page.bin", PAGE)
        return f"{count} resets, one at every byte of {len(REQUESTS)} requests; {before.check()}"


@fault("reset-upload")
def reset_within_an_upload():
    count = 0
    with Site() as site, Server(site, example="upload") as server:
        Client(server).send(UPLOADS[0]).reply()
        (site.path / "stored").unlink()
        before = server.footprint()
        for request in UPLOADS:
            for end in range(len(request)):
                Client(server).send(request[:end]).reset()
                count += 1
        reply = Client(server).send(UPLOADS[0]).reply()
        check(reply.status == 201, f"an upload afterwards: {reply.status}")
        names = [path.name for path in site.path.iterdir()]
        check(names == ["stored"], f"a part of an upload remains: {names}")
        return f"{count} resets, one at every byte of {len(UPLOADS)} uploads; nothing stored; {before.check()}"


@fault("reset-reply")
def reset_within_a_reply():
    with site_with_page() as site, Server(site) as server:
        big = pattern("big", BIG)
        site.file("big.bin", big)
        assert_serves(server, "/big.bin", big)
        before = server.footprint()
        count = 0
        for request in [
            get("/page.bin"),
            get("/page.bin", "Range: bytes=0-9,100-199"),
            get("/"),
            get("/missing"),
            get("/page.bin", method="HEAD"),
        ]:
            with Client(server) as whole:
                whole.send(request).half_close()
                length = len(whole.rest())
            for end in range(length + 1):
                client = Client(server).send(request)
                # The rest of the reply meets a closed socket.
                while end:
                    end -= len(client.socket.recv(end))
                client.reset()
                count += 1
        # With a small window, most of a large reply is unsent when its reader leaves.
        for end in [*range(1, 2000, 7), *range(2000, 1 << 20, 9001)]:
            client = Client(server, window=4096).send(get("/big.bin"))
            client.take(end)
            client.reset()
            count += 1
        assert_serves(server, "/big.bin", big)
        assert_serves(server, "/page.bin", PAGE)
        return f"{count} resets, one at every byte of 5 replies and at 400 of a large one; {before.check(files=1)}"


@fault("half-close")
def half_close_at_every_byte():
    """The server replies to each whole request before the half-close, and then closes; to a part of a request it only closes."""
    count = 0
    with site_with_page() as site, Server(site) as server:
        listing = ask(server, "/").body
        before = server.footprint()
        single, pair = REQUESTS[0], REQUESTS[2]
        parts = [len(get("/page.bin")), len(get("/page.bin") + get("/")), len(pair)]
        for request, ends in ((single, [len(single)]), (pair, parts)):
            for end in range(len(request) + 1):
                with Client(server) as client:
                    client.send(request[:end]).half_close()
                    whole = sum(end >= part for part in ends)
                    for body in [PAGE, listing, PAGE][:whole]:
                        reply = client.reply()
                        check((reply.status, reply.body) == (200, body), f"byte {end}: wrong bytes")
                    rest = client.rest()
                    check(rest == b"", f"byte {end}: {rest[:60]!r} for half a request")
                count += 1
        return f"{count} half-closes, one at every byte, all handled right; {before.check()}"
