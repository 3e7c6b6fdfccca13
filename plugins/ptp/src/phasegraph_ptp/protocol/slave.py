"""The port as a slave of one master: its Syncs, the delay to it, and whether it sends what it announces."""

from __future__ import annotations

import enum

from phasegraph import ClockState, StampKind
from phasegraph.ieee1588 import (
    UNITS_PER_NS,
    DelayResp,
    Flag,
    FollowUp,
    Sync,
    SyncPairing,
    TimedSync,
    to_interval,
)

from ..measurements import DelaySample, SyncSample
from .delay_request import DelayRequester
from .foreign_masters import ForeignMaster
from .intervals import NEVER, NS_PER_S, MessageInterval, period_ns
from .mean_path_delay import MeanPathDelay
from .port import Port
from .port_actions import Parent
from .reception_diagnosis import Cause, Trouble
from .settings import DelayMechanism

FORGIVEN_AFTER_NS = 60 * NS_PER_S
"""A master that was demoted counts as reliable again after this time."""


_FLAG_MISSES = 3
_FLAG_REASON = "its Follow_Ups arrive, but its Syncs lack the two-step flag: set twoStepFlag on the grandmaster"


class MissingMessage(enum.StrEnum):
    """Why a master is demoted."""

    SYNC = (
        "it announces itself, but no Sync or Follow_Up arrives: do a switch or a firewall let its event messages pass?"
    )
    DELAY_RESP = (
        "it announces itself, but no Delay_Resp arrives: does it hear this computer, and have both the same "
        "delay-mechanism?"
    )
    TWO_STEP_FLAG = _FLAG_REASON


class Slave:
    """What is known of one master. Another master gets another of these, so that a sample never mixes two."""

    def __init__(self, port: Port, master: ForeignMaster, now_ns: int) -> None:
        self.foreign_master = master
        self.delay = MeanPathDelay()
        """Of the path to the master; unused with the peer delay mechanism."""
        self.requester: DelayRequester | None = None
        if port.settings.delay_mechanism is DelayMechanism.E2E:
            self.requester = DelayRequester(port, master, self.delay, self._delay_measured)
        self.calibrated = False
        """Whether offset and delay (E2E) have been measured."""
        self._port = port
        self._pairing: SyncPairing[tuple[int, StampKind]] = SyncPairing(port.drop)
        self._interval = MessageInterval(period_ns(port.settings.log_sync_interval))
        self._since_ns = now_ns
        self._sync: SyncSample | None = None
        self._one_step_sequence: int | None = None
        self._flag_misses = 0
        """Follow_Ups to Syncs without the two-step flag."""

    @property
    def parent(self) -> Parent:
        """Whose time this is, by the last Announce."""
        announce = self.foreign_master.announce
        return Parent(
            port=announce.source,
            grandmaster=announce.grandmaster,
            ptp_timescale=bool(announce.flags & Flag.PTP_TIMESCALE),
            address=self.foreign_master.address,
        )

    @property
    def deadline_ns(self) -> int:
        """See `TimedPart.deadline_ns`; `missing_message` is wanted then too."""
        asking = self.requester.deadline_ns if self.requester else NEVER
        return min(asking, self._sync_receipt_deadline_ns)

    @property
    def ingress_ns(self) -> int:
        """Arrival of the last Sync in local time; zero before the first."""
        return self._sync.local_ns if self._sync else 0

    def offset_ns(self, mean_delay_ns: float) -> float:
        """offsetFromMaster of the last Sync, against the estimate; zero where either is missing."""
        sync, estimate = self._sync, self._port.estimate
        if sync is None or estimate is None or estimate.state is ClockState.UNLOCKED:
            return 0.0
        passed_ns = estimate.reference_at(sync.local_ns) - sync.reference_ns
        return passed_ns - sync.correction / UNITS_PER_NS - mean_delay_ns

    def tick(self, now_ns: int) -> None:
        """Do what is due."""
        if self.requester is not None:
            self.requester.tick(now_ns)

    def missing_message(self, now_ns: int) -> MissingMessage | None:
        """The message that the master fails to send, if any."""
        if now_ns >= self._sync_receipt_deadline_ns:
            return MissingMessage.SYNC if self.flag_trouble is None else MissingMessage.TWO_STEP_FLAG
        # A master whose Syncs stay away as well is away altogether: it need not answer.
        if self.requester is None or self._sync is None or now_ns - self._sync.local_ns > self._gap_ns:
            return None
        return MissingMessage.DELAY_RESP if self.requester.unanswered(now_ns) else None

    @property
    def flag_trouble(self) -> Trouble | None:
        """Whether Follow_Ups arrive to Syncs that say that there are none."""
        if self._flag_misses < _FLAG_MISSES:
            return None
        return Trouble(Cause.TWO_STEP_FLAG, f"grandmaster {self.foreign_master.address}: {_FLAG_REASON}")

    def sync_received(self, message: Sync, local_ns: int, stamp: StampKind) -> None:
        """A Sync of this master arrived."""
        self._interval.record_arrival(message.log_interval, local_ns)
        self.foreign_master.record_sync_interval(message, local_ns)
        if not message.two_step:
            self._one_step_sequence = message.sequence
            if message.origin_ns == 0:  # 1970: the sender has no time yet, or means a Follow_Up
                self._port.drop("origin_zero")
                return
        self._timed(self._pairing.add_sync(message, (local_ns, stamp)), local_ns)

    def follow_up_received(self, message: FollowUp, now_ns: int) -> None:
        """A Follow_Up of this master arrived."""
        self._flag_misses += message.sequence == self._one_step_sequence
        self._timed(self._pairing.add_follow_up(message), now_ns)

    def delay_resp_received(self, message: DelayResp, now_ns: int) -> None:
        """A Delay_Resp of this master to us arrived."""
        if self.requester is not None:
            self.requester.response_received(message, now_ns)

    def close(self) -> None:
        """The master is followed no longer."""
        if self.requester is not None:
            self.requester.close()

    @property
    def _sync_receipt_deadline_ns(self) -> int:
        return self.foreign_master.sync_receipt_deadline_ns(self._since_ns)

    @property
    def _gap_ns(self) -> int:
        return max(2 * self._interval.ns, 2 * NS_PER_S)

    def _timed(self, timed: TimedSync[tuple[int, StampKind]] | None, now_ns: int) -> None:
        if timed is None:
            return
        local_ns, stamp = timed.arrival
        self.foreign_master.record_timed_sync(now_ns)
        if self.requester is not None and self._sync is not None and local_ns - self._sync.local_ns > self._gap_ns:
            self.requester.restart_patience(now_ns)
        self._sync = SyncSample(
            reference_ns=timed.origin_ns,
            local_ns=local_ns,
            correction=timed.correction + to_interval(self._port.settings.asymmetry_ns),
            stamp=stamp,
            interval_ns=self._interval.ns,
        )
        self._port.queue_measurement(self._sync)
        if self.calibrated and now_ns - self._since_ns > FORGIVEN_AFTER_NS:
            self.foreign_master.forgive()
        if self.requester is None:
            self.calibrated = True
        else:
            self.requester.start_requests(now_ns)

    def _delay_measured(self, sample: DelaySample) -> None:
        self._port.queue_measurement(sample)
        sync = self._sync
        if sync is None:
            return
        apart_ns = sample.local_ns - sync.local_ns
        if self._port.estimate is not None:
            apart_ns = self._port.estimate.elapsed(apart_ns)
        both_ways_ns = sample.reference_ns - sync.reference_ns - apart_ns
        self.delay.add_delay((both_ways_ns - (sample.correction + sync.correction) / UNITS_PER_NS) / 2)
        self.calibrated = True
