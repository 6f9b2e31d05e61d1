"""Many clients that ask for listings of large directories."""

import json
import os
import time

from . import check, fault, latencies, percentile, wait_until
from .client import Bystander, Client, ask, assert_serves, get
from .content import pattern
from .server import Server, Site, raise_descriptor_limit

READERS = 300
ENTRIES = 100_000
PAGE = pattern("page", 1024)
LINKS = ENTRIES // 100


def fill(site):
    """Makes a directory of many files, one of links, and one with fewer files than the server reads at a time."""
    for name in ("many", "links", "few"):
        (site.path / name).mkdir()
    for number in range(ENTRIES):
        (site.path / "many" / f"file-{number:06}.txt").touch()
    for number in range(LINKS):
        (site.path / "links" / f"link-{number:06}").symlink_to("../page.bin")
    for number in range(500):
        (site.path / "few" / f"file-{number:06}.txt").touch()
    site.file("page.bin", PAGE)


def count(reply):
    """Returns the number of entries of a listing, which must be complete."""
    check(reply.status == 200, f"status {reply.status}")
    if reply.fields["content-type"] == "application/json":
        return len(json.loads(reply.body))
    check(reply.body.endswith(b"</html>\n"), "the page is incomplete")
    return reply.body.count(b"<tr><td>") - 1


def crowd(server, targets):
    """Lets READERS clients ask for the targets in turn and read nothing. Returns the clients, the highest RSS of the server, and
    the latencies of a small file at the same time."""
    clients, most = [], 0
    with Bystander(server, "/page.bin", PAGE) as other:
        for number in range(READERS):
            clients.append(Client(server, window=4096, timeout=60).send(get(targets[number % len(targets)])))
        end = time.monotonic() + 4
        while time.monotonic() < end:
            most = max(most, server.resident())
            time.sleep(0.02)
    return clients, most, other.took


def read(clients, targets):
    """Reads a few listings to their end, some of these slowly, and the heads of all others. Then all clients leave."""
    for number, client in enumerate(clients):
        if number % 60 < len(targets):
            if number % 120 < len(targets):
                client.unread += client.socket.recv(1000)
            else:
                for _ in range(20):
                    client.unread += client.socket.recv(100)
                    time.sleep(0.01)
            expected = LINKS if "links" in targets[number % len(targets)] else ENTRIES
            entries = count(client.reply())
            check(entries == expected, f"{entries} of {expected} entries")
        else:
            status = client.head().status
            check(status == 200, f"status {status}")
    for number, client in enumerate(clients):
        client.reset() if number % 2 else client.close()


KINDS = {
    "page": ["/many/"],
    "JSON and page, two orders": ["/many/?format=json", "/many/", "/many/?sort=date&order=desc"],
    "with links": ["/many/?sort=size", "/links/"],
}


@fault("listings")
def unread_listings():
    raise_descriptor_limit(READERS + 1000)
    with Site(memory=True) as site, Server(site, "-q", limit=READERS + 200) as server:
        fill(site)
        assert_serves(server, "/page.bin", PAGE)
        check(count(ask(server, "/few/")) == 500, "a small listing")
        before, resident_before = server.footprint(), server.resident()
        figures = []
        for name, targets in KINDS.items():
            clients, most, took = crowd(server, targets)
            check(most < 64 * 1024, f"{name}: {most} KiB resident")
            check(percentile(took, 0.99) < 0.05, f"{name}: others wait: {latencies(took)}")
            read(clients, targets)
            wait_until("all connections are closed", lambda: server.sockets() <= server.own_sockets)
            kept = server.resident() - resident_before
            check(kept < 4096, f"{name}: {kept} KiB remain")
            figures.append(f"{name}: {most // 1024} MiB, p99 {percentile(took, 0.99) * 1000:.1f} ms, {kept:+} KiB after")
        return f"{READERS} of {ENTRIES} entries; {'; '.join(figures)}; {before.check(kib=4096)}"


@fault("listings-refused")
def more_listings_than_there_is_memory_for():
    """Listings that need more memory together than the server allows: some get 503 with Retry-After, and later there is room."""
    directories, entries = 12, 50_000
    with Site(memory=True) as site, Server(site, "-q") as server:
        for directory in range(directories):
            (site.path / str(directory)).mkdir()
            # Long names need more memory.
            for number in range(entries):
                os.close(os.open(site.path / str(directory) / f"{number:0100}", os.O_CREAT | os.O_WRONLY))
        site.file("page.bin", PAGE)
        assert_serves(server, "/page.bin", PAGE)
        before, resident_before = server.footprint(), server.resident()
        clients = [Client(server, window=4096, timeout=60) for _ in range(directories)]
        with Bystander(server, "/page.bin", PAGE) as other:
            for directory, client in enumerate(clients):
                client.send(get(f"/{directory}/"))
            heads = [client.head() for client in clients]
            most = server.resident()
        statuses = [head.status for head in heads]
        refused = statuses.count(503)
        check(set(statuses) == {200, 503}, f"statuses {statuses}")
        check(most < 64 * 1024, f"{most} KiB resident")
        for head, client in zip(heads, clients):
            if head.status == 503:
                check(head.fields["retry-after"] == "1", "no Retry-After")
                client.take(int(head.fields["content-length"]))
                check(client.ask("/page.bin").body == PAGE, "wrong bytes on the connection after a 503")
            client.close()
        wait_until("all connections are closed", lambda: server.sockets() <= server.own_sockets)
        kept = server.resident() - resident_before
        check(kept < 4096, f"{kept} KiB remain")
        check(count(ask(server, "/3/", timeout=60)) == entries, "the memory for listings was not freed")
        return f"{refused} of {directories} refused, {most // 1024} MiB; others: {latencies(other.took)}; {before.check(kib=4096)}"
