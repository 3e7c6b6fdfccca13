"""Election of the leader: the best of the clocks that announce themselves and are alive."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

import msgspec

from phasegraph.ieee1588 import Announce

from ..wire.compose import AnnouncedDataset, dataset_of
from .engine_actions import TimingPeer

ALIVE_NS = 5_000_000_000
"""A leader without Syncs for this long gives way to a clock that sends them."""
FORGOTTEN_NS = 60_000_000_000
"""A clock that is silent for this long is forgotten. Some announce themselves every 20 s only."""
PATIENCE_NS = 2_000_000_000
"""A clock that announces itself for less than this may be about to follow."""
_MOST = 16


class LeaderCandidate(msgspec.Struct):
    """A clock that announces itself."""

    clock: int
    """Identity in the headers of its messages."""
    peer: TimingPeer
    data: AnnouncedDataset
    announces: int
    heard_ns: int
    """When anything of it came last."""
    sync_ns: int
    """Arrival of its last Sync; before the first, of its first Announce."""
    syncs: int = 0
    first_ns: int = 0
    """Arrival of its first Announce."""
    asked_ns: int | None = None
    """When it last asked us for a delay: then it follows us."""
    yielded_to: bool = False
    """Whether a leader has been silent for it once already."""

    @property
    def qualified(self) -> bool:
        """One Announce alone makes no leader."""
        return self.announces > 1 or self.syncs > 0

    def alive(self, now_ns: int) -> bool:
        """Whether its Syncs come, or it has only just begun."""
        return now_ns - self.sync_ns <= ALIVE_NS


class LeaderElection:
    """All clocks that announce themselves."""

    def __init__(self, own: int, *, eager: bool = True) -> None:
        """With ``eager`` a clock that was heard before its first Announce needs no second one."""
        self._own = own
        self._eager = eager
        self._candidates: dict[int, LeaderCandidate] = {}
        self._unannounced: deque[tuple[int, str]] = deque(maxlen=_MOST)
        """Clock and address of the last Syncs and Follow_Ups without an Announce before them."""

    @property
    def candidates(self) -> int:
        """Number of clocks that announce themselves."""
        return len(self._candidates)

    def announce(self, message: Announce, peer: TimingPeer, now_ns: int) -> str | None:
        """An Announce came. Returns why it is not used, if so."""
        clock = message.source.clock
        if self._own in (clock, message.grandmaster):
            return "own"
        known = self._candidates.get(clock)
        if known is None:
            if len(self._candidates) >= _MOST:
                return "crowd"
            syncs = self._unannounced.count((clock, peer.address)) if self._eager else 0
            self._candidates[clock] = LeaderCandidate(
                clock, peer, dataset_of(message), 1, now_ns, now_ns, syncs=syncs, first_ns=now_ns
            )
        elif known.peer.address != peer.address and now_ns - known.heard_ns <= ALIVE_NS:
            return "address"  # another host claims the identity of a clock that is alive
        else:
            known.peer, known.data, known.heard_ns = peer, dataset_of(message), now_ns
            known.announces += 1
        return None

    def forget_others(self, addresses: Collection[str]) -> None:
        """Forget the clocks that do not send from one of these addresses."""
        self._candidates = {clock: each for clock, each in self._candidates.items() if each.peer.address in addresses}

    def sync(self, clock: int, peer: TimingPeer, now_ns: int) -> LeaderCandidate | None:
        """A Sync or Follow_Up came: of this candidate, if it has announced itself from there."""
        candidate = self._candidates.get(clock)
        if candidate is None or candidate.peer.address != peer.address:
            self._unannounced.append((clock, peer.address))
            return None
        candidate.heard_ns = candidate.sync_ns = now_ns
        candidate.syncs += 1
        return candidate

    def asked(self, clock: int, now_ns: int) -> None:
        """A Delay_Req came from this clock."""
        candidate = self._candidates.get(clock)
        if candidate is not None:
            candidate.asked_ns = now_ns

    def insistent(self, now_ns: int, own: AnnouncedDataset | None) -> LeaderCandidate | None:
        """A clock that outranks ``own`` (None: any), announces itself again, sends no Sync and does not follow us.

        A HomePod of OS 27 announces itself every 20 s like this while another clock is offered. Each is returned
        until `LeaderCandidate.yielded_to` is set.
        """
        return next(
            (
                each
                for each in self._candidates.values()
                if each.announces > 1
                and not each.syncs
                and not each.yielded_to
                and (own is None or each.data.rank < own.rank)
                and now_ns - each.first_ns >= PATIENCE_NS
                and (each.asked_ns is None or now_ns - each.asked_ns > ALIVE_NS)
            ),
            None,
        )

    def best(
        self, now_ns: int, own: AnnouncedDataset | None, *, syncing: bool = False, yielded: bool = False
    ) -> LeaderCandidate | None:
        """The leader; None where that is us, whose data set is ``own``, or where there is none.

        With ``syncing`` a clock that has sent no Sync does not count. With ``yielded`` only those count for which we
        have been silent.
        """
        for clock in [c.clock for c in self._candidates.values() if now_ns - c.heard_ns > FORGOTTEN_NS]:
            del self._candidates[clock]
        ranked = [
            (not c.alive(now_ns), c.data.rank, c.clock)
            for c in self._candidates.values()
            if c.qualified and (c.syncs > 0 or not syncing) and (c.yielded_to or not yielded)
            if not (yielded and not c.alive(now_ns))
        ]
        if not ranked:
            return None
        best = min(ranked)
        return None if own is not None and (False, own.rank) < best[:2] else self._candidates[best[2]]
