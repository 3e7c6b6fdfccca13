"""One master, as long as it is followed: its Syncs, the delay to it, and whether it does what it announces."""

from __future__ import annotations

import enum

from phasegraph import ClockState, StampKind
from phasegraph.ieee1588 import DelayResp, Flag, FollowUp, Sync, to_interval

from ..measurements import DelaySample, SyncSample
from .corrections import UNITS_PER_NS
from .delay_request import DelayRequester
from .foreign_masters import ForeignMaster, ghost_ns
from .intervals import NEVER, NS_PER_S, MessageInterval, period_ns
from .mean_path_delay import MeanDelay
from .port import Port
from .port_actions import Parent
from .settings import DelayMechanism
from .sync_pairing import ReceivedSync, SyncPairing, TimedSync

FORGIVEN_AFTER_NS = 60 * NS_PER_S
"""A master that was demoted is as good as any other after so long."""


class Missing(enum.StrEnum):
    """What a ghost does not send."""

    SYNC = "Sync or Follow_Up"
    DELAY_RESP = "Delay_Resp"


class Following:
    """What is known of the current master and of nobody else: with another one there is another of these."""

    def __init__(self, port: Port, master: ForeignMaster, now_ns: int) -> None:
        self.master = master
        self.delay = MeanDelay()
        """Of the path to the master; unused with the peer delay mechanism."""
        self.requester: DelayRequester | None = None
        if port.settings.delay_mechanism is DelayMechanism.E2E:
            self.requester = DelayRequester(port, master, self.delay, self._delay_measured)
        self.calibrated = False
        """Whether offset and delay (E2E) have been measured."""
        self._port = port
        self._pairing = SyncPairing(port.drop)
        self._interval = MessageInterval(period_ns(port.settings.log_sync_interval))
        self._since_ns = now_ns
        self._sync: SyncSample | None = None

    @property
    def parent(self) -> Parent:
        """Whose time this is, by the last Announce."""
        announce = self.master.announce
        return Parent(
            port=announce.source,
            grandmaster=announce.grandmaster,
            ptp_timescale=bool(announce.flags & Flag.PTP_TIMESCALE),
            address=self.master.address,
        )

    @property
    def deadline_ns(self) -> int:
        """When `tick` and `fault` are wanted."""
        asking = self.requester.deadline_ns if self.requester else NEVER
        return min(asking, self._patience_until_ns)

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

    def fault(self, now_ns: int) -> Missing | None:
        """What the master owes us, if anything."""
        if now_ns >= self._patience_until_ns:
            return Missing.SYNC
        return Missing.DELAY_RESP if self.requester is not None and self.requester.silent(now_ns) else None

    def sync(self, message: Sync, local_ns: int, stamp: StampKind) -> None:
        """A Sync of this master came."""
        self._interval.heard(message.log_interval, local_ns)
        self._timed(self._pairing.sync(ReceivedSync(message, local_ns, stamp)), local_ns)

    def follow_up(self, message: FollowUp, now_ns: int) -> None:
        """A Follow_Up of this master came."""
        self._timed(self._pairing.follow_up(message), now_ns)

    def delay_resp(self, message: DelayResp, now_ns: int) -> None:
        """An answer of this master to us came."""
        if self.requester is not None:
            self.requester.response(message, now_ns)

    def close(self) -> None:
        """It is not followed any more."""
        if self.requester is not None:
            self.requester.close()

    @property
    def _patience_until_ns(self) -> int:
        return ghost_ns(self._since_ns, self._sync.local_ns if self._sync else None, self._interval.ns)

    def _timed(self, timed: TimedSync | None, now_ns: int) -> None:
        if timed is None:
            return
        self._sync = SyncSample(
            reference_ns=timed.origin_ns,
            local_ns=timed.received.local_ns,
            correction=timed.correction + to_interval(self._port.settings.asymmetry_ns),
            stamp=timed.received.stamp,
            interval_ns=self._interval.ns,
        )
        self._port.measured(self._sync)
        if self.calibrated and now_ns - self._since_ns > FORGIVEN_AFTER_NS:
            self.master.forgive()
        if self.requester is None:
            self.calibrated = True
        else:
            self.requester.start(now_ns)

    def _delay_measured(self, sample: DelaySample) -> None:
        self._port.measured(sample)
        sync = self._sync
        if sync is None:
            return
        apart_ns = sample.local_ns - sync.local_ns
        if self._port.estimate is not None:
            apart_ns = self._port.estimate.elapsed(apart_ns)
        both_ways_ns = sample.reference_ns - sync.reference_ns - apart_ns
        self.delay.add((both_ways_ns - (sample.correction + sync.correction) / UNITS_PER_NS) / 2)
        self.calibrated = True
