"""A log that grows by 1,000 lines a second in the served directory. A separate process writes it, so that writing does not count
as the server's processor time.

Usage: growing.py FILE     writes until it is killed
"""

import contextlib
import os
import subprocess
import sys
import time

import meters

LINES_PER_SECOND = 1000
LINE = b'127.0.0.1 - - [21/Nov/2026 00:00:00] "GET /1k.html HTTP/1.1" 200 1024\n'


@contextlib.contextmanager
def log(path, cores):
    """Lets the new file `path` grow during the context; raises ValueError if its rate was off by more than 20 %."""
    writer = subprocess.Popen([sys.executable, __file__, path], stdin=subprocess.DEVNULL, start_new_session=True,
                              preexec_fn=lambda: meters.pin(cores))
    try:
        while not lines(path):
            if writer.poll() is not None:
                raise ValueError("the growing log cannot be written")
            time.sleep(0.01)
        began, before = time.monotonic(), lines(path)
        yield
        rate = (lines(path) - before) / (time.monotonic() - began)
    finally:
        writer.kill()
        writer.wait()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    if not 0.8 < rate / LINES_PER_SECOND < 1.2:
        raise ValueError(f"the growing log grew by {rate:.0f} lines a second")


def lines(path):
    try:
        return os.path.getsize(path) // len(LINE)
    except FileNotFoundError:
        return 0


def grow(path):
    with open(path, "wb", buffering=0) as file:
        due = time.monotonic()
        while True:
            file.write(LINE)
            due += 1 / LINES_PER_SECOND
            # Overdue lines follow at once, without sleep(0), which would give the processor away.
            if (left := due - time.monotonic()) > 0:
                time.sleep(left)


if __name__ == "__main__":
    grow(sys.argv[1])
