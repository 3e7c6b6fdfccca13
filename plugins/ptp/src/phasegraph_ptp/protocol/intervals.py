"""Intervals of messages: as logMessageInterval states them, or as they are observed."""

from __future__ import annotations

from collections import deque

NS_PER_S = 1_000_000_000
NEVER = 2**63 - 1
"""A deadline that is never reached."""

_BELIEVABLE = range(-8, 9)
_REMEMBERED = 5
_LATE = 2
"""Above this many stated intervals apart, usually, the observed interval counts."""


def period_ns(log_interval: int) -> int:
    """Nanoseconds in ``2**log_interval`` seconds."""
    return NS_PER_S << log_interval if log_interval >= 0 else NS_PER_S >> -log_interval


def stated_period_ns(log_interval: int) -> int | None:
    """The interval that a header states; None where it is 0x7F (unknown), or outside 2**-8 to 2**8 s."""
    return period_ns(log_interval) if log_interval in _BELIEVABLE else None


def next_due_ns(due_ns: int, period: int, now_ns: int) -> int:
    """The next deadline: the rhythm goes on, and missed deadlines are not made up for in a burst."""
    next_ns = due_ns + period
    return next_ns if next_ns > now_ns else now_ns + period


class MessageInterval:
    """The interval of one sender's messages of one type: the stated one, unless another one is observed.

    ptp4l states its multicast interval also where it sends by a unicast contract with a longer one.
    """

    def __init__(self, assumed_ns: int) -> None:
        """``assumed_ns`` holds until something is known."""
        self.ns = assumed_ns
        self._last_ns: int | None = None
        self._gaps: deque[int] = deque(maxlen=_REMEMBERED)

    def record_arrival(self, log_interval: int, at_ns: int) -> None:
        """A message arrived."""
        if self._last_ns is not None and at_ns > self._last_ns:
            self._gaps.append(at_ns - self._last_ns)
        self._last_ns = at_ns
        stated = stated_period_ns(log_interval)
        seen = sorted(self._gaps)[(len(self._gaps) - 1) // 2] if self._gaps else None
        if stated is not None and (seen is None or len(self._gaps) == 1 or seen <= _LATE * stated):
            self.ns = stated
        elif seen is not None:
            self.ns = seen
