"""The ``aes67`` source: receives one stream."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import msgspec
import trio

from phasegraph import Build, Metric, Metrics, NodeContext, Stream

from . import sdp
from .options import Aes67SourceConfig
from .receive.health import LateWatch, LegWatch, Protection
from .receive.legs_from_config import NOWHERE, Legs, interfaces_of, legs_of_config, legs_of_session
from .receive.receive_sockets import ReceiveHub
from .receive.stream_receiver import StreamReceiver
from .session.sap_listener import SapListeners
from .session.session_follower import SessionFollower

WATCH_NS = 250_000_000
RELAXED_WATCH_NS = 1_000_000_000
"""How often a stream is looked after that has one leg."""


class Aes67Source:
    """Receives one stream. The samples' way goes past it: hub -> receiver -> ring."""

    stream: Stream

    def __init__(self, config: Aes67SourceConfig, build: Build) -> None:
        self._config = config
        legs = legs_of_config(config, build)
        self._receiver = StreamReceiver(
            legs,
            clock=build.clock(config.clock),
            link_offset_ns=config.link_offset,
            relative=self._relative(legs),
            runs_free=config.media_clock == "auto",
            conceal=config.conceal,
        )
        self.stream = self._receiver.stream
        self._hub: ReceiveHub | None = None
        self._ctx: NodeContext | None = None
        self._watches: list[LegWatch] = []
        self._rejoins = 0
        """Of watches that have ended."""
        self._told_grandmaster = ""
        self._protection = Protection(self._tell)
        self._late = LateWatch(self._tell)
        self._trouble = ""
        self._follower: SessionFollower | None = None

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        self._ctx = ctx
        self._hub = ctx.shared(ReceiveHub)
        self._receiver.tell = lambda name, fields: ctx.call_soon(partial(ctx.event, name, **fields))
        name = self._config.session
        try:
            if name is None:
                self._subscribe()
            else:
                interface = self._hub.interface(self._config.interface)
                listener = ctx.shared(SapListeners).on(interface)
                self._follower = SessionFollower(ctx, listener, name, self.stream.format, self._tune)
            task_status.started()
            async with trio.open_nursery() as nursery:
                if self._follower is not None:
                    nursery.start_soon(self._follower.run_ravenna, interface)
                await self._watch(ctx)
                nursery.cancel_scope.cancel()
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
            self._look(ctx.local.now_ns())
            await ctx.sleep(interval)

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        known = self._config.session is None or self._receiver.parameters.address != NOWHERE
        figures: dict[str, Metric] = {
            **self._receiver.metrics(),
            "socket_dropped": self._hub.dropped() if self._hub is not None else 0,
            "rejoins": self._rejoins + sum(watch.rejoins for watch in self._watches),
            "stream": str(self._receiver.parameters if known else self.stream.format),
        }
        if self._trouble:
            figures["trouble"] = self._trouble
        if self._receiver.redundant:
            figures["protection"] = self._protection.state
        if self._follower is not None:
            figures["session"] = self._follower.state
        return figures

    def _relative(self, legs: Legs) -> bool:
        how = self._config.media_clock
        return how == "relative" or (how == "auto" and legs[0].mediaclk_offset is None)

    def _tell(self, name: str, fields: dict[str, Metric]) -> None:
        assert self._ctx is not None
        self._ctx.event(name, **fields)

    def _look(self, now_ns: int) -> None:
        other = self._receiver.other_grandmaster()
        if other not in ("", self._told_grandmaster):
            self._tell("grandmaster_differs", {"described": self._receiver.grandmaster, "clock": other})
        self._told_grandmaster = other
        if self._follower is not None:
            self._follower.update()
        for watch in self._watches:
            watch.look(now_ns)
        self._late.look(self._receiver, now_ns)
        self._trouble = "; ".join(dict.fromkeys(filter(None, self._troubles())))
        if len(self._watches) > 1:
            self._protection.look(self._watches, now_ns)

    def _troubles(self) -> Iterator[str]:
        if self._follower is not None and not self._watches:
            yield self._follower.trouble
        for watch in self._watches:
            yield watch.why_silent or watch.subscription.leg.trouble
        yield self._late.trouble

    def _subscribe(self) -> None:
        assert self._hub is not None
        assert self._ctx is not None
        for number, leg in enumerate(self._receiver.legs):
            subscription = self._hub.subscribe(leg, interfaces_of(self._config)[number])
            label: dict[str, Metric] = {"leg": "ab"[number]} if self._receiver.redundant else {}
            self._watches.append(LegWatch(subscription, label, self._tell, self._ctx.local.now_ns()))

    def _unsubscribe(self) -> None:
        for watch in self._watches:
            watch.subscription.close()
            self._rejoins += watch.rejoins
        self._watches = []

    def _tune(self, session: sdp.SessionDescription) -> None:
        # Receive from now on what an announcement describes. Raises NodeError.
        legs = legs_of_session(session, self._config)
        if self._watches:
            before = (leg.parameters for leg in self._receiver.legs)
            if legs == tuple(msgspec.structs.replace(leg, ts_refclk=legs[0].ts_refclk) for leg in before):
                return
            self._unsubscribe()
        self._receiver = self._receiver.retuned(legs, relative=self._relative(legs))
        try:
            self._subscribe()
        except Exception:
            self._unsubscribe()  # all of its legs, or none: it is tried again
            raise

    def _silent(self, now_ns: int, limit_ns: int) -> bool:
        last = self._receiver.last_arrival_ns
        return last is not None and now_ns - last > limit_ns
