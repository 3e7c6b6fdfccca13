"""Sync and Follow_Up, brought together in whichever order they arrive (IEEE 1588-2019, 11.2), for any follower."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from .messages import FollowUp, Sync

UNITS_PER_NS = 1 << 16
"""correctionField counts in 2**-16 ns."""
WINDOW = 8
"""Messages that wait for their other half, at most this many sequence numbers behind the newest."""
_LEAST_CORRECTION = -1_000 * UNITS_PER_NS
_MOST_CORRECTION = 10_000_000_000 * UNITS_PER_NS

Arrived = TypeVar("Arrived")
"""When and how a Sync arrived, in the follower's own type."""


def correction_refusal(correction: int) -> str | None:
    """Why a correctionField (2**-16 ns) cannot be true, as a reason for dropping it; None if it can.

    Transparent clocks run on their own oscillators, so a microsecond below zero is tolerated.
    """
    if correction < _LEAST_CORRECTION:
        return "correction_negative"
    return "correction_huge" if correction > _MOST_CORRECTION else None


class TimedSync(msgspec.Struct, Generic[Arrived], frozen=True, gc=False):
    """A Sync whose precise departure is known."""

    sequence: int
    arrival: Arrived
    origin_ns: int
    """Departure on the sender's clock: of the Follow_Up, or of a one-step Sync itself."""
    sync_correction: int
    """correctionField of the Sync, 2**-16 ns."""
    follow_up_correction: int

    @property
    def correction(self) -> int:
        """Of both together."""
        return self.sync_correction + self.follow_up_correction


class SyncPairing(Generic[Arrived]):
    """The Syncs of one master port. The caller has checked whose messages they are."""

    def __init__(self, drop: Callable[[str], None]) -> None:
        """``drop`` is called for each message that is not used, with the reason."""
        self._drop = drop
        self._syncs: dict[int, tuple[Sync, Arrived]] = {}
        self._follow_ups: dict[int, FollowUp] = {}
        self._done: deque[int] = deque(maxlen=2 * WINDOW)

    def __len__(self) -> int:
        return len(self._syncs) + len(self._follow_ups)

    def add_sync(self, message: Sync, arrival: Arrived) -> TimedSync[Arrived] | None:
        """A Sync arrived. Returns its time, if that is known already."""
        if message.sequence in self._syncs or message.sequence in self._done:
            self._drop("duplicate")
            return None
        if not message.two_step:
            return self._finish(message, arrival, message.origin_ns, 0)
        follow_up = self._follow_ups.pop(message.sequence, None)
        if follow_up is not None:
            return self._finish(message, arrival, follow_up.precise_origin_ns, follow_up.correction)
        self._syncs[message.sequence] = message, arrival
        self._drop_unpaired(message.sequence)
        return None

    def add_follow_up(self, message: FollowUp) -> TimedSync[Arrived] | None:
        """A Follow_Up arrived. Returns the time of its Sync, if that is here."""
        if message.sequence in self._follow_ups or message.sequence in self._done:
            self._drop("duplicate")
            return None
        waiting = self._syncs.pop(message.sequence, None)
        if waiting is not None:
            return self._finish(*waiting, message.precise_origin_ns, message.correction)
        self._follow_ups[message.sequence] = message
        self._drop_unpaired(message.sequence)
        return None

    def _finish(
        self, sync: Sync, arrival: Arrived, origin_ns: int, follow_up_correction: int
    ) -> TimedSync[Arrived] | None:
        self._done.append(sync.sequence)
        timed = TimedSync(sync.sequence, arrival, origin_ns, sync.correction, follow_up_correction)
        reason = correction_refusal(timed.correction)
        if reason is None:
            return timed
        self._drop(reason)
        return None

    def _drop_unpaired(self, newest: int) -> None:
        # A number so far away is of a lost half, or of before the master's restart: it must not meet its namesake
        # when the sequence has come around.
        for waiting in (self._syncs, self._follow_ups):
            for sequence in [known for known in waiting if _distance(known, newest) > WINDOW]:
                del waiting[sequence]
                self._drop("unpaired")


def _distance(a: int, b: int) -> int:
    return min((a - b) & 0xFFFF, (b - a) & 0xFFFF)
