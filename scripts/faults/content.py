"""Content in which each byte depends on its place, so that any piece of a file can be checked."""

import hashlib

# A prime, so that a buffer of any size shows if it arrives at the wrong place.
PERIOD = 65_521


def _period(name):
    block, seed = bytearray(), name.encode()
    while len(block) < PERIOD:
        seed = hashlib.sha256(seed).digest()
        block += seed
    return bytes(block[:PERIOD])


def pattern(name, length, offset=0):
    """Returns `length` bytes of the endless content called `name`, from `offset` on."""
    period = _period(name)
    start = offset % PERIOD
    return (period * ((start + length) // PERIOD + 1))[start : start + length]
