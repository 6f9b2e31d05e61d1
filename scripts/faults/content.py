"""Bytes that say where they belong, so that any piece of a file can be checked."""

import hashlib

# A prime, so that no buffer of any size hides that it came at the wrong place.
PERIOD = 65_521


def _period(name):
    block, seed = bytearray(), name.encode()
    while len(block) < PERIOD:
        seed = hashlib.sha256(seed).digest()
        block += seed
    return bytes(block[:PERIOD])


def pattern(name, length, offset=0):
    """`length` bytes of the endless content called `name`, from `offset` on."""
    period = _period(name)
    start = offset % PERIOD
    return (period * ((start + length) // PERIOD + 1))[start : start + length]
