"""The status monitor of one receiver or sender (BCP-008-01: NcReceiverMonitor; BCP-008-02: NcSenderMonitor).

A monitor has four domains. `StatusMonitor.observe` takes what they look like, `StatusMonitor.advance_statuses` the
time, and the properties give what is reported. It opens nothing and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from .domain_health import NEUTRAL, Health, Observation
from .reported_status import PREVIOUSLY, ReportedStatus

NS = 1_000_000_000
DEFAULT_DELAY_S = 3
MOST_DELAY_S = 3600


class PacketCounter(msgspec.Struct, frozen=True):
    """One counter of a monitor (NcCounter)."""

    name: str
    value: int
    description: str | None = None


class MonitorInput(msgspec.Struct, frozen=True, kw_only=True):
    """What a run shows of one receiver or sender at one instant."""

    active: bool
    """``master_enable``: whether it is meant to receive or send."""
    activation: int = 0
    """How often it was activated: a new number while it is active is an activation."""
    link: Observation
    connection: Observation
    """Connection of a receiver, transmission of a sender."""
    synchronization: Observation
    source_id: str | None
    """The grandmaster, ``internal`` where no external clock is used, None if there is none."""
    content: Observation
    """Stream of a receiver, essence of a sender."""
    counters: Mapping[str, tuple[PacketCounter, ...]] = {}
    """By method: ``lost`` and ``late`` of a receiver, ``errors`` of a sender; values since the node has started."""


class MonitoredResource(msgspec.Struct, frozen=True, kw_only=True):
    """One receiver or sender as a run shows it now."""

    id: str
    """UUID of the IS-04 resource."""
    role: str
    """Unique among the receivers, and among the senders; one resource keeps its role."""
    label: str
    """Label of a monitor that no controller has given another one."""
    seen: MonitorInput


class StatusMonitor:
    """Reports the statuses of one receiver or sender. Times are local nanoseconds and never decrease."""

    def __init__(self, first: MonitorInput, now_ns: int) -> None:
        self.link = ReportedStatus(first.link)
        self.connection = ReportedStatus(NEUTRAL)
        self.synchronization = ReportedStatus(first.synchronization)
        self.content = ReportedStatus(NEUTRAL)
        self.source_id = first.source_id
        self.delay_s = DEFAULT_DELAY_S
        """``statusReportingDelay``, in seconds; 0 is no delay."""
        self.auto_reset = True
        """``autoResetCountersAndMessages``."""
        self._latest = first
        self._active = False
        self._activation = first.activation
        self._begun: dict[tuple[str, str], int] = {}
        """What each counter was when it was last reset."""
        self.observe(first, now_ns)

    @property
    def overall(self) -> Health:
        """Inactive while it is not active, else the worst of the domains."""
        if not self._active:
            return Health.NEUTRAL
        return max(Health.HEALTHY, *(status.health for status in self._domains()))

    @property
    def overall_message(self) -> str | None:
        """Why: the messages of the domains that are as bad as the whole."""
        overall = self.overall
        reasons = [status.message for status in self._domains() if status.health is overall and status.message]
        if overall is not Health.HEALTHY:
            return "; ".join(dict.fromkeys(reasons)) or None
        earlier = "; ".join(dict.fromkeys(reason.removeprefix(PREVIOUSLY) for reason in reasons))
        return PREVIOUSLY + earlier if earlier else None

    @property
    def active(self) -> bool:
        """Whether the last observation was of an active receiver or sender."""
        return self._active

    def observe(self, seen: MonitorInput, now_ns: int) -> None:
        """Take what a run shows now. An activation and a deactivation are found in it."""
        self._follow_counters(seen)
        delay_ns = self._delay_ns
        if seen.active and (not self._active or seen.activation != self._activation):
            for status in self._domains():
                status.begin_activation(now_ns, delay_ns, status is self.connection or status is self.content)
            if self.auto_reset:
                self.reset()
        self._active, self._activation = seen.active, seen.activation
        self.link.note(seen.link, now_ns, delay_ns)
        self.synchronization.note(self._synchronization_of(seen), now_ns, delay_ns)
        self.connection.note(seen.connection if seen.active else NEUTRAL, now_ns, delay_ns)
        self.content.note(seen.content if seen.active else NEUTRAL, now_ns, delay_ns)

    def advance_statuses(self, now_ns: int) -> None:
        """Let time pass: statuses that have been better for the whole delay become better."""
        for status in self._domains():
            status.advance(now_ns, self._delay_ns)

    def next_change_ns(self) -> int | None:
        """When `advance_statuses` is next needed; None while nothing is pending."""
        times = [at for status in self._domains() if (at := status.next_change_ns(self._delay_ns)) is not None]
        return min(times, default=None)

    def reset(self) -> None:
        """``ResetCountersAndMessages``: transition counters and packet counters to zero, messages to none."""
        for status in self._domains():
            status.reset()
        for method, counters in self._latest.counters.items():
            for counter in counters:
                self._begun[method, counter.name] = counter.value

    def counted(self, method: str) -> tuple[PacketCounter, ...]:
        """The counters of ``lost``, ``late`` or ``errors`` since the last reset."""
        return tuple(
            msgspec.structs.replace(counter, value=counter.value - self._begun.get((method, counter.name), 0))
            for counter in self._latest.counters.get(method, ())
        )

    def _follow_counters(self, seen: MonitorInput) -> None:
        # A node that has started again counts from zero.
        before = {
            (method, counter.name): counter.value
            for method, counters in self._latest.counters.items()
            for counter in counters
        }
        for method, counters in seen.counters.items():
            for counter in counters:
                if counter.value < before.get((method, counter.name), 0):
                    self._begun.pop((method, counter.name), None)
        self._latest = seen

    def _synchronization_of(self, seen: MonitorInput) -> Observation:
        before, self.source_id = self.source_id, seen.source_id
        if before in (None, seen.source_id) or seen.source_id is None or seen.synchronization.health is Health.NEUTRAL:
            return seen.synchronization
        change = f"synchronization source changed from {before} to {seen.source_id}"
        return Observation(max(Health.PARTIALLY_HEALTHY, seen.synchronization.health), change)

    @property
    def _delay_ns(self) -> int:
        return self.delay_s * NS

    def _domains(self) -> tuple[ReportedStatus, ...]:
        return self.link, self.connection, self.synchronization, self.content
