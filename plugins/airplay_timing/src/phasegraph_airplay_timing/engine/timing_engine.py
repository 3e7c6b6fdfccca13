"""The common part of the engines of all modes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable

import msgspec

from phasegraph.ieee1588 import TransmitTokens

from .engine_actions import Action, EngineEvent, TimingPeer

MOST_ADOPTED = 16
ADOPTED_NS = 15_000_000_000
"""A peer that was not named takes part until it is silent for this long."""
_MOST_TOKENS = 256


class TimingEngine(ABC):
    """Gets datagrams, departures and time; has actions and a deadline. Subclasses are the modes."""

    def __init__(self, peers: Iterable[TimingPeer], now_ns: int) -> None:
        self.counters: Counter[str] = Counter()
        """Events by name; ``dropped_*`` are what came in and was not used, by reason."""
        self.readiness = ExchangeStreaks()
        self.leads = False
        """Whether our own local time is the reference."""
        self.deadline_ns = now_ns
        """Latest time of the next call of `tick`."""
        self._todo: list[Action] = []
        self._named: dict[str, TimingPeer] = {}
        self._heard: set[str] = set()
        """Addresses of the named peers that have sent."""
        self._adopted: dict[str, tuple[TimingPeer, int]] = {}
        """By address: a peer that was not named, and since when it counts as silent."""
        self._tokens: TransmitTokens[object] = TransmitTokens(_MOST_TOKENS)
        self.set_peers(peers)

    def set_peers(self, peers: Iterable[TimingPeer]) -> None:
        """Name the peers, in place of those before. With no peer named, every sender takes part."""
        self._named = {peer.address: peer for peer in peers}
        self._heard.clear()
        self._adopted.clear()

    @property
    def peers(self) -> list[TimingPeer]:
        """Who takes part."""
        return [*self._named.values(), *(peer for peer, _ in self._adopted.values())]

    @property
    def silent_peers(self) -> int:
        """Number of named peers that have sent nothing since they were named."""
        return len(self._named.keys() - self._heard)

    def concerns(self, address: str) -> bool:
        """Whether a device at this address takes part, or may: with no peer named, every device may.

        A device may be named by its IPv6 address and send by IPv4, or the reverse. So while a named peer is silent, a
        device of the other family takes part in its place.
        """
        if not self._named or address in self._named:
            return True
        return any((":" in silent) != (":" in address) for silent in self._named.keys() - self._heard)

    @property
    def one_way(self) -> bool:
        """Whether the leader that is followed does not answer, so that only its Syncs are measured."""
        return False

    @abstractmethod
    def receive(self, data: bytes, source: tuple[str, int], local_ns: int, now_ns: int) -> None:
        """A datagram arrived at ``local_ns``. Whatever is in it, nothing is raised."""

    @abstractmethod
    def departed(self, token: int, local_ns: int) -> None:
        """A datagram that was sent with a token left."""

    @abstractmethod
    def tick(self, now_ns: int) -> None:
        """Do what is due."""

    def actions(self) -> list[Action]:
        """Actions that are due; each is returned once."""
        todo, self._todo = self._todo, []
        return todo

    def _drop(self, reason: str) -> None:
        self.counters[f"dropped_{reason}"] += 1

    def _notice(self, name: str, **fields: int | float | str) -> None:
        self._todo.append(EngineEvent(name, fields))

    def _peer_at(self, source: tuple[str, int], now_ns: int, ports: tuple[int, int]) -> TimingPeer | None:
        # The source's port says nothing: some phones send from 461.
        address = source[0]
        if address in self._named:
            self._heard.add(address)
            return self._named[address]
        if not self.concerns(address):
            return None
        self._forget_silent(now_ns)
        known = self._adopted.get(address)
        if known is None and len(self._adopted) >= MOST_ADOPTED:
            return None
        peer = TimingPeer(address, *ports)
        self._adopted[address] = (peer, now_ns if known is None else max(now_ns, known[1]))
        return peer

    def _forget_silent(self, now_ns: int) -> None:
        self._adopted = {key: each for key, each in self._adopted.items() if now_ns - each[1] <= ADOPTED_NS}

    def _lease(self, peer: TimingPeer, now_ns: int, seconds: int | None) -> None:
        # A peer that was not named takes part for this long, silent or not; None changes nothing.
        if seconds is not None and peer.address in self._adopted:
            self._adopted[peer.address] = (peer, now_ns + max(0, seconds * 1_000_000_000 - ADOPTED_NS))


class ExchangeStreaks:
    """Streaks of exchanges without a pause: after `STREAK_NS` both clocks agree."""

    STREAK_NS = 2_300_000_000

    def __init__(self, gap_ns: int = 3_000_000_000) -> None:
        """``gap_ns`` is the longest pause."""
        self._gap_ns = gap_ns
        self._streaks: dict[str, _Streak] = {}

    def note(self, whose: str, now_ns: int) -> bool:
        """Count an exchange; returns whether the peer has become ready with it."""
        streak = self._streaks.get(whose)
        if streak is None or now_ns - streak.last_ns > self._gap_ns:
            self._streaks = {key: each for key, each in self._streaks.items() if now_ns - each.last_ns <= self._gap_ns}
            streak = self._streaks[whose] = _Streak(now_ns, now_ns, False)
        ready = now_ns - streak.began_ns >= self.STREAK_NS
        became = ready and not streak.ready
        streak.last_ns, streak.ready = now_ns, ready
        return became

    def count(self, now_ns: int) -> int:
        """How many are ready."""
        return sum(each.ready and now_ns - each.last_ns <= self._gap_ns for each in self._streaks.values())


class _Streak(msgspec.Struct):
    began_ns: int
    last_ns: int
    ready: bool
