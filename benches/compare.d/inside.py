"""The part of benches/count that runs in the emulated machine: measures servers as benches/compare does, and writes the figures
to /dev/ttyS1 as JSON."""

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
    # Server and client share the one processor. If a process ran as soon as it is woken, the server would find one request in
    # each turn, and the client one reply. With SCHED_BATCH each runs until it sleeps, so it finds the work of all
    # connections, as it does under load on separate processors.
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    meters.raise_descriptor_limit()
    with open(f"{HERE}/asked.json") as file:
        asked = json.load(file)
    for name, binary in asked["binaries"].items():
        servers.SERVERS[name] = (servers.build_of(f"{HERE}/{binary}"), None, None)
    # Reading all files first puts them in the page cache: while all processes wait for the disk, the clock jumps to the next
    # timer.
    for directory, _, files in os.walk(ROOT):
        for name in files:
            with open(f"{directory}/{name}", "rb") as file:
                file.read()
    found = meters.machine() | {"left_out": []}
    warming, counting = (clients.Clients(HERE, ROOT, [0], seconds) for seconds in (1, asked["seconds"]))

    def ask(server, work, headers):
        # A server in use has other connections while one client leaves and the next arrives; this one stands for them.
        with socket.create_connection(("127.0.0.1", server.port)):
            warm_up(warming, server, work, headers)
            return counting.measure(server, work, headers)

    running = rounds.Running(servers.Place(HERE, ROOT, None, 0), found["left_out"])
    works = [work for work in WORKS if work.name in asked["works"]]
    found["works"] = rounds.measure(ask, running, asked["servers"], works, 1)
    running.stop()
    with open("/dev/ttyS1", "w") as file:
        json.dump(found, file)


def warm_up(warming, server, work, headers):
    """Fills the server's caches before anything is counted; where there are many files, asks for each three times."""
    if not work.files:
        warming.measure(server, work, headers)
        return
    done = 0
    while done < 3 * work.files.count:
        next_ones = replace(work, name=f"{work.name}-from-{done}", script=in_order(work.files, done))
        done += warming.wrk(server, next_ones, headers)["requests"]


main()
