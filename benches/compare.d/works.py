"""The works: the kinds of requests that are measured."""

import http.client
import re
import socket
import ssl
from dataclasses import dataclass

from content import LISTED, MANY, MANY_DIRECTORIES, UNCACHED, Files

# wrk runs this after the measurement; it prints the counts as JSON.
DONE = """
done = function(summary, latency)
    local e = summary.errors
    io.stderr:write(string.format(
        '\\n{"requests": %d, "us": %d, "bytes": %d, "p50": %f, "p99": %f, "faults": %d}\\n',
        summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
        e.connect + e.read + e.write + e.timeout))
end
"""
PIPELINED = """
init = function()
    local all = {}
    for i = 1, 16 do all[i] = wrk.format(nil, "/1k.html") end
    batch = table.concat(all)
end
request = function() return batch end
"""


def at_random(files):
    return f"""
math.randomseed(7)
request = function()
    local number = math.random(0, {files.count - 1})
    return wrk.format(nil, {files.path_in_lua()})
end
"""


def in_order(files, first):
    """Asks for all files in turn, beginning with number `first`."""
    return f"""
local next = {first}
request = function()
    local number = next % {files.count}
    next = next + 1
    return wrk.format(nil, {files.path_in_lua()})
end
"""


@dataclass(frozen=True)
class Work:
    """One kind of request, sent over many connections at the same time."""

    name: str
    title: str
    path: str
    connections: int = 64
    status: int = 200
    headers: tuple = ()
    script: str = ""
    # The files that `script` asks for, where there are many.
    files: Files = None
    # The file that the floor sends for every request; empty where the floor cannot do the work: it has no listings and no TLS.
    floor: str = "1k.html"
    # Whether the server writes a log to a file.
    logs: bool = False
    # Whether another process appends to a file in the served directory.
    beside_log: bool = False
    # Whether the server compresses.
    compresses: bool = False
    tls: bool = False
    # Whether each connection begins a new TLS session. wrk resumes sessions, so another client does these works.
    full_handshakes: bool = False

    def scheme(self):
        return "https" if self.tls else "http"

    def closes(self):
        return ("Connection", "close") in self.headers

    def check(self, port):
        """Sends one request; returns the header fields to measure with, or raises ValueError if the reply is wrong."""
        headers = dict(self.headers)
        if self.status == 304:
            _, reply, _ = self.ask(port, {})
            etag, date = reply.getheader("ETag"), reply.getheader("Last-Modified")
            headers |= {"If-None-Match": etag} if etag else {"If-Modified-Since": date or ""}
        status, reply, body = self.ask(port, headers)
        if status != self.status:
            raise ValueError(f"replied {status} instead of {self.status}")
        if self.path == "/listed/" and len(set(re.findall(rb"file-\d\d\d", body))) != LISTED:
            raise ValueError("does not list the directory")
        return headers

    def ask(self, port, headers):
        if self.tls:
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=client_tls())
        else:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", self.path, headers=headers)
            reply = connection.getresponse()
            return reply.status, reply, reply.read()
        finally:
            connection.close()


def protocol(port):
    """Returns the version and the cipher that a server and OpenSSL choose."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection, client_tls().wrap_socket(connection) as tls:
        return f"{tls.version()} {tls.cipher()[0]}"


def client_tls():
    """Returns what a client needs for TLS with a server whose certificate it does not know."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def of_files(title, files):
    """Returns a work that asks for `files` at random, each with the same probability."""
    return Work(files.name, title, files.path(0), script=at_random(files), files=files, floor="1.5k.html")


PLAIN = Work("1k", "1 KiB", "/1k.html")
TLS = Work("tls", "1 KiB over TLS", "/1k.html", floor="", tls=True)
WORKS = [
    PLAIN,
    Work("1k-1000", "1 KiB to 1,000 connections", "/1k.html", connections=1000),
    of_files("10,000 files of 1.5 KB", MANY),
    of_files("10,000 files in 100 directories", MANY_DIRECTORIES),
    of_files("files that do not fit the cache", UNCACHED),
    Work("pipelined", "1 KiB, 16 pipelined", "/1k.html", script=PIPELINED),
    Work("close", "1 KiB, connection closed", "/1k.html", headers=(("Connection", "close"),)),
    Work("log", "1 KiB, log to a file", "/1k.html", logs=True),
    Work("beside-log", "1 KiB beside a log, 1,000 lines a second", "/1k.html", beside_log=True),
    Work("gzip", "1 KiB of gzip", "/coded.html", headers=(("Accept-Encoding", "gzip"),), compresses=True),
    Work("304", "304 Not Modified", "/1k.html", status=304),
    Work("404", "404 Not Found", "/nothing-here", status=404),
    Work("listing", "listing of 200 files", "/listed/", floor=""),
    Work("100k", "100 KiB", "/100k.bin", floor="100k.bin"),
    Work("1m", "1 MiB", "/1m.bin", connections=32, floor="1m.bin"),
    Work("10m", "10 MiB", "/10m.bin", connections=16, floor="10m.bin"),
    TLS,
    Work("tls-close", "1 KiB over TLS, connection closed", "/1k.html", headers=(("Connection", "close"),), floor="", tls=True),
    Work("tls-full", "1 KiB over TLS, full handshake", "/1k.html", connections=1, floor="", tls=True, full_handshakes=True),
    Work("tls-10m", "10 MiB over TLS", "/10m.bin", connections=16, floor="", tls=True),
]
