"""Sync and Follow_Up, brought together in whichever order they come (11.2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from phasegraph import StampKind
from phasegraph.ieee1588 import FollowUp, Sync

from .corrections import refusal

WINDOW = 8
"""Messages that wait for their other half, at most this many sequence numbers behind the newest."""


class ReceivedSync(msgspec.Struct, frozen=True, gc=False):
    """A Sync and its receive stamp."""

    message: Sync
    local_ns: int
    stamp: StampKind


class TimedSync(msgspec.Struct, frozen=True, gc=False):
    """A Sync whose precise departure is known."""

    received: ReceivedSync
    origin_ns: int
    correction: int
    """Of Sync and Follow_Up together, 2**-16 ns."""


class SyncPairing:
    """The Syncs of one master port. Whose messages they are has been looked at before."""

    def __init__(self, drop: Callable[[str], None]) -> None:
        """``drop`` is told of each message that is not used, by reason."""
        self._drop = drop
        self._syncs: dict[int, ReceivedSync] = {}
        self._follow_ups: dict[int, FollowUp] = {}
        self._done: deque[int] = deque(maxlen=2 * WINDOW)

    def __len__(self) -> int:
        return len(self._syncs) + len(self._follow_ups)

    def sync(self, received: ReceivedSync) -> TimedSync | None:
        """A Sync came. Returns its time, if that is known already."""
        message = received.message
        if message.sequence in self._syncs or message.sequence in self._done:
            self._drop("duplicate")
            return None
        if not message.two_step:
            return self._finish(received, message.origin_ns, message.correction)
        follow_up = self._follow_ups.pop(message.sequence, None)
        if follow_up is not None:
            return self._pair(received, follow_up)
        self._syncs[message.sequence] = received
        self._forget(message.sequence)
        return None

    def follow_up(self, message: FollowUp) -> TimedSync | None:
        """A Follow_Up came. Returns the time of its Sync, if that is here."""
        if message.sequence in self._follow_ups or message.sequence in self._done:
            self._drop("duplicate")
            return None
        received = self._syncs.pop(message.sequence, None)
        if received is not None:
            return self._pair(received, message)
        self._follow_ups[message.sequence] = message
        self._forget(message.sequence)
        return None

    def _pair(self, received: ReceivedSync, follow_up: FollowUp) -> TimedSync | None:
        correction = received.message.correction + follow_up.correction
        return self._finish(received, follow_up.precise_origin_ns, correction)

    def _finish(self, received: ReceivedSync, origin_ns: int, correction: int) -> TimedSync | None:
        self._done.append(received.message.sequence)
        reason = refusal(correction)
        if reason is not None:
            self._drop(reason)
            return None
        return TimedSync(received, origin_ns, correction)

    def _forget(self, newest: int) -> None:
        # A number so far away is of a lost half, or of before the master's restart: it must not meet its namesake
        # when the sequence has come around.
        for waiting in (self._syncs, self._follow_ups):
            for sequence in [known for known in waiting if _distance(known, newest) > WINDOW]:
                del waiting[sequence]
                self._drop("unpaired")


def _distance(a: int, b: int) -> int:
    return min((a - b) & 0xFFFF, (b - a) & 0xFFFF)
