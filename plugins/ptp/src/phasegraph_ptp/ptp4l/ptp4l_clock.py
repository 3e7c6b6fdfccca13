"""The clock ``ptp4l``: asks a running ptp4l for the grandmaster's time, and never opens a port of PTP."""

from __future__ import annotations

from pathlib import Path

import trio

from phasegraph import (
    TASK_STATUS_IGNORED,
    Build,
    ClockEstimate,
    ClockState,
    LocalClock,
    Metric,
    Metrics,
    NodeContext,
    NodeError,
    PublisherSettings,
)
from phasegraph.ieee1588 import format_clock_identity

from ..protocol.data_sets import PortState
from .client import Ptp4lClient, SilentError
from .ingress_times import IngressTimes
from .options import Ptp4lConfig
from .phase_line import PhaseLine, ReadingSource
from .port_status import Ptp4lStatus
from .stamp_clocks import HardwareStampClock, RealtimeStampClock, StampClock, device_of

_EAGER_NS = 250_000_000
_SILENCE_NS, _SILENCE_INTERVALS = 2_000_000_000, 3


class Ptp4lClock:
    """Follows the grandmaster that a ptp4l on this computer follows, or is."""

    def __init__(self, config: Ptp4lConfig, build: Build) -> None:
        self._config = config
        self._local = build.local
        self._client = Ptp4lClient(config.socket, domain=config.domain, major_sdo=config.major_sdo)
        settings = PublisherSettings(
            lock_within_ns=config.lock_within,
            unlock_beyond_ns=config.unlock_beyond,
            settling_fixes=1,  # a line rests on five readings
        )
        self._line = PhaseLine(settings, config.domain)
        self._clock: StampClock | None = None
        self._times = IngressTimes()
        self._status: Ptp4lStatus | None = None
        self._silence_reason = ""
        self._unanswered = 0

    def estimate(self) -> ClockEstimate:
        """See `ClockSource.estimate`."""
        return self._line.estimate

    def change_options(self, config: Ptp4lConfig) -> None:
        """See `phasegraph.LiveNode.change_options`: when it is locked, and when it is lost."""
        self._line.publisher.change_thresholds(lock_within_ns=config.lock_within, unlock_beyond_ns=config.unlock_beyond)

    def metrics(self) -> Metrics:
        """See `Node.metrics`: what every clock reports comes from its estimate."""
        metrics: dict[str, Metric] = {
            "rounds_unanswered": self._unanswered,
            "readings_rejected": self._line.rejected,
        }
        trouble = self._trouble()
        if trouble:
            metrics["trouble"] = trouble
        if self._status is not None:
            metrics["port_state"] = _state_name(self._status)
            metrics["servo_offset_ns"] = self._status.offset_ns
        return metrics

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """See `Node.run`. Raises NodeError where no ptp4l answers at first, or its clock cannot be read."""
        self._status = None
        try:
            self._use_status(ctx, await self._client.connect())
            task_status.started()
            while True:
                locked = self.estimate().state is ClockState.LOCKED
                interval_ns = self._config.poll if locked else min(self._config.poll, _EAGER_NS)
                await ctx.sleep(interval_ns)
                await self._query(ctx)
                self._publish_line(interval_ns)
        finally:
            self._client.close()
            self._change_clock(None)

    async def _query(self, ctx: NodeContext) -> None:
        try:
            status = await self._client.query()
        except SilentError as error:
            self._unanswered += 1
            if not self._silence_reason:
                ctx.event("ptp4l_lost", reason=str(error))
            self._silence_reason = str(error) or "no answer"
            return
        if self._silence_reason:
            ctx.event("ptp4l_back")
        self._silence_reason = ""
        self._use_status(ctx, status)

    def _trouble(self) -> str:
        status = self._status
        if self._silence_reason:
            return f"ptp4l does not answer ({self._silence_reason}): start it again"
        if status is None or status.following or status.serving:
            return ""
        return f"the port of ptp4l is {_state_name(status)}, and follows no grandmaster: see its log"

    def _use_status(self, ctx: NodeContext, status: Ptp4lStatus) -> None:
        before, self._status = self._status, status
        if before is None or (before.hardware, before.interface) != (status.hardware, status.interface):
            self._change_clock(stamp_clock(status, self._config.device, self._local))
        if before is not None and before.port.state != status.port.state:
            ctx.event("state_changed", before=_state_name(before), state=_state_name(status))
        assert self._clock is not None
        relation = self._clock.compare()
        step_ns = self._times.add_comparison(relation)
        if step_ns:
            ctx.event("stamp_clock_stepped", clock=self._clock.name, step_ns=step_ns)
        if not (status.following or status.serving):
            return
        source = ReadingSource(format_clock_identity(status.grandmaster), "ptp" if status.ptp_timescale else "arb")
        if self._line.set_source(source):
            ctx.event("grandmaster_changed", grandmaster=source.grandmaster, timescale=source.timescale)
        if status.serving:
            self._line.add_reading(relation.local_ns, relation.local_ns + relation.offset_ns)
        elif before is None or (status.ingress_ns != before.ingress_ns and status.offset_ns != before.offset_ns):
            # After a change of grandmaster it reports new Syncs, with the last offset, until a delay is measured.
            local_ns = self._times.local_ns(status.ingress_ns)
            reference_ns = status.reference_at_ingress_ns(utc=self._clock.utc)
            if local_ns is not None and reference_ns is not None:
                self._line.add_reading(local_ns, reference_ns)

    def _publish_line(self, interval_ns: int) -> None:
        assert self._status is not None
        slowest_ns = max(interval_ns, self._status.port.sync_interval_ns)
        self._line.publish_at(
            self._local.now_ns(),
            interval_ns=interval_ns,
            silence_ns=max(_SILENCE_NS, _SILENCE_INTERVALS * slowest_ns),
            path_delay_ns=0 if self._status.serving else self._status.path_delay_ns,
        )

    def _change_clock(self, clock: StampClock | None) -> None:
        if self._clock is not None:
            self._clock.close()
        self._clock = clock
        self._times = IngressTimes()


def stamp_clock(status: Ptp4lStatus, device: str, local: LocalClock) -> StampClock:
    """The clock that a ptp4l stamps with. Raises NodeError where it cannot be found or read."""
    if not status.hardware:
        return RealtimeStampClock(local)
    found = Path(device) if device else device_of(status.interface)
    if found is None:
        where = f"on {status.interface}, which has no single clock" if status.interface else "and does not report where"
        raise NodeError(
            f"ptp4l stamps in hardware {where}",
            "name the clock, such as device = '/dev/ptp0': `ethtool -T` prints its number",
            option="device",
        )
    return HardwareStampClock(found, local)


def _state_name(status: Ptp4lStatus) -> str:
    state = status.port.state
    return PortState(state).name.lower() if state in list(PortState) else str(state)
