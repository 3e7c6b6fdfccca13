"""The ``airplay`` clock: sockets, engine and tracker put together."""

from __future__ import annotations

from collections.abc import Iterable

import trio

from phasegraph import TASK_STATUS_IGNORED, Build, ClockEstimate, ClockState, Metrics, NodeContext
from phasegraph.net import StampedSocket

from .engine import CompactEngine, LeaderClock, NtpEngine, PtpEngine, TimingEngine, TimingPeer, TimingRole
from .filters import FILTERS, SPARES
from .options import AirplayConfig, parse_peer
from .participant import TimingParticipant
from .timing_sockets import TimingSockets, families_of, make_identity

PUBLISH_NS = 100_000_000
"""How often the estimate is brought up to date while nothing comes in: bounds grow, states change."""
SILENCE_NS = {"ptp": 2_000_000_000, "compact": 2_000_000_000, "ntp": 10_000_000_000}
"""Holdover begins after this long without a sample."""
PATIENCE_NS = 3_000_000_000
"""How long a clock may be without a leader before that is called trouble: longer than it takes to find one."""


class AirplayClock:
    """Follows an AirPlay leader's clock, or is it, without touching the system's."""

    def __init__(self, config: AirplayConfig, build: Build) -> None:
        self._config = config
        self._local = build.local
        self._tracker = LeaderClock(
            FILTERS[config.filter], silence_ns=SILENCE_NS[config.mode], now_ns=build.local.now_ns()
        )
        self._peers = [parse_peer(peer, config.event_port, config.general_port) for peer in config.peers]
        self._participant: TimingParticipant | None = None
        self._sockets: TimingSockets | None = None
        self._woken = trio.Event()
        self._astray: tuple[int, int] | None = None
        """Since when there is no leader, and how many peers have been heard meanwhile."""
        self._trouble = ""

    def estimate(self) -> ClockEstimate:
        """See `ClockSource.estimate`."""
        return self._tracker.estimate

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        participant, sockets = self._participant, self._sockets
        if participant is None or sockets is None:
            return {"leading": 0}
        engine = participant.engine
        metrics: dict[str, int | float | str] = {
            "leading": int(engine.leads),
            "one_way": int(engine.one_way),
            "peers": len(engine.peers),
            "peers_ready": engine.readiness.count(self._local.now_ns()),
            "samples_misfit": self._tracker.misfits,
            "send_errors": participant.unsent,
            "receive_stamps_missing": sum(socket.counts.receive_stamps_missing for socket in sockets),
            "transmit_stamps_missing": sum(socket.counts.transmit_stamps_missing for socket in sockets),
        }
        if self._trouble:
            metrics["trouble"] = self._trouble
        if self._config.mode != "ptp":
            metrics["timing_port"] = sockets.port
        return metrics | engine.counters

    def set_peers(self, peers: Iterable[str]) -> None:
        """Name the peers, as the option ``peers`` does, while the clock runs. Raises ValueError."""
        config = self._config
        self._peers = [parse_peer(peer, config.event_port, config.general_port) for peer in peers]
        if self._participant is not None:
            self._participant.engine.set_peers(self._peers)
            self._woken.set()

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """See `Node.run`. Raises NodeError where a port or the interface cannot be had."""
        config = self._config
        port, general_port = config.timing_port, None
        if config.mode == "ptp":
            port, general_port = config.event_port, config.general_port
        # With PTP peers may come with either, also later.
        families = {":" in peer.address for peer in self._peers} or {False}
        if config.mode == "ptp":
            families |= families_of(ctx.network, config.interface)
        self._sockets = sockets = TimingSockets(ctx.network, config.interface, port, general_port, families)
        try:
            identity = make_identity(sockets.interface, ctx.id, virtual=ctx.local.virtual)
            engine = make_engine(config, identity, self._peers, self._local.now_ns())
            self._participant = participant = TimingParticipant(engine, self._tracker, sockets, ctx.event)
            for note in sockets.notes:
                ctx.event("socket", note=note)
            if config.mode != "ptp":
                ctx.event("timing_port", port=sockets.port)
            async with trio.open_nursery() as nursery:
                for socket in sockets:
                    nursery.start_soon(self._read, socket, participant)
                task_status.started()
                while True:
                    participant.advance(self._local.now_ns())
                    self._look_for_trouble(ctx, participant.engine, sockets)
                    pause_ns = min(engine.deadline_ns - self._local.now_ns(), PUBLISH_NS)
                    with trio.move_on_after(max(pause_ns, 0) / 1e9):
                        await self._woken.wait()
                    self._woken = trio.Event()
        finally:
            sockets.close()

    def _look_for_trouble(self, ctx: NodeContext, engine: TimingEngine, sockets: TimingSockets) -> None:
        now_ns, before = self._local.now_ns(), self._trouble
        if engine.leads or self._tracker.estimate.state in (ClockState.ACQUIRING, ClockState.LOCKED):
            self._astray, self._trouble = None, ""
            return
        heard = len(engine.peers) - engine.silent_peers
        if self._astray is None or self._astray[1] != heard:
            self._astray = now_ns, heard
        if now_ns - self._astray[0] >= PATIENCE_NS:
            self._trouble = self._why_no_leader(engine, sockets)
        if self._trouble not in ("", before):
            ctx.event("no_leader", reason=self._trouble)

    def _why_no_leader(self, engine: TimingEngine, sockets: TimingSockets) -> str:
        config, names = self._config, " and ".join(peer.address for peer in self._peers)
        ports = f"UDP port {sockets.port}"
        if config.mode == "ptp":
            ports = f"UDP ports {config.event_port} and {config.general_port}"
        if self._tracker.estimate.state is ClockState.HOLDOVER:
            return f"the leader of the group is silent on {config.interface}: is it on, is its network there?"
        if not engine.peers:
            return (
                f"no AirPlay device sends to {ports} on {config.interface}: does one play, does a firewall let it in?"
            )
        if engine.silent_peers == len(self._peers) > 0:
            return (
                f"nothing comes from {names} (peers) on {config.interface}: does it play, is this its address, does a "
                f"firewall let {ports} in?"
            )
        who = " and ".join(peer.address for peer in engine.peers)
        return f"{who} sends, and leads no clock: let it play, or set role = 'lead'"

    async def _read(self, socket: StampedSocket, participant: TimingParticipant) -> None:
        while True:
            for item in await socket.receive():
                participant.handle_socket_item(item, self._local.now_ns)
            if participant.engine.deadline_ns <= self._local.now_ns():
                self._woken.set()


def make_engine(config: AirplayConfig, identity: int, peers: Iterable[TimingPeer], now_ns: int) -> TimingEngine:
    """The engine of a mode."""
    role = TimingRole(config.role)
    if config.mode == "ptp":
        ports = config.event_port, config.general_port
        return PtpEngine(role, identity, peers, now_ns, ports=ports, spares=SPARES[config.filter])
    return CompactEngine(role, identity, peers, now_ns) if config.mode == "compact" else NtpEngine(role, peers, now_ns)
