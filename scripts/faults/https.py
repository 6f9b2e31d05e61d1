"""HTTPS for clients that do not read, or send tiny records, and with certificates that are replaced all the time."""

import concurrent.futures
import functools
import itertools
import multiprocessing
import os
import signal
import ssl
import time

from . import check, fault, latencies, percentile, wait_until
from .client import Bystander, Ended, assert_serves, get
from .content import pattern
from .handshakes import PAGE, client_of, https
from .secure import VERSIONS, Authority, SealingClient, SecureClient
from .server import Server, Site, raise_descriptor_limit

READERS = 1000
BIG = pattern("big", 10 << 20)
# KiB of a connection whose handshake is complete, with one record that has left in part, at most.
EACH = 6 + 17
STALLED = 6
# Bodies of so many bytes, each byte in a record of its own.
SENDERS, TINY = 4, 900_000
RELOADS, SECONDS = 200, 5
PAIRS = 7


@fault("tls-slow-readers")
def clients_that_ask_for_a_big_file_and_do_not_read():
    """What a socket does not take is kept, at most one record for each client, and no client is closed for it."""
    raise_descriptor_limit(READERS + 500)
    with https("-q", limit=READERS + 500) as (server, authority):
        (server.site / "big.bin").write_bytes(BIG)
        client, context = client_of(authority), authority.context()
        assert_serves(server, "/page.bin", PAGE, client=client)
        before, most = server.footprint(), 0
        readers = [SecureClient(server, context, window=4096).send(get("/big.bin")) for _ in range(READERS)]
        with Bystander(server, "/page.bin", PAGE, client=client) as others:
            end = time.monotonic() + STALLED
            while time.monotonic() < end:
                most = max(most, server.memory() - before.memory)
                time.sleep(0.1)
        bound = READERS * EACH
        stayed = len(server.descriptors()) - before.all
        check(stayed >= READERS, f"{READERS - stayed} readers were closed")
        check(most < bound, f"{most} KiB more for {READERS} readers, at most {bound} expected")
        complete = 0
        for number, reader in enumerate(readers):
            # Each takes a while with so small a window, and the send timeout is 30 s.
            if number % 250 == 0:
                check(reader.reply().body == BIG, "wrong bytes")
                complete += 1
            reader.close()
        left = before.check(kib=bound, files=1)
        return (
            f"{READERS} readers, {most:+} KiB, {complete} then read all; "
            f"{len(others.took)} of others {latencies(others.took)}; {left}"
        )


def tiny_records(client):
    """Returns a request whose body no handler wants, each byte of it in a record of its own, and a request for the page."""
    head = get("/page.bin", f"Content-Length: {TINY}", method="POST")
    return client.handshake.sealed(head, *itertools.repeat(b"x", TINY), get("/page.bin"))


def post_records(sender, records):
    with sender.send(records):
        check(sender.reply().status == 405, "the body was not refused")
        check(sender.reply().body == PAGE, "the request after the body has another reply")


@fault("tls-tiny-records")
def bodies_in_records_of_one_byte():
    """Opening such a record takes far longer than reading its byte, so the server bounds the time of a turn."""
    with https("-q") as (server, authority):
        client, contexts = client_of(authority), [authority.context(version) for version in VERSIONS]
        bystander = functools.partial(Bystander, server, "/page.bin", PAGE, pause=0, client=client)
        with bystander() as alone:
            time.sleep(1)
        # On a busy machine, requests take longer without the records too.
        limit = max(0.05, 4 * percentile(alone.took, 0.99))
        before = server.footprint()
        senders = [SealingClient(server, context) for context in contexts * (SENDERS // 2)]
        # Sealed before they are sent, so that they come as fast as the server takes them.
        records = [tiny_records(sender) for sender in senders]
        began = time.monotonic()
        with bystander() as others, concurrent.futures.ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(post_records, senders, records))
        took = time.monotonic() - began
        check(percentile(others.took, 0.99) < limit, f"others wait: {latencies(others.took)}")
        return (
            f"{SENDERS} × {TINY} records in {took:.1f} s; {len(others.took)} of others {latencies(others.took)} "
            f"(alone p99 {percentile(alone.took, 0.99) * 1000:.1f} ms); {before.check()}"
        )


def connect_all_the_time(server, context, stop, pipe):
    """Connects with a full handshake and asks for the page, again and again; sends the serial numbers it has seen, or what failed."""
    seen, count = set(), 0
    try:
        while not stop.is_set():
            with SecureClient(server, context) as client:
                seen.add(client.serial())
                check(client.ask("/page.bin").body == PAGE, "wrong bytes")
                count += 1
        pipe.send((seen, count, None))
    except (OSError, ssl.SSLError, Ended) as error:
        pipe.send((seen, count, repr(error)))


class Pair:
    """The files of a certificate and its key, which the server reads at any moment."""

    def __init__(self, folder):
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"

    def replace(self, certificate, key):
        for path, content in ((self.certificate, certificate), (self.key, key)):
            new = path.with_suffix(".new")
            new.write_bytes(content)
            new.rename(path)


def storm(server, pair, good):
    """Sends SIGHUP all the time, with pairs of which every fourth is good; returns when the last one is."""
    ways = itertools.cycle(("good", "of another", "half", "missing"))
    began = time.monotonic()
    for number in range(RELOADS):
        (certificate, key), (_, other) = good[number % PAIRS], good[(number + 1) % PAIRS]
        way = next(ways)
        pair.replace(certificate, other if way == "of another" else key)
        if way == "half":
            pair.key.write_bytes(key[: len(key) // 2])
        elif way == "missing":
            pair.certificate.unlink()
        server.signal(signal.SIGHUP)
        time.sleep(max(0.0, began + (number + 1) * SECONDS / RELOADS - time.monotonic()))


@fault("tls-reload-storm")
def certificates_that_are_replaced_all_the_time():
    """The server uses a pair only if certificate and key belong together, and serves on with the last one that did."""
    with Site() as site, Site() as keys, Site() as files:
        site.file("page.bin", PAGE)
        authority = Authority(files.path)
        good = [authority.issue(number) for number in range(1, PAIRS + 1)]
        pair, context = Pair(keys.path), authority.context()
        pair.replace(*good[0])
        options = ("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
        with Server(site, "-q", *options) as server:
            client = client_of(authority)
            assert_serves(server, "/page.bin", PAGE, client=client)
            # The first reload starts the thread that reads.
            server.signal(signal.SIGHUP)
            time.sleep(0.2)
            before, threads = server.footprint(), thread_count(server)
            stop, pipes = multiprocessing.Event(), []
            for _ in range(2):
                pipe, theirs = multiprocessing.Pipe()
                multiprocessing.Process(
                    target=connect_all_the_time, args=(server, context, stop, theirs), daemon=True
                ).start()
                pipes.append(pipe)
            storm(server, pair, good)
            stop.set()
            found = [pipe.recv() for pipe in pipes]
            failures = [failure for _, _, failure in found if failure]
            check(not failures, f"a client failed: {', '.join(failures)}")
            seen, count = set.union(*(seen for seen, _, _ in found)), sum(count for _, count, _ in found)
            check(len(seen) > PAIRS // 2, f"only the certificates {seen} were seen")
            last = authority.issue(PAIRS + 1)
            pair.replace(*last)
            server.signal(signal.SIGHUP)
            wait_until("the last certificate is in force", lambda: serial(server, context) == PAIRS + 1)
            wait_until("the threads have ended", lambda: thread_count(server) <= threads)
            return (
                f"{RELOADS} reloads, {count} handshakes, {len(seen)} certificates seen, none mixed; "
                f"{threads} threads; {before.check()}"
            )


def serial(server, context):
    with SecureClient(server, context) as client:
        return client.serial()


def thread_count(server):
    return len(os.listdir(f"/proc/{server.pid}/task"))
