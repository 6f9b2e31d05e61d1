"""The part of benches/count that runs in the emulated machine: asks servers as benches/compare does, and writes what it cost to
/dev/ttyS1."""

import json
import os
import socket
import sys
from dataclasses import replace

sys.dont_write_bytecode = True

import clients
import meters
import rounds
import servers
from works import WORKS, in_order

HERE = "/mnt"
ROOT = f"{HERE}/root"


def main():
    # The one processor is shared with the client. Were who wakes up to run at once, the server would have one request a
    # turn, and the client one reply: a batch runs until it sleeps, so that each finds the work of all connections, as
    # it does under load on processors of their own.
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    meters.raise_descriptor_limit()
    with open(f"{HERE}/asked.json") as file:
        asked = json.load(file)
    for name, binary in asked["binaries"].items():
        servers.SERVERS[name] = (servers.build_of(f"{HERE}/{binary}"), None, None)
    # While all wait for the disk, the clock leaps to the next timer.
    for directory, _, files in os.walk(ROOT):
        for name in files:
            with open(f"{directory}/{name}", "rb") as file:
                file.read()
    found = meters.machine() | {"left_out": []}
    warming, counting = (clients.Clients(HERE, ROOT, [0], seconds) for seconds in (1, asked["seconds"]))

    def ask(server, work, headers):
        # Between two clients a server that is in use has others.
        with socket.create_connection(("127.0.0.1", server.port)):
            warm_up(warming, server, work, headers)
            return counting.wrk(server, work, headers)

    running = rounds.Running(servers.Place(HERE, ROOT, None, 0), found["left_out"])
    works = [work for work in WORKS if work.name in asked["works"]]
    found["works"] = rounds.measure(ask, running, asked["servers"], works, 1)
    running.stop()
    with open("/dev/ttyS1", "w") as file:
        json.dump(found, file)


def warm_up(warming, server, work, headers):
    """What is kept is kept before anything is counted: where there are many files, each is asked for three times."""
    if not work.files:
        warming.wrk(server, work, headers)
        return
    done = 0
    while done < 3 * work.files.count:
        next_ones = replace(work, name=f"{work.name}-from-{done}", script=in_order(work.files, done))
        done += warming.wrk(server, next_ones, headers)["requests"]


main()
