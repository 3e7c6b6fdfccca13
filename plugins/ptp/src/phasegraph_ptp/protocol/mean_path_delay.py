"""A running mean of the path's delay: for the data sets, and to distinguish a late answer from a slow path."""

from __future__ import annotations

_LEAST_PATIENCE_NS = 100_000_000
_UNKNOWN_PATIENCE_NS = 1_000_000_000
_PATIENCE_IN_DELAYS = 20


class MeanPathDelay:
    """Falls quickly and rises slowly: queues only ever add."""

    def __init__(self) -> None:
        self.ns: float | None = None

    def add_delay(self, delay_ns: float) -> None:
        """One more measurement."""
        delay_ns = max(0.0, delay_ns)
        if self.ns is None:
            self.ns = delay_ns
        else:
            self.ns += (delay_ns - self.ns) / (4 if delay_ns < self.ns else 16)

    def forget(self) -> None:
        """The path has changed."""
        self.ns = None

    @property
    def patience_ns(self) -> int:
        """An answer that takes longer is late: 100 ms or 20 delays; 1 s while the delay is unknown."""
        if self.ns is None:
            return _UNKNOWN_PATIENCE_NS
        return max(_LEAST_PATIENCE_NS, round(_PATIENCE_IN_DELAYS * self.ns))
