"""The order of measurements: servers take turns, so that other load on the machine affects all of them alike."""

import sys
from http.client import HTTPException

import results
from idle import memory_of, milliseconds_to_reply
from servers import can_do
from works import protocol


class Running:
    """The servers started so far: one process for each configuration that the works need."""

    def __init__(self, place, left_out):
        self.place, self.left_out = place, left_out
        self.servers, self.headers, self.protocols = {}, {}, {}
        # Pairs of server and work that are not measured again; a scheme stands for all its works.
        self.given_up = set()

    def ready(self, name, work):
        """Returns the server and the header fields to send; raises ValueError where the server cannot do this work."""
        is_floor = name == "floor"
        key = (name, work.floor, work.closes()) if is_floor else (name, work.logs, work.compresses, work.tls)
        if key not in self.servers:
            try:
                self.servers[key] = self.place.start(name, work)
            except ValueError:
                self.given_up.add((name, work.scheme()))
                raise
        if (name, work) not in self.headers:
            port = self.servers[key].port
            if work.tls:
                self.protocols[name] = protocol(port)
            self.headers[name, work] = dict(work.headers) if is_floor else work.check(port)
        return self.servers[key], self.headers[name, work]

    def stop(self):
        for server in self.servers.values():
            server.stop()


def measure(ask, running, names, works, count):
    """Measures every server at every work in each of `count` rounds, by `ask(server, work, headers)`."""
    rounds = {work: [] for work in works}
    for number in range(count):
        for work in works:
            print(f"round {number + 1} of {count}: {work.title}", file=sys.stderr)
            rounds[work].append(one_round(ask, running, names, work))
    return {
        work.name: {"title": work.title, "connections": work.connections, "servers": results.summed_up(rounds[work])}
        for work in works
    }


def one_round(ask, running, names, work):
    figures = {}
    for name in names:
        if running.given_up & {(name, work), (name, work.scheme())} or not can_do(name, work):
            continue
        try:
            server, headers = running.ready(name, work)
            figures[name] = ask(server, work, headers)
        except (ValueError, OSError, HTTPException) as error:
            running.given_up.add((name, work))
            running.left_out.append(f"{name}, {work.title}: {error}")
    return figures


def at_rest(place, names, work, count, left_out):
    """Returns the start time and the memory of each server, with `count` connections of the kind that `work` has."""
    found = {}
    for name in names:
        if not can_do(name, work):
            continue
        print(f"start and memory: {name}, {work.scheme()}", file=sys.stderr)
        server = None
        try:
            start = milliseconds_to_reply(lambda: place.start(name, work), work.tls)
            server = place.start(name, work)
            found[name] = memory_of(server, count, work.tls) | {"start_ms": start}
        except (ValueError, OSError) as error:
            left_out.append(f"{name}, start and memory, {work.scheme()}: {error}")
        finally:
            if server:
                server.stop()
    return found
