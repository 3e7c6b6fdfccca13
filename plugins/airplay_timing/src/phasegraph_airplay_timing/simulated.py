"""The ``airplay`` clock in ``kernel simulate``: its own protocol and filter, against the simulated grandmaster."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

import trio

from phasegraph import Build, ClockEstimate, Metrics, NodeContext, SimulatedReference, StampKind
from phasegraph.ieee1588 import EVENT_MESSAGES, DelayReq, Message, PortIdentity, decode, encode, parse_clock_identity
from phasegraph.net import Arrival, Departure

from .engine import Peer, PtpEngine, Role, Send, Tracker
from .engine.leading import ANNOUNCE_NS, SYNC_NS
from .filters import FILTERS
from .options import AirplayConfig
from .participant import Participant
from .wire import compose

PUBLISH_NS = 100_000_000
SILENCE_NS = 2_000_000_000
_HERE, _THERE = "10.0.0.2", "10.0.0.1"
_IDENTITY = 0x0200_0000_0002_0008
_PORT = 0x8005


class SimulatedAirplayClock:
    """A follower with ``mode = "ptp"``, whatever the mode and role: it is the scenario that has the leader."""

    def __init__(self, config: AirplayConfig, build: Build, reference: SimulatedReference) -> None:
        now = build.local.now_ns()
        self._local = build.local
        self._reference = reference
        self._tracker = Tracker(FILTERS[config.filter], silence_ns=SILENCE_NS, now_ns=now)
        self._engine = PtpEngine(Role.FOLLOW, _IDENTITY, [Peer(_THERE, 319, 320)], now)
        self._participant: Participant | None = None
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._sequence = itertools.count()

    def estimate(self) -> ClockEstimate:
        """See `ClockSource.estimate`."""
        return self._tracker.estimate

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        one_way, misfits = int(self._engine.one_way), self._tracker.misfits
        return {"one_way": one_way, "samples_misfit": misfits, **self._engine.counters}

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        self._participant = participant = Participant(self._engine, self._tracker, self, ctx.event)
        task_status.started()
        self._events.clear()
        self._announce()
        self._sync()
        while True:
            now = self._local.now_ns()
            while self._events[0][0] <= now:
                heapq.heappop(self._events)[2]()
            participant.work(now)
            due = min(self._events[0][0], self._engine.deadline_ns, now + PUBLISH_NS)
            await ctx.sleep(max(due - now, 1))

    def send(self, action: Send, token: int | None) -> None:
        """See `Way.send`: only questions are answered there."""
        if token is not None:
            self._hear_after(0, Departure(token, self._local.now_ns(), StampKind.KERNEL))
        request, way_ns = decode(action.data), self._reference.way_there_ns()
        if isinstance(request, DelayReq) and way_ns is not None:
            self._after(way_ns, lambda: self._answer(request))

    def _announce(self) -> None:
        self._after(ANNOUNCE_NS, self._announce)
        data = compose.Dataset(grandmaster=self._leader.clock)
        self._tell(compose.announce(self._leader, next(self._sequence) % 2**16, data))

    def _sync(self) -> None:
        self._after(SYNC_NS, self._sync)
        sequence = next(self._sequence) % 2**16
        self._tell(compose.sync(self._leader, sequence))
        self._tell(compose.follow_up(self._leader, sequence, self._reference.shows_ns()))

    def _answer(self, request: DelayReq) -> None:
        self._tell(compose.delay_resp(self._leader, request, self._reference.shows_ns()))

    @property
    def _leader(self) -> PortIdentity:
        return PortIdentity(parse_clock_identity(self._reference.grandmaster), _PORT)

    def _tell(self, message: Message) -> None:
        way_ns = self._reference.way_here_ns()
        if way_ns is not None and not self._reference.silent:
            self._after(way_ns, lambda: self._arrive(message))

    def _arrive(self, message: Message) -> None:
        port = 319 if message.type in EVENT_MESSAGES else 320
        arrival = Arrival(encode(message), (_THERE, port), _HERE, self._local.now_ns(), StampKind.KERNEL)
        self._hear_after(0, arrival)

    def _hear_after(self, delay_ns: int, item: Arrival | Departure) -> None:
        participant = self._participant
        assert participant is not None
        self._after(delay_ns, lambda: participant.hear(item, self._local.now_ns))

    def _after(self, delay_ns: int, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self._local.now_ns() + delay_ns, next(self._order), do))
