"""Sync and Follow_Up, brought together in whichever order they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from phasegraph.ieee1588 import FollowUp, Sync

from ..filters import LeaderSync

EXPIRY_NS = 1_000_000_000
"""One half does not wait for the other for longer: a number so old is of a lost half."""
_MOST = 16


class SyncPairing:
    """The Syncs of one leader, matched by sequence number: port numbers mean nothing in Apple's dialect."""

    def __init__(self, drop: Callable[[str], None]) -> None:
        """``drop`` counts each unused message, by reason."""
        self._drop = drop
        self._syncs: dict[int, tuple[Sync, int]] = {}
        self._follow_ups: dict[int, tuple[FollowUp, int]] = {}
        self._done: deque[int] = deque(maxlen=2 * _MOST)

    def sync(self, message: Sync, local_ns: int) -> LeaderSync | None:
        """A Sync came. Returns the sample, if its Follow_Up has come before; so does one of a single step."""
        sequence = message.sequence
        if sequence in self._done or sequence in self._syncs:
            self._drop("duplicate")
            return None
        if not message.two_step:
            self._done.append(sequence)
            return LeaderSync(
                origin_ns=message.origin_ns, correction=message.correction, arrived_ns=local_ns, told_ns=local_ns
            )
        self._syncs[sequence] = message, local_ns
        return self._pair(sequence, local_ns)

    def follow_up(self, message: FollowUp, local_ns: int) -> LeaderSync | None:
        """A Follow_Up came. Returns the sample, if its Sync has come before."""
        sequence = message.sequence
        if sequence in self._done or sequence in self._follow_ups:
            self._drop("duplicate")
            return None
        self._follow_ups[sequence] = message, local_ns
        return self._pair(sequence, local_ns)

    def _pair(self, sequence: int, now_ns: int) -> LeaderSync | None:
        if sequence in self._syncs and sequence in self._follow_ups:
            sync, arrived_ns = self._syncs.pop(sequence)
            follow_up, told_ns = self._follow_ups.pop(sequence)
            self._done.append(sequence)
            return LeaderSync(
                origin_ns=follow_up.precise_origin_ns,
                correction=follow_up.correction,
                sync_correction=sync.correction,
                arrived_ns=arrived_ns,
                told_ns=told_ns,
            )
        for waiting in (self._syncs, self._follow_ups):
            for known, (_, since_ns) in list(waiting.items()):
                if now_ns - since_ns > EXPIRY_NS or len(waiting) > _MOST:
                    del waiting[known]
                    self._drop("unpaired")
        return None
