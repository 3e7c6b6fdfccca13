"""TimeInterval (IEEE 1588-2019, 5.3.2): 48 bits of nanoseconds and 16 of their fraction, as correctionField has it."""

from __future__ import annotations

_LIMIT = 2**63 - 1


def to_interval(ns: float) -> int:
    """Nanoseconds as a TimeInterval, in 2**-16 ns. What is too large becomes the largest, as the standard asks."""
    scaled = ns << 16 if isinstance(ns, int) else round(ns * 2**16)
    return max(-_LIMIT, min(_LIMIT, scaled))


def interval_ns(interval: int) -> int:
    """The nearest whole number of nanoseconds; halves go up."""
    return (interval + 0x8000) >> 16
