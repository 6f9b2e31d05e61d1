"""Meters: processor time, instructions and memory of a server; and the description of the machine."""

import os
import platform
import re
import resource
import shutil
import subprocess
import tempfile
import time

COUNTED = "instructions:u,instructions:k"


def tree(pid):
    """Returns the process and all its descendants."""
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        try:
            for task in os.listdir(f"/proc/{found[-1]}/task"):
                todo += map(int, read(f"/proc/{found[-1]}/task/{task}/children").split())
        except OSError:
            pass
    return found


def cpu_seconds(pids):
    """Returns the processor time in kernel and user space, including threads that have ended."""
    total = 0.0
    for pid in pids:
        try:
            # This is the id of another process's clock: clock_getcpuclockid(3).
            total += time.clock_gettime((~pid << 3) | 2)
        except OSError:
            pass
    return total


def pss_bytes(pids):
    """Returns the memory (Pss): a page shared by n processes counts as 1/n page."""
    total = 0
    for pid in pids:
        found = re.search(r"^Pss:\s+(\d+)", read(f"/proc/{pid}/smaps_rollup"), re.M)
        total += int(found.group(1)) * 1024 if found else 0
    return total


class Instructions:
    """Counts instructions with perf, where perf is installed and the machine has counters."""

    def __init__(self):
        self.output = None
        if shutil.which("perf"):
            self.output = tempfile.NamedTemporaryFile("r", prefix="perf-")
            subprocess.run(self.around([os.getpid()]) + ["true"], capture_output=True)
            if self.counted() is None:
                self.output = None

    def around(self, pids):
        """Returns the words to put before a command, so that perf counts the instructions of `pids` until the command ends."""
        if self.output is None:
            return []
        return ["perf", "stat", "-x,", "-o", self.output.name, "-e", COUNTED, "-p", ",".join(map(str, pids)), "--"]

    def counted(self):
        """Returns the counts of user and kernel mode, or None where they cannot be counted."""
        if self.output is None:
            return None
        counts = re.findall(r"^(\d+),[^,]*,instructions:[uk],", read(self.output.name), re.M)
        return list(map(int, counts)) if len(counts) == 2 else None


def cores():
    """Returns one processor for the server and the others for the client, on other cores where there are any."""
    usable = sorted(os.sched_getaffinity(0))
    siblings = read(f"/sys/devices/system/cpu/cpu{usable[0]}/topology/thread_siblings_list")
    beside = {usable[0]}
    for part in siblings.strip().split(",") if siblings else []:
        first, _, last = part.partition("-")
        beside |= set(range(int(first), int(last or first) + 1))
    return usable[0], [core for core in usable if core not in beside] or usable[-1:]


def pin(processors):
    """Binds this process to `processors`, and raises its priority where that is permitted."""
    os.sched_setaffinity(0, processors)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -10)
        # Where the kernel groups processes by session (autogroup), only the priority of the group counts.
        with open("/proc/self/autogroup", "w") as file:
            file.write("-10")
    except OSError:
        pass


def raise_descriptor_limit():
    """Raises the limit for this process and its children to the highest permitted; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = 1 << 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def machine():
    model = re.search(r"^model name\s*:\s*(.*)", read("/proc/cpuinfo"), re.M)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "kernel": f"{platform.system()} {platform.release()}",
        "processor": model.group(1) if model else platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
    }


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
