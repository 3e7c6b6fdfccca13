"""The ``aes67`` source: receives one stream."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import msgspec
import trio

from phasegraph import TASK_STATUS_IGNORED, Build, Metric, Metrics, NodeContext, Stream

from . import sdp
from .histogram import EMPTY
from .interface_lookup import lacks_address, wait_for_addresses
from .options import Aes67SourceConfig
from .parameters import frames_per_packet
from .receive.health import DriftWatch, LatenessWatch, LegWatch, NumbersWatch, Protection, RivalWatch
from .receive.legs_from_config import NOWHERE, Legs, interfaces_from_config, legs_from_config, legs_from_session
from .receive.receive_sockets import ReceiveSockets
from .receive.stream_receiver import LINK_OFFSET_ROOM_NS, ReceiverSettings, StreamReceiver
from .session.sap_listener import SapListeners
from .session.session_follower import SessionFollower

WATCH_NS = 250_000_000
RELAXED_WATCH_NS = 1_000_000_000
"""How often a stream with one leg is checked."""
COMPARE_NS = 1_000_000_000
"""How often figures are compared with those before: longer than they take to be published."""
RECENT_NS = 5_000_000_000
"""How often the latenesses up to now are kept: the recent ones are those since the time before, 5 to 10 s."""


class Aes67Source:
    """The control plane of one received stream. Samples go past it: `ReceiveSockets` -> `StreamReceiver` -> ring."""

    stream: Stream

    def __init__(self, config: Aes67SourceConfig, build: Build) -> None:
        self._config = config
        legs = legs_from_config(config, build)
        settings = ReceiverSettings(
            clock=build.clock(config.clock),
            clock_name=config.clock or "",
            link_offset_ns=config.link_offset,
            may_run_free=config.media_clock == "auto",
            conceal=config.conceal,
            emit=self._emit_soon,
        )
        self._receiver = StreamReceiver(legs, settings, relative=self._relative(legs))
        self.stream = self._receiver.stream
        self._longest_offset_ns = config.link_offset + LINK_OFFSET_ROOM_NS
        self._sockets: ReceiveSockets | None = None
        self._ctx: NodeContext | None = None
        self._watches: list[LegWatch] = []
        self._rivals: list[RivalWatch] = []
        self._rejoins_before = 0
        """Of watches that have ended."""
        self._reported_grandmaster = ""
        self._protection = Protection(self._emit)
        self._lateness = LatenessWatch(self._emit)
        self._drift = DriftWatch(self._emit)
        self._numbers = NumbersWatch(self._emit)
        self._compare_ns = 0
        self._trouble = ""
        self._follower: SessionFollower | None = None
        self._latenesses = (EMPTY, EMPTY)
        """Those up to the last two times that they were kept."""
        self._keep_ns = 0
        self._described: tuple[StreamReceiver, tuple[str, str]] | None = None

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        self._ctx = ctx
        self._sockets = ctx.shared(ReceiveSockets)
        name = self._config.session
        names = list(dict.fromkeys(interfaces_from_config(self._config)))
        enabled = self._config.enabled
        if enabled and any(lacks_address(ctx, each) for each in names):
            task_status.started()
            task_status = TASK_STATUS_IGNORED
            await wait_for_addresses(ctx, names, self._set_trouble)
        try:
            if name is None and enabled:
                self._subscribe()
            elif name is not None and enabled:
                interface = self._sockets.interface(self._config.interface)
                listener = ctx.shared(SapListeners).on(interface)
                self._follower = SessionFollower(ctx, listener, name, self.stream.format, self._receive_session)
            task_status.started()
            async with trio.open_nursery() as nursery:
                if self._follower is not None:
                    nursery.start_soon(self._follower.run_ravenna, interface)
                await self._watch(ctx)
                nursery.cancel_scope.cancel()
            self._trouble = ""
            self.stream.finish()
            ctx.event("stream_ended", packets=self._receiver.packets_received)
        finally:
            self._unsubscribe()

    async def _watch(self, ctx: NodeContext) -> None:
        # Until the stream has ended.
        end_after = self._config.end_after
        lively = self._follower is not None or self._receiver.redundant or end_after is not None
        interval = min(WATCH_NS if lively else RELAXED_WATCH_NS, (end_after or 4 * RELAXED_WATCH_NS) // 4)
        while end_after is None or not self._silent(ctx.local.now_ns(), end_after):
            self._check(ctx.local.now_ns())
            await ctx.sleep(interval)

    def accepts_options(self, config: Aes67SourceConfig) -> bool:
        """See `phasegraph.LiveNode`: whether the ring is long enough for the link offset."""
        return config.link_offset <= self._longest_offset_ns

    def change_options(self, config: Aes67SourceConfig) -> None:
        """See `phasegraph.LiveNode.change_options`."""
        self._config = config
        self._receiver.change_link_offset(config.link_offset)
        self.stream.conceal = config.conceal

    def metrics(self) -> Metrics:
        """See `Node.metrics`: the figures that the data plane published last."""
        description, stream = self._descriptions()
        figures = self._receiver.figures.latest.metrics(self._latenesses[0])
        figures |= {
            "socket_dropped": self._dropped(),
            "rejoins": self._rejoins_before + sum([watch.rejoins for watch in self._watches]),
            "stream": stream,
        }
        if description:
            figures["session_description"] = description
        if self._trouble:
            figures["trouble"] = self._trouble
        if self._receiver.redundant:
            figures["protection"] = self._protection.state
        if self._follower is not None:
            figures["session"] = self._follower.state
        return figures

    def counters(self) -> Metrics:
        """See `phasegraph.CountingNode`."""
        return self._receiver.figures.latest.counters() | {"socket_dropped": self._dropped()}

    def _dropped(self) -> int:
        return self._sockets.dropped() if self._sockets is not None else 0

    def _descriptions(self) -> tuple[str, str]:
        # As SDP and in short; made once for each session: metrics are read every second.
        if self._described is None or self._described[0] is not self._receiver:
            known = self._receiver.parameters.address != NOWHERE
            description = self._describe() if known and self._config.enabled else ""
            stream = str(self._receiver.parameters if known else self.stream.format)
            self._described = self._receiver, (description, stream)
        return self._described[1]

    def _describe(self) -> str:
        first, *others = (leg.parameters for leg in self._receiver.legs)
        packet = first.frames_per_packet or frames_per_packet(self._config.packet_time, first.rate)
        legs = [msgspec.structs.replace(leg, frames_per_packet=packet) for leg in (first, *others)]
        second = legs[1] if len(legs) > 1 else None
        name = self._config.label or (self._ctx.id if self._ctx is not None else "")
        return sdp.write(
            legs[0], second=second, name=name, origin=first.source or NOWHERE, session_id=0, preset="st2110-30"
        )

    def _relative(self, legs: Legs) -> bool:
        how = self._config.media_clock
        return how == "relative" or (how == "auto" and legs[0].mediaclk_offset is None)

    def _emit(self, name: str, fields: dict[str, Metric]) -> None:
        assert self._ctx is not None
        self._ctx.event(name, **fields)

    def _emit_soon(self, name: str, fields: dict[str, Metric]) -> None:
        # On the data plane, which has packets only after `run` has subscribed to them.
        if self._ctx is not None:
            self._ctx.call_soon(partial(self._ctx.event, name, **fields))

    def _check(self, now_ns: int) -> None:
        media_clock = self._receiver.media_clock
        other = media_clock.other_grandmaster()
        if other not in ("", self._reported_grandmaster):
            fields: dict[str, Metric] = {"described": media_clock.grandmaster, "clock": other}
            self._emit("grandmaster_differs", {**fields, "reason": media_clock.grandmaster_reason()})
        self._reported_grandmaster = other
        if self._follower is not None:
            self._follower.poll_session()
        for watch in self._watches:
            watch.check_silence(now_ns)
        if now_ns >= self._compare_ns:
            self._compare_ns = now_ns + COMPARE_NS
            self._numbers.check_numbers(self._receiver, now_ns)
            self._drift.check_rate(self._receiver, now_ns)
            self._lateness.check_lateness(self._receiver, self._drift.trouble, now_ns)
            for number, rival in enumerate(self._rivals):
                rival.check_rivals(self._receiver, number, now_ns)
        self._trouble = "; ".join(dict.fromkeys(filter(None, self._troubles())))
        if now_ns >= self._keep_ns:
            self._keep_ns = now_ns + RECENT_NS
            self._latenesses = self._latenesses[1], self._receiver.figures.latest.lateness
        if len(self._watches) > 1:
            self._protection.compare_legs(self._watches, now_ns)

    def _troubles(self) -> Iterator[str]:
        if self._follower is not None and not self._watches:
            yield self._follower.trouble
        for watch in self._watches:
            yield watch.trouble
        yield self._numbers.trouble
        yield self._drift.trouble
        yield self._lateness.trouble
        for rival in self._rivals:
            yield rival.trouble
        yield self._receiver.media_clock.grandmaster_reason()

    def _subscribe(self) -> None:
        assert self._sockets is not None
        assert self._ctx is not None
        for number, leg in enumerate(self._receiver.legs):
            subscription = self._sockets.subscribe(self._receiver, leg, interfaces_from_config(self._config)[number])
            label: dict[str, Metric] = {"leg": "ab"[number]} if self._receiver.redundant else {}
            self._watches.append(LegWatch(subscription, label, self._emit, self._ctx.local.now_ns()))
            self._rivals.append(RivalWatch(self._emit, label))

    def _unsubscribe(self) -> None:
        for watch in self._watches:
            watch.subscription.close()
            self._rejoins_before += watch.rejoins
        self._watches = []
        self._rivals = []

    def _receive_session(self, session: sdp.SessionDescription) -> None:
        # Receive from now on what an announcement describes. Raises NodeError.
        legs = legs_from_session(session, self._config)
        if self._watches:
            before = (leg.parameters for leg in self._receiver.legs)
            if legs == tuple(msgspec.structs.replace(leg, ts_refclk=legs[0].ts_refclk) for leg in before):
                return
            self._unsubscribe()
        self._receiver = self._receiver.for_session(legs, relative=self._relative(legs))
        try:
            self._subscribe()
        except Exception:
            self._unsubscribe()  # all of its legs, or none: it is tried again
            raise

    def _set_trouble(self, trouble: str) -> None:
        self._trouble = trouble

    def _silent(self, now_ns: int, limit_ns: int) -> bool:
        last = self._receiver.last_arrival_ns()
        return last is not None and now_ns - last > limit_ns
