"""What is asked for."""

import http.client
import re
from dataclasses import dataclass

from content import LISTED, MANY

# wrk says in figures what it has counted; this costs nothing while it runs.
DONE = """
done = function(summary, latency)
    local e = summary.errors
    io.stderr:write(string.format(
        '\\n{"requests": %d, "us": %d, "bytes": %d, "p50": %f, "p99": %f, "faults": %d}\\n',
        summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
        e.connect + e.read + e.write + e.timeout))
end
"""
AT_RANDOM = f"""
math.randomseed(7)
request = function() return wrk.format(nil, "/many/" .. math.random(0, {MANY - 1}) .. ".html") end
"""
# So much of AT_RANDOM that nothing is left out; it is told where to begin.
IN_ORDER = f"""
local next = %d
request = function()
    next = next + 1
    return wrk.format(nil, "/many/" .. next %% {MANY} .. ".html")
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


@dataclass(frozen=True)
class Work:
    """One kind of request, by many connections at once."""

    name: str
    title: str
    path: str
    connections: int = 64
    status: int = 200
    headers: tuple = ()
    script: str = ""
    # The file that the floor sends over and over; it has no listings.
    floor: str = "1k.html"
    # Whether the server writes a log to a file meanwhile.
    logs: bool = False

    def closes(self):
        return ("Connection", "close") in self.headers

    def is_random(self):
        return self.script == AT_RANDOM

    def check(self, port):
        """Asks once; returns the header fields to send, or raises ValueError."""
        headers = dict(self.headers)
        if self.status == 304:
            _, reply, _ = ask(port, self.path, {})
            etag, date = reply.getheader("ETag"), reply.getheader("Last-Modified")
            headers |= {"If-None-Match": etag} if etag else {"If-Modified-Since": date or ""}
        path = "/many/0.html" if self.is_random() else self.path
        status, reply, body = ask(port, path, headers)
        if status != self.status:
            raise ValueError(f"answered {status} instead of {self.status}")
        if self.path == "/listed/" and len(set(re.findall(rb"file-\d\d\d", body))) != LISTED:
            raise ValueError("has no listing")
        return headers


def ask(port, path, headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply, reply.read()
    finally:
        connection.close()


WORKS = [
    Work("1k", "1 KiB", "/1k.html"),
    Work("1k-1000", "1 KiB to 1,000 connections", "/1k.html", connections=1000),
    Work("many", "10,000 files of 1.5 KB", "/many/0.html", script=AT_RANDOM, floor="1.5k.html"),
    Work("pipelined", "1 KiB, 16 pipelined", "/1k.html", script=PIPELINED),
    Work("close", "1 KiB, connection closed", "/1k.html", headers=(("Connection", "close"),)),
    Work("log", "1 KiB, log to a file", "/1k.html", logs=True),
    Work("304", "304 Not Modified", "/1k.html", status=304),
    Work("404", "404 Not Found", "/nothing-here", status=404),
    Work("listing", "listing of 200 files", "/listed/", floor=""),
    Work("100k", "100 KiB", "/100k.bin", floor="100k.bin"),
    Work("1m", "1 MiB", "/1m.bin", connections=32, floor="1m.bin"),
    Work("10m", "10 MiB", "/10m.bin", connections=16, floor="10m.bin"),
]
