"""The ``airplay`` clock: sockets, engine and tracker put together."""

from __future__ import annotations

from collections.abc import Iterable

import trio

from phasegraph import Build, ClockEstimate, ClockKind, Metrics, NodeContext
from phasegraph.net import Departure, StampedSocket

from .engine import CompactEngine, Engine, Followed, Measured, Notice, NtpEngine, Peer, PtpEngine, Role, Send, Tracker
from .filters import FILTERS
from .options import EXAMPLE, AirplayConfig, parse_peer
from .sockets import Sockets, make_identity

PUBLISH_NS = 100_000_000
"""How often the estimate is brought up to date while nothing comes in: bounds grow, states change."""
SILENCE_NS = {"ptp": 2_000_000_000, "compact": 2_000_000_000, "ntp": 10_000_000_000}
"""After so long without a sample it is holdover."""


class AirplayClock:
    """Follows an AirPlay leader's clock, or is it, without touching the system's."""

    def __init__(self, config: AirplayConfig, build: Build) -> None:
        self._config = config
        self._local = build.local
        make, silence_ns = FILTERS[config.filter], SILENCE_NS[config.mode]
        self._tracker = Tracker(make, silence_ns=silence_ns, now_ns=build.local.now_ns())
        self._peers = [parse_peer(peer, config.event_port, config.general_port) for peer in config.peers]
        self._engine: Engine | None = None
        self._sockets: Sockets | None = None
        self._ctx: NodeContext | None = None
        self._woken = trio.Event()
        self._unsent = 0

    def estimate(self) -> ClockEstimate:
        """See `ClockSource.estimate`."""
        return self._tracker.estimate

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        engine, sockets = self._engine, self._sockets
        if engine is None or sockets is None:
            return {"leading": 0}
        metrics: dict[str, int | float | str] = {
            "leading": int(engine.leads),
            "one_way": int(engine.one_way),
            "peers": len(engine.peers),
            "peers_ready": engine.readiness.count(self._local.now_ns()),
            "samples_misfit": self._tracker.misfits,
            "send_errors": self._unsent,
            "receive_stamps_missing": sum(socket.counts.receive_stamps_missing for socket in sockets),
            "transmit_stamps_missing": sum(socket.counts.transmit_stamps_missing for socket in sockets),
        }
        if self._config.mode != "ptp":
            metrics["timing_port"] = sockets.port
        return metrics | engine.counters

    def set_peers(self, peers: Iterable[str]) -> None:
        """Name who takes part, as the option ``peers`` does, while it runs. Raises ValueError."""
        config = self._config
        self._peers = [parse_peer(peer, config.event_port, config.general_port) for peer in peers]
        if self._engine is not None:
            self._engine.set_peers(self._peers)
            self._woken.set()

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`. Raises NodeError where a port or the interface cannot be had."""
        self._ctx = ctx
        self._sockets = sockets = Sockets(self._config, ctx)
        try:
            identity = make_identity(sockets.interface, ctx.id, virtual=ctx.local.virtual)
            self._engine = engine = make_engine(self._config, identity, self._peers, self._local.now_ns())
            for note in [note for socket in sockets for note in socket.notes]:
                ctx.event("socket", note=note)
            async with trio.open_nursery() as nursery:
                for socket in sockets:
                    nursery.start_soon(self._read, socket, engine)
                task_status.started()
                while True:
                    self._work(engine)
                    pause_ns = min(engine.deadline_ns - self._local.now_ns(), PUBLISH_NS)
                    with trio.move_on_after(max(pause_ns, 0) / 1e9):
                        await self._woken.wait()
                    self._woken = trio.Event()
        finally:
            sockets.close()

    async def _read(self, socket: StampedSocket, engine: Engine) -> None:
        while True:
            for item in await socket.receive():
                if isinstance(item, Departure):
                    engine.departed(item.token, item.local_ns)
                else:
                    engine.receive(item.data, item.source, item.local_ns, self._local.now_ns())
                self._act(engine)
            if engine.deadline_ns <= self._local.now_ns():
                self._woken.set()

    def _work(self, engine: Engine) -> None:
        now = self._local.now_ns()
        if engine.deadline_ns <= now:
            engine.tick(now)
        self._act(engine)
        self._tracker.update(now)

    def _act(self, engine: Engine) -> None:
        ctx, sockets = self._ctx, self._sockets
        assert ctx is not None
        assert sockets is not None
        for action in engine.actions():
            match action:
                case Send():
                    self._send(action, sockets, ctx)
                case Measured(sample):
                    self._tracker.add(sample)
                case Followed(leader, own):
                    self._tracker.follow(leader, own=own)
                    ctx.event("leading" if own else "following", leader=leader)
                case Notice(name, fields):
                    ctx.event(name, **fields)

    def _send(self, action: Send, sockets: Sockets, ctx: NodeContext) -> None:
        try:
            sockets.send(action)
        except OSError as error:
            self._unsent += 1
            if self._unsent == 1:
                ctx.event("cannot_send", reason=str(error.strerror or error), address=action.destination[0])


def make_engine(config: AirplayConfig, identity: int, peers: Iterable[Peer], now_ns: int) -> Engine:
    """The engine of a mode."""
    role = Role(config.role)
    if config.mode == "ptp":
        ports = config.event_port, config.general_port
        return PtpEngine(role, identity, peers, now_ns, ports=ports)
    return CompactEngine(role, identity, peers, now_ns) if config.mode == "compact" else NtpEngine(role, peers, now_ns)


KIND = ClockKind(
    kind="airplay",
    summary="Follows the clock of an AirPlay group, or is it.",
    config=AirplayConfig,
    factory=AirplayClock,
    example=EXAMPLE,
)
