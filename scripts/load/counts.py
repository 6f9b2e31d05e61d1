"""What came of the requests of one load."""

from typing import NamedTuple


class Counts(NamedTuple):
    """Its requests, those that failed by kind, and the 99th percentile of the latency in milliseconds."""

    requests: int
    failed: dict
    p99: float = 0.0

    def all_failed(self):
        return sum(self.failed.values())
