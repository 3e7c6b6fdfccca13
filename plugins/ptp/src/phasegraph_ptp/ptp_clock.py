"""The ``ptp`` clock: sockets, protocol engine and estimator put together."""

from __future__ import annotations

import ipaddress
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

import msgspec
import trio

from phasegraph import Build, ClockEstimate, ClockState, Metrics, NodeContext, NodeError, StampKind
from phasegraph.ieee1588 import MalformedMessage, Management, Message, MessageType, PortIdentity, format_clock_identity
from phasegraph.net import Arrival, PortUnavailable

from .estimators import make_estimator
from .options import PtpConfig
from .port_sockets import PEER, PRIMARY, Wire, Wires
from .protocol import Destination, Followed, Measured, Notice, OrdinaryClock, PortState, Send
from .protocol.management_data import Description, ManagementView
from .protocol.management_responder import answer
from .settings_from_config import make_identity, settings_of, wire_of
from .time_properties import Telling
from .unix_management import serve_management

_FOLLOWING = (PortState.UNCALIBRATED, PortState.SLAVE)
PUBLISH_NS = 100_000_000
"""How often the estimate is brought up to date while nothing comes in: bounds grow, states change."""


class PtpClock:
    """Follows a grandmaster, or is one, without touching the system's clock."""

    def __init__(self, config: PtpConfig, build: Build) -> None:
        self._config = config
        self._local = build.local
        self._reference = build.clock(config.reference) if config.reference is not None else None
        self._estimator = make_estimator(
            config.estimator, lock_within=config.lock_within, unlock_beyond=config.unlock_beyond
        )
        self._telling = Telling(config, build)
        self._told: ClockEstimate | None = None
        self._published = ClockEstimate(local_ns=self._local.now_ns(), reference_ns=0)
        self._engine: OrdinaryClock | None = None
        self._wire: Wire | None = None
        self._ctx: NodeContext | None = None
        self._woken = trio.Event()
        self._id = build.id
        self._dropped: Counter[str] = Counter()
        self._unsent = 0
        self._kinds: Counter[StampKind] = Counter()
        self._grandmaster = ""
        self._timescale = "arb"

    def estimate(self) -> ClockEstimate:
        """See `ClockSource.estimate`."""
        return self._published

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        engine, wire = self._engine, self._wire
        if engine is None or wire is None:
            return {"port_state": PortState.INITIALIZING.name.lower()}
        properties, told = engine.data.time_properties, engine.synchronization_metadata
        metrics: dict[str, int | float | str] = {
            "port_state": engine.state.name.lower(),
            "clock_identity": format_clock_identity(engine.data.default.clock_identity),
            "utc_offset_s": properties.utc_offset_s,
            "leap_s": properties.leap61 - properties.leap59,
            "send_errors": self._unsent,
        }
        if told is not None:
            metrics["smpte_frame_rate"] = f"{told.frame_rate_numerator}/{told.frame_rate_denominator}"
            metrics["smpte_locking"] = told.master_locking
            metrics["smpte_local_offset_s"] = told.local_offset_s
        metrics |= engine.counters
        metrics |= {f"stamps_{kind.value}": count for kind, count in self._kinds.items()}
        metrics |= {f"dropped_management_{reason}": count for reason, count in self._dropped.items()}
        metrics |= wire.counts()
        return metrics | dict(self._estimator.metrics())

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        self._ctx = ctx
        self._wire = wire = self._open(ctx)
        process = () if ctx.local.virtual else (os.getpid(),)
        follower = self._config.role == "follower"
        identity = make_identity(wire.interface.mac, ctx.id, self._config.role, *(process if follower else ()))
        now = self._local.now_ns()
        self._told = None if self._reference is not None else self._begin(now)
        self._engine = engine = OrdinaryClock(
            settings_of(self._config), identity=PortIdentity(identity, 1), now_ns=now, random=Random(identity)
        )
        for note in wire.notes():
            ctx.event("stamps", note=note)
        if self._told is not None and not self._telling.utc.known(self._told.reference_ns // 1_000_000_000):
            ctx.event("leap_seconds_expired", list=self._config.leap_seconds or "")
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wire.listen, self)
                if self._config.management_socket:
                    await nursery.start(
                        serve_management, Path(self._config.management_socket), self._manage, self._dropped
                    )
                task_status.started()
                while True:
                    now = self._local.now_ns()
                    if engine.deadline_ns <= now:
                        engine.tick(now)
                    self._act()
                    self._publish(now)
                    pause_ns = min(engine.deadline_ns - now, PUBLISH_NS)
                    self._woken = trio.Event()
                    with trio.move_on_after(max(pause_ns, 0) / 1e9):
                        await self._woken.wait()
        finally:
            engine.leave()
            self._act()

    def heard(self, message: Message, arrival: Arrival, *, unicast: bool) -> None:
        """See `Listener.heard`."""
        assert self._engine is not None
        if isinstance(message, Management):
            self._answer(message, arrival, unicast=unicast)
        self._engine.receive(
            message, source=arrival.source[0], unicast=unicast, local_ns=arrival.local_ns, stamp=arrival.stamp
        )
        self._act()

    def departed(self, token: int, local_ns: int, stamp: StampKind) -> None:
        """See `Listener.departed`."""
        assert self._engine is not None
        self._engine.departed(token, local_ns, stamp)
        self._act()

    def lost(self, reason: str) -> None:
        """See `Listener.lost`."""
        assert self._engine is not None
        self._engine.fault(reason)
        self._act()

    def found(self) -> None:
        """See `Listener.found`."""
        assert self._engine is not None
        self._engine.enable(self._local.now_ns())
        self._act()

    def _open(self, ctx: NodeContext) -> Wire:
        try:
            return ctx.shared(Wires).open(wire_of(self._config))
        except PortUnavailable as error:
            hint = f"{error.remedy}; or choose event-port and general-port; or follow a running ptp4l: kind = 'ptp4l'"
            raise NodeError(str(error), hint, option="event-port") from error
        except OSError as error:
            raise NodeError(str(error.strerror or error), option="interface") from error
        except ValueError as error:
            raise NodeError(str(error), "clocks that share ports share these options") from error

    def _begin(self, now: int) -> ClockEstimate:
        # What a grandmaster without a reference tells: its own oscillator's time, begun at the system's.
        real_ns = now + self._local.realtime_offset_ns()
        return ClockEstimate(
            local_ns=now,
            reference_ns=real_ns + self._telling.utc.at_utc(real_ns // 1_000_000_000) * 1_000_000_000,
            sigma_ns=0.0,
            bound_ns=0.0,
            state=ClockState.LOCKED,
            timescale="ptp",
        )

    def _act(self) -> None:
        engine, wire, ctx = self._engine, self._wire, self._ctx
        assert engine is not None
        assert wire is not None
        assert ctx is not None
        for action in engine.actions():
            match action:
                case Send():
                    self._send(wire, action)
                case Measured(sample):
                    self._estimator.add(sample)
                    self._kinds[sample.stamp] += 1
                    self._publish(self._local.now_ns())
                case Followed(parent, same_timescale):
                    self._estimator.reference_changed(self._local.now_ns(), same_timescale=same_timescale)
                    if parent is not None:
                        self._grandmaster = format_clock_identity(parent.grandmaster)
                        self._timescale = "ptp" if parent.ptp_timescale else "arb"
                case Notice(name, fields):
                    ctx.event(name, **fields)
        self._woken.set()

    def _send(self, wire: Wire, action: Send) -> None:
        transport = self._config.transport
        match action.destination:
            case Destination.PRIMARY:
                address = PRIMARY[transport]
            case Destination.PEER:
                address = PEER[transport]
            case str() as address:
                pass
        try:
            wire.send(self, action.message, event=action.event, address=address, token=action.token)
        except OSError as error:
            self._unsent += 1
            if self._unsent == 1 and self._ctx is not None:
                self._ctx.event("cannot_send", reason=str(error.strerror), address=address)

    def _publish(self, now: int) -> None:
        engine, ctx = self._engine, self._ctx
        assert engine is not None
        assert ctx is not None
        estimate = self._followed(now)
        if self._config.role != "follower":
            if engine.state in _FOLLOWING:
                self._telling.learn(engine.data.time_properties, estimate)
            served = self._served(now, estimate)
            if served is not None:
                engine.serve(served, self._telling.properties(served))
                self._describe(engine, served, now)
                if engine.state is PortState.MASTER:
                    estimate = served
                elif self._config.role == "grandmaster":
                    estimate = msgspec.structs.replace(served, state=ClockState.UNLOCKED)
        else:
            engine.serve(estimate, engine.data.time_properties)
        if estimate.state is not self._published.state:
            ctx.event(estimate.state.value, sigma_ns=round(estimate.sigma_ns), grandmaster=estimate.grandmaster)
        self._published = estimate

    def _followed(self, now: int) -> ClockEstimate:
        return msgspec.structs.replace(
            self._estimator.estimate(now),
            timescale=self._timescale,
            grandmaster=self._grandmaster,
            domain=None if self._engine is None else self._engine.data.default.domain,
        )

    def _served(self, now: int, followed: ClockEstimate) -> ClockEstimate | None:
        # Who has followed tells that time; else the reference's, else its own oscillator's. Where either is lost the
        # last of it goes on: a grandmaster does not jump. Before the reference is locked there is nothing to tell.
        for known in (followed, self._reference.estimate() if self._reference is not None else None):
            if known is not None and known.state in (ClockState.LOCKED, ClockState.HOLDOVER):
                self._told = known
                break
        served = self._told
        if served is None:
            return None
        own = None if self._engine is None else self._engine.data.default
        return msgspec.structs.replace(
            served,
            local_ns=now,
            reference_ns=served.reference_at(now),
            state=ClockState.LOCKED,
            grandmaster="" if own is None else format_clock_identity(own.clock_identity),
            domain=None if own is None else own.domain,
        )

    def _describe(self, engine: OrdinaryClock, served: ClockEstimate, now: int) -> None:
        if engine.settings.synchronization_metadata is None:
            return
        reference = None if self._reference is None else self._reference.estimate().state
        metadata = self._telling.metadata(served, reference)
        if metadata is not None:
            engine.reconfigure(msgspec.structs.replace(engine.settings, synchronization_metadata=metadata), now)

    def _answer(self, request: Management, arrival: Arrival, *, unicast: bool) -> None:
        assert self._wire is not None
        assert self._engine is not None
        source = arrival.source[0]
        try:
            answers = self._manage(request)
        except MalformedMessage as refusal:
            self._dropped[refusal.reason] += 1
            return
        for message in answers:
            if not self._engine.may_answer(source, arrival.local_ns):
                self._dropped["too_many"] += 1
                return
            address = source if unicast else PRIMARY[self._config.transport]
            self._send(self._wire, Send(message=message, event=False, destination=address))

    def _manage(self, request: Management) -> Iterable[Management]:
        engine, wire = self._engine, self._wire
        assert engine is not None
        assert wire is not None
        interface = wire.interface
        address = interface.address6 if self._config.transport == "udp6" else interface.address
        view = ManagementView(
            data=engine.data,
            description=Description(
                mac=interface.mac, address=ipaddress.ip_address(address).packed if address else b"", user=self._id
            ),
            interface=interface.name,
            stamps=wire.stamps,
            received={kind: engine.counters.get(f"received_{kind.name.lower()}", 0) for kind in MessageType},
            sent={kind: engine.counters.get(f"sent_{kind.name.lower()}", 0) for kind in MessageType},
        )
        answered = answer(request, view)
        return () if answered is None else (answered,)
