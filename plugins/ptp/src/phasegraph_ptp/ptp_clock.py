"""The ``ptp`` clock: drives sockets, protocol engine and estimator."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import msgspec
import trio

from phasegraph import (
    NS_PER_S,
    TASK_STATUS_IGNORED,
    UNKNOWN_NS,
    Build,
    ClockEstimate,
    ClockState,
    Metrics,
    NodeContext,
    NodeError,
    StampKind,
)
from phasegraph.ieee1588 import Management, Message, PortIdentity, encode, format_clock_identity
from phasegraph.net import Arrival, PortUnavailable

from .clock_management import ClockManagement
from .estimators import ClockEstimator, make_estimator
from .grandmaster_time import GrandmasterTime
from .options import PtpConfig
from .port_sockets import PEER, PRIMARY, PortSockets, SharedPortSockets
from .protocol import Destination, NewMeasurement, OrdinaryClock, ParentChanged, PortEvent, PortState, SendMessage
from .protocol.authentication import Authenticator
from .protocol.response_rate_limit import ResponseRateLimit
from .settings_from_config import (
    authenticator_from_config,
    interfaces_of,
    make_identity,
    settings_from_config,
    socket_settings_from_config,
)
from .unix_management import serve_management

EVENTS_PER_S = 1
EVENTS_BURST_NS = 40 * NS_PER_S
"""Events of the port: 40 at once, and one a second for long, whatever strangers send."""
PUBLISH_NS = 100_000_000
"""How often the estimate is updated while nothing arrives: bounds grow, states change."""
PACED_NS = NS_PER_S
"""The same where sockets are paced: then what is due is done whenever they have been read."""


class PtpClock:
    """Follows a grandmaster, or is one, without touching the system's clock."""

    def __init__(self, config: PtpConfig, build: Build) -> None:
        self._config = config
        self._local = build.local
        self._estimator = make_estimator(
            config.estimator, lock_within=config.lock_within, unlock_beyond=config.unlock_beyond
        )
        self._serving = GrandmasterTime(config, build)
        self._authenticator = authenticator_from_config(config, build)
        self._before = ClockEstimate(local_ns=self._local.now_ns(), reference_ns=0)
        self._driver: PtpDriver | None = None

    def estimate(self) -> ClockEstimate:
        """See `ClockSource.estimate`."""
        return self._before if self._driver is None else self._driver.published

    def change_options(self, config: PtpConfig) -> None:
        """See `phasegraph.LiveNode.change_options`: when it is locked, and when it is lost."""
        self._estimator.change_thresholds(lock_within_ns=config.lock_within, unlock_beyond_ns=config.unlock_beyond)

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        if self._driver is None:
            return {"port_state": PortState.INITIALIZING.name.lower()}
        return self._driver.metrics()

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        sockets = open_sockets(self._config, ctx, *interfaces_of(self._config))
        expired = self._serving.start(self._local)
        if expired is not None:
            ctx.event("leap_seconds_expired", list=expired)
        for note in sockets.notes():
            ctx.event("stamps", note=note)
        self._driver = driver = PtpDriver(
            self._config, ctx, sockets, self._estimator, self._serving, self._authenticator, self.estimate()
        )
        await driver.run(task_status)


def open_sockets(config: PtpConfig, ctx: NodeContext, interface: str) -> PortSockets:
    """The sockets of a clock on an interface. Raises NodeError."""
    try:
        return ctx.shared(SharedPortSockets).open_sockets(socket_settings_from_config(config, interface))
    except PortUnavailable as error:
        hint = f"{error.remedy}; or choose event-port and general-port; or follow a running ptp4l: kind = 'ptp4l'"
        raise NodeError(str(error), hint, option="event-port") from error
    except OSError as error:
        raise NodeError(str(error.strerror or error), option="interface") from error
    except ValueError as error:
        raise NodeError(str(error), "clocks that share ports share these options") from error


def report_state(ctx: NodeContext, before: ClockEstimate, estimate: ClockEstimate, **leg: str) -> None:
    """Emit an event if the state differs from that of the estimate before."""
    if estimate.state is not before.state:
        known = {"sigma_ns": round(estimate.sigma_ns)} if estimate.sigma_ns < UNKNOWN_NS else {}
        ctx.event(estimate.state.value, **leg, **known, grandmaster=estimate.grandmaster)


class PtpDriver:
    """One run of the clock: passes messages and stamps between sockets and engine, samples to the estimator, and
    publishes. Everything here runs in the control thread; other threads read `published`, which is immutable.
    """

    def __init__(
        self,
        config: PtpConfig,
        ctx: NodeContext,
        sockets: PortSockets,
        estimator: ClockEstimator,
        serving: GrandmasterTime,
        authenticator: Authenticator | None,
        published: ClockEstimate,
        *,
        leg: str = "",
        on_published: Callable[[], None] = lambda: None,
    ) -> None:
        """``leg`` names this path of a redundant pair in events; ``on_published`` is called after each estimate."""
        process = () if ctx.local.virtual or config.role != "follower" else (os.getpid(),)
        parts = (leg,) if leg else ()
        identity = make_identity(sockets.interface.mac, ctx.id, config.role, *parts, *process)
        self.published = published
        self._leg = {"leg": leg} if leg else {}
        self._on_published = on_published
        self._config = config
        self._ctx = ctx
        self._local = ctx.local
        self._sockets = sockets
        self._estimator = estimator
        self._serving = serving
        self._authenticator = authenticator
        self._engine = OrdinaryClock(
            settings_from_config(config),
            identity=PortIdentity(identity, 1),
            now_ns=self._local.now_ns(),
            random=Random(identity),
            place=sockets.interface.name,
        )
        self._management = ClockManagement(self._engine, sockets, config.transport, ctx.id)
        self._woken = trio.Event()
        self._wake_ns = 0
        """When `run` goes on, in local time, unless it is woken before."""
        self._send_errors = 0
        self._event_limit = ResponseRateLimit(EVENTS_PER_S, burst_ns=EVENTS_BURST_NS, share=1)
        self._events_suppressed = 0
        self._stamps: Counter[StampKind] = Counter()
        self._grandmaster = ""
        self._timescale = "arb"

    @property
    def patient(self) -> bool:
        """See `PortListener.patient`. A neighbour waits for answers about peer delays; a clock without lock needs each
        packet at once."""
        locked = self.published.state is ClockState.LOCKED and self._engine.state is PortState.SLAVE
        return locked and self._config.delay_mechanism == "e2e"

    @property
    def trouble(self) -> str:
        """See `OrdinaryClock.trouble`."""
        return self._engine.trouble

    async def run(self, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Run until cancelled."""
        engine = self._engine
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._sockets.listen, self)
                if self._config.management_socket:
                    path, management = Path(self._config.management_socket), self._management
                    await nursery.start(serve_management, path, management.answers, management.dropped)
                task_status.started()
                while True:
                    now = self._local.now_ns()
                    if not self._sockets.paced:  # else after the next reading: what seems missing may lie there
                        self._tick_if_due(now)
                    self._bring_up_to_date(now)
                    self._wake_ns = now + PACED_NS if self._sockets.paced else min(engine.deadline_ns, now + PUBLISH_NS)
                    self._woken = trio.Event()
                    with trio.move_on_after(max(self._wake_ns - now, 0) / 1e9):
                        await self._woken.wait()
        finally:
            engine.end_contracts()
            self._perform_actions()

    def sockets_read(self) -> None:
        """See `PortListener.sockets_read`."""
        now = self._local.now_ns()
        self._tick_if_due(now)
        self._bring_up_to_date(now)

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        engine = self._engine
        properties, metadata = engine.data.time_properties, engine.synchronization_metadata
        metrics: dict[str, int | float | str] = {
            "port_state": engine.state.name.lower(),
            "clock_identity": format_clock_identity(engine.data.default.clock_identity),
            "grandmaster_class": engine.data.parent.grandmaster_quality.clock_class,
            "utc_offset_s": properties.utc_offset_s,
            "leap_s": properties.leap61 - properties.leap59,
            "send_errors": self._send_errors,
            "events_suppressed": self._events_suppressed,
        }
        if metadata is not None:
            metrics["smpte_frame_rate"] = f"{metadata.frame_rate_numerator}/{metadata.frame_rate_denominator}"
            metrics["smpte_locking"] = metadata.master_locking
            metrics["smpte_local_offset_s"] = metadata.local_offset_s
        if engine.trouble:
            metrics["trouble"] = engine.trouble
        metrics |= engine.counters
        metrics |= {f"stamps_{kind.value}": count for kind, count in self._stamps.items()}
        metrics |= {f"dropped_management_{reason}": count for reason, count in self._management.dropped.items()}
        return metrics | self._sockets.counts() | dict(self._estimator.metrics())

    def message_received(self, message: Message, arrival: Arrival, *, unicast: bool) -> None:
        """See `PortListener.message_received`."""
        source = arrival.source[0]
        if self._authenticator is not None and self._engine.accepts_domain(message):
            reason = self._authenticator.refusal(message, arrival.data, arrival.local_ns)
            if reason is not None:
                self._engine.refuse_unauthentic(reason, message, source, arrival.local_ns)
                return
        if isinstance(message, Management):
            for response in self._management.responses(message, source, arrival.local_ns):
                address = source if unicast else PRIMARY[self._config.transport]
                self._send_message(SendMessage(message=response, event=False, destination=address))
        self._engine.handle_message(
            message, source=source, unicast=unicast, local_ns=arrival.local_ns, stamp=arrival.stamp
        )
        if not self._sockets.paced:
            self._perform_actions()

    def version_refused(self, version: int, source: str, local_ns: int) -> None:
        """See `PortListener.version_refused`."""
        self._engine.refuse_version(version, source, local_ns)

    def message_departed(self, token: int, local_ns: int, stamp: StampKind) -> None:
        """See `PortListener.message_departed`."""
        self._engine.message_departed(token, local_ns, stamp)
        if not self._sockets.paced:
            self._perform_actions()

    def interface_lost(self, reason: str) -> None:
        """See `PortListener.interface_lost`."""
        self._engine.fault(reason)
        self._perform_actions()

    def interface_found(self) -> None:
        """See `PortListener.interface_found`."""
        self._engine.enable(self._local.now_ns())
        self._perform_actions()

    def _tick_if_due(self, now: int) -> None:
        if self._engine.deadline_ns <= now:
            self._engine.tick(now)

    def _bring_up_to_date(self, now: int) -> None:
        self._engine.update_trouble(now)
        self._perform_actions()
        self._publish_estimate(now)

    def _perform_actions(self) -> None:
        for action in self._engine.actions():
            match action:
                case SendMessage():
                    self._send_message(action)
                case NewMeasurement(sample):
                    self._estimator.add_sample(sample)
                    self._stamps[sample.stamp] += 1
                    if not self._sockets.paced:  # otherwise it publishes when all has been read
                        self._publish_estimate(self._local.now_ns())
                case ParentChanged(parent, same_timescale):
                    self._estimator.reference_changed(self._local.now_ns(), same_timescale=same_timescale)
                    if parent is not None:
                        self._grandmaster = format_clock_identity(parent.grandmaster)
                        self._timescale = "ptp" if parent.ptp_timescale else "arb"
                case PortEvent(name, fields):
                    self._emit_event(name, fields)
        if not self._sockets.paced and self._engine.deadline_ns < self._wake_ns:
            self._woken.set()

    def _emit_event(self, name: str, fields: Mapping[str, int | float | str]) -> None:
        # What strangers send may change states and grandmasters as often as they like.
        if self._event_limit.allows(name, self._local.now_ns()):
            self._ctx.event(name, **self._leg, **fields)
        else:
            self._events_suppressed += 1

    def _send_message(self, action: SendMessage) -> None:
        groups = {Destination.PRIMARY: PRIMARY, Destination.PEER: PEER}
        address = action.destination
        if isinstance(address, Destination):
            address = groups[address][self._config.transport]
        try:
            data = encode(action.message) if self._authenticator is None else self._authenticator.sign(action.message)
            self._sockets.send_message(self, data, event=action.event, address=address, token=action.token)
        except OSError as error:
            self._send_errors += 1
            if self._send_errors == 1:
                self._ctx.event("cannot_send", **self._leg, reason=str(error.strerror), address=address)

    def _publish_estimate(self, now: int) -> None:
        engine = self._engine
        estimate = msgspec.structs.replace(
            self._estimator.estimate(now),
            timescale=self._timescale,
            grandmaster=self._grandmaster,
            domain=engine.settings.domain,
        )
        if self._config.role == "follower":
            engine.serve(estimate, engine.time_properties)
        else:
            served = self._serving.serve(engine, estimate, now)
            if served is not None and engine.state is PortState.MASTER:
                estimate = served
            elif served is not None and self._config.role == "grandmaster":
                estimate = msgspec.structs.replace(served, state=ClockState.UNLOCKED)
        report_state(self._ctx, self.published, estimate, **self._leg)
        self.published = estimate
        self._on_published()
