"""Faults that are injected into the real program: one file for each kind of fault, and the code that they share.

A fault checks the outcome only: the right bytes, a running server, and no leaked descriptor or memory.
"""

import sys
import time


class Wrong(Exception):
    """The server did not do what it should."""


class Skip(Exception):
    """This machine does not permit the fault, or lacks a tool for it."""


FAULTS = {}


def fault(name, patient=False):
    """Registers a fault, which returns its figures as text. Patient faults mostly wait, so they run at the same time."""

    def register(function):
        FAULTS[name] = (function, patient)
        return function

    return register


def check(condition, message):
    if not condition:
        raise Wrong(message)


def wait_until(what, condition, seconds=10):
    """Waits until `condition()` is true; returns the seconds that this took."""
    began = time.monotonic()
    while not condition():
        check(time.monotonic() - began < seconds, f"not within {seconds} s: {what}")
        time.sleep(0.01)
    return time.monotonic() - began


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def latencies(values):
    """Shows seconds as p50, p99 and the maximum in milliseconds."""
    p50, p99 = percentile(values, 0.5) * 1000, percentile(values, 0.99) * 1000
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {max(values) * 1000:.1f} ms"


def complain(text):
    print(text, file=sys.stderr, flush=True)
