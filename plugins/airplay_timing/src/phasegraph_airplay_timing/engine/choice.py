"""Which of those that announce themselves is the leader: the best, of those that are alive; and it stays so."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from phasegraph.ieee1588 import Announce

from ..wire.compose import Dataset, dataset_of
from .actions import Peer

ALIVE_NS = 5_000_000_000
"""A leader without Syncs for so long gives way to one that has them."""
FORGOTTEN_NS = 60_000_000_000
"""One that is not heard at all for so long is forgotten: some announce themselves every 20 s only."""
_MOST = 16


class Candidate(msgspec.Struct):
    """Somebody who announces a clock."""

    clock: int
    """Identity in the headers of its messages."""
    peer: Peer
    data: Dataset
    announces: int
    heard_ns: int
    """When anything of it came last."""
    sync_ns: int
    """When a Sync of it came last; at first, when it was heard first."""
    syncs: int = 0

    @property
    def qualified(self) -> bool:
        """One Announce alone makes no leader."""
        return self.announces > 1 or self.syncs > 0

    def alive(self, now_ns: int) -> bool:
        """Whether its Syncs come, or it has only just begun."""
        return now_ns - self.sync_ns <= ALIVE_NS


class Choice:
    """Everybody who announces a clock."""

    def __init__(self, own: int) -> None:
        self._own = own
        self._candidates: dict[int, Candidate] = {}

    def announce(self, message: Announce, peer: Peer, now_ns: int) -> str | None:
        """An Announce came. Returns why it is not used, if so."""
        clock = message.source.clock
        if self._own in (clock, message.grandmaster):
            return "own"
        known = self._candidates.get(clock)
        if known is None:
            if len(self._candidates) >= _MOST:
                return "crowd"
            self._candidates[clock] = Candidate(clock, peer, dataset_of(message), 1, now_ns, now_ns)
        elif known.peer.address != peer.address and now_ns - known.heard_ns <= ALIVE_NS:
            return "address"  # somebody else says that he is a clock that is well
        else:
            known.peer, known.data, known.heard_ns = peer, dataset_of(message), now_ns
            known.announces += 1
        return None

    def forget_others(self, addresses: Collection[str]) -> None:
        """Forget who does not speak from one of these addresses."""
        self._candidates = {clock: each for clock, each in self._candidates.items() if each.peer.address in addresses}

    def sync(self, clock: int, peer: Peer, now_ns: int) -> Candidate | None:
        """A Sync or Follow_Up came: of this candidate, if it has announced itself from there."""
        candidate = self._candidates.get(clock)
        if candidate is None or candidate.peer.address != peer.address:
            return None
        candidate.heard_ns = candidate.sync_ns = now_ns
        candidate.syncs += 1
        return candidate

    def best(self, now_ns: int, own: Dataset | None) -> Candidate | None:
        """The leader; None where it is we, whose data set is ``own``, or nobody."""
        for clock in [c.clock for c in self._candidates.values() if now_ns - c.heard_ns > FORGOTTEN_NS]:
            del self._candidates[clock]
        ranked = [(not c.alive(now_ns), c.data.rank, c.clock) for c in self._candidates.values() if c.qualified]
        if not ranked:
            return None
        best = min(ranked)
        return None if own is not None and (False, own.rank) < best[:2] else self._candidates[best[2]]
