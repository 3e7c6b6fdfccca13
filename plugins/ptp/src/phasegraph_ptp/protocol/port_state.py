"""The state machine of the one port of an ordinary clock (IEEE 1588-2019, 9.2), and what runs in which state.

    state         runs    entered when                                                left when
    INITIALIZING  -       `deactivate`, before `start`                                      `start`
    LISTENING     -       start; the master is lost and no other qualifies            a decision (below)
    UNCALIBRATED  Slave   a best master is chosen (S1)                                offset and delay are measured
    SLAVE         Slave   offset and delay are measured                               another master is chosen, or none
    PRE_MASTER    -       no better clock announces itself (M1, M2)                   there is a time to serve
    MASTER        Master  PRE_MASTER lasted `mastership_delay_ns`                     a better clock announces itself
    PASSIVE       -       a better clock announces itself; this one never follows     that clock is lost
    FAULTY        -       `deactivate`: the interface is gone                               `start`
    DISABLED      -       `deactivate`                                                      `start`

A decision (9.2.6.8) is due when an Announce arrives, when the announce receipt timeout of the incumbent (the master
that is followed or deferred to) expires, or when a master fails its sync receipt timeout: it announces itself, but
sends no Sync, or no answer to Delay_Req. Such a master is demoted: passed over for 30 s at first, for longer each time.
PeerDelay runs in all active states with the peer delay mechanism, UnicastClient where messages are negotiated.
"""

from __future__ import annotations

from typing import Protocol

from phasegraph.ieee1588 import MessageType, SmpteSynchronizationMetadata, format_clock_identity

from .bmca import Recommended, recommend
from .data_sets import PortState, TimeProperties, default_ds, own_data_set
from .foreign_masters import ForeignMaster, ForeignMasters
from .intervals import NEVER, NS_PER_S, period_ns
from .master import Master
from .peer_delay import PeerDelay
from .port import Port
from .port_actions import Parent, ParentChanged
from .reception_diagnosis import Cause, Trouble
from .settings import DelayMechanism, PortRole, Unicast
from .slave import MissingMessage, Slave
from .unicast_client import UnicastClient

INACTIVE_STATES = (PortState.INITIALIZING, PortState.FAULTY, PortState.DISABLED)
_FOLLOWING = (PortState.UNCALIBRATED, PortState.SLAVE)
_WITH_INCUMBENT = (*_FOLLOWING, PortState.PASSIVE)


class TimedPart(Protocol):
    """A part of the instance that does something at a time."""

    @property
    def deadline_ns(self) -> int:
        """When `tick` is wanted next, in local time; `NEVER` if only after a message."""

    def tick(self, now_ns: int) -> None:
        """Do what is due."""


class PortStateMachine:
    """The state of the port, and the parts that run in it."""

    def __init__(self, port: Port) -> None:
        self.state = PortState.INITIALIZING
        self.foreign_masters = ForeignMasters(port.identity)
        self.incumbent: ForeignMaster | None = None
        """The master that is followed or, when PASSIVE, deferred to."""
        self._deferred_ns = 0
        """When PASSIVE: since when."""
        self.slave: Slave | None = None
        self.master: Master | None = None
        self.peer: PeerDelay | None = None
        self.unicast_client: UnicastClient | None = None
        self.metadata: SmpteSynchronizationMetadata | None = None
        self.trouble: Trouble | None = None
        self._trouble_checked_ns = -NS_PER_S
        self._listening_since_ns = 0
        self._fault_reason = ""
        self._port = port
        self._reported_parent: Parent | None = None
        """The parent that was last reported to the caller; it may have been lost since."""
        self._properties: TimeProperties | None = None
        self._listen_until_ns = NEVER
        self._qualified_ns = NEVER
        self._mastership_delay_ns = port.settings.mastership_delay_ns

    @property
    def deadline_ns(self) -> int:
        """See `TimedPart.deadline_ns`."""
        due = (part.deadline_ns for part in self._parts)
        return min(self._decision_due_ns, self._sync_receipt_deadline_ns, *due, NEVER)

    @property
    def time_properties(self) -> TimeProperties:
        """The timePropertiesDS (8.2.4): of the master that is followed, by its last Announce, or our own."""
        return self._port.properties if self._properties is None else self._properties

    def start(self, now_ns: int) -> None:
        """INITIALIZING ends."""
        settings = self._port.settings
        if settings.delay_mechanism is DelayMechanism.P2P:
            self.peer = PeerDelay(self._port, now_ns)
        if settings.unicast is Unicast.NEGOTIATED:
            self.unicast_client = UnicastClient(self._port, now_ns)
        self._start_listening(now_ns)

    def tick(self, now_ns: int) -> None:
        """Do what is due."""
        if self.state not in INACTIVE_STATES:
            self.apply_granted_rate(now_ns)
            for part in self._parts:
                part.tick(now_ns)
            self._check_receipt_timeouts(now_ns)
            if now_ns >= self._decision_due_ns:
                self.decide(now_ns)

    @property
    def _parts(self) -> list[TimedPart]:
        parts: tuple[TimedPart | None, ...] = (self.peer, self.unicast_client, self.slave, self.master)
        return [part for part in parts if part is not None]

    def end_contracts(self) -> None:
        """Cancel all contracts with the other sides (16.1)."""
        if self.unicast_client is not None:
            self.unicast_client.close()
        if self.master is not None:
            self.master.close()

    def deactivate(self, state: PortState, **fields: str) -> None:
        """Forget all masters and end all parts, for FAULTY or DISABLED, or before `start`."""
        if self.unicast_client is not None:
            self.unicast_client.close()
        self._fault_reason = fields.get("reason", "")
        self._enter_state(state, **fields)
        self.peer = self.unicast_client = None
        self.foreign_masters = ForeignMasters(self._port.identity)
        self._port.forget_departures()

    def decide(self, now_ns: int) -> None:
        """The state decision event (9.2.6.8)."""
        if self.state in INACTIVE_STATES:
            return
        settings = self._port.settings
        # A follower without a master starts with the first one that works, a whole Announce interval earlier: the
        # second Announce of a better one changes that, as at any time.
        provisional = settings.role is PortRole.FOLLOWER and self.state is PortState.LISTENING
        timeout = settings.announce_receipt_timeout
        best = self.foreign_masters.best(now_ns, self.incumbent, timeout, provisional=provisional)
        if self.incumbent is not None and now_ns >= self.incumbent.expires_ns(timeout):
            self._port.emit_event("announce_timeout", port=str(self.incumbent.port))
        if best is None and self.state is PortState.LISTENING and now_ns < self._listen_until_ns:
            return
        if settings.master_only:
            self._become_master(now_ns)
            return
        if settings.role is PortRole.FOLLOWER:
            if best is not None:
                self._become_slave(best, now_ns)
            elif self.state is not PortState.LISTENING:
                self._start_listening(now_ns)
            return
        self._apply_recommendation(best, now_ns)

    def _apply_recommendation(self, best: ForeignMaster | None, now_ns: int) -> None:
        settings = self._port.settings
        own = own_data_set(default_ds(settings, self._port.identity))
        match recommend(own, best.data_set if best is not None else None):
            case Recommended.MASTER:
                self._become_master(now_ns)
            case Recommended.SLAVE if settings.role is PortRole.ORDINARY and best is not None:
                self._become_slave(best, now_ns)
            case _:
                if self.state is not PortState.PASSIVE or best is not self.incumbent:
                    self._deferred_ns = now_ns
                self._enter_state(PortState.PASSIVE)
                self.incumbent = best

    def update_trouble(self, now_ns: int) -> None:
        """See `OrdinaryClock.update_trouble`."""
        if now_ns - self._trouble_checked_ns < NS_PER_S:
            return
        self._trouble_checked_ns = now_ns
        before, self.trouble = self.trouble, self._find_trouble(now_ns)
        if self.trouble is not None and (before is None or before.cause is not self.trouble.cause):
            cause, reason = self.trouble.cause.value, self.trouble.reason
            self._port.emit_event_rarely(now_ns, "ptp_trouble", kind=cause, cause=cause, reason=reason)

    def _find_trouble(self, now_ns: int) -> Trouble | None:
        settings = self._port.settings
        if self.state is PortState.FAULTY:
            return Trouble(Cause.INTERFACE, f"{self._fault_reason}: it is used again when it is back")
        if self.state is PortState.PRE_MASTER and self._port.estimate is None:
            return Trouble(Cause.NO_TIME, "there is no time to serve yet: its reference is not locked")
        if self.state is PortState.PASSIVE and self.incumbent is not None:
            better, p1 = _name_of(self.incumbent), self.incumbent.announce.priority1
            remedy = "lower priority1, name in accept who may be better, or set master-only"
            return Trouble(Cause.PASSIVE, f"silent, as grandmaster {better} with priority1 {p1} is better: {remedy}")
        if self.slave is not None:
            return self.slave.flag_trouble
        if self.state is not PortState.LISTENING or settings.role is not PortRole.FOLLOWER:
            return None
        demoted = self.foreign_masters.demoted(now_ns, settings.announce_receipt_timeout)
        if demoted is not None:
            return Trouble(Cause.DEMOTED, f"grandmaster {_name_of(demoted)} is passed over: {demoted.demotion_reason}")
        return self._port.diagnosis.find_trouble(now_ns, self._listening_since_ns)

    def check_calibrated(self) -> None:
        """UNCALIBRATED ends with the first measurement of offset and delay."""
        if self.state is PortState.UNCALIBRATED and self.slave is not None and self.slave.calibrated:
            self._enter_state(PortState.SLAVE)

    def apply_granted_rate(self, now_ns: int) -> None:
        """A negotiating port asks for the delay as often as its master has granted."""
        if self.unicast_client is not None and self.slave is not None and self.slave.requester is not None:
            address = self.slave.foreign_master.address
            granted_ns = self.unicast_client.period_ns(address, MessageType.DELAY_RESP, now_ns)
            self.slave.requester.set_granted_period(granted_ns)

    @property
    def _decision_due_ns(self) -> int:
        settings = self._port.settings
        if self.incumbent is not None:
            return self.incumbent.expires_ns(settings.announce_receipt_timeout)
        if self.state is PortState.LISTENING and settings.role is not PortRole.FOLLOWER:
            return self._listen_until_ns
        if self.state is PortState.PRE_MASTER and self._port.estimate is not None:
            return self._qualified_ns
        return NEVER

    def _enter_state(self, state: PortState, **fields: str) -> None:
        if state is self.state:
            return
        self._port.emit_event("state_changed", previous=self.state.name, state=state.name, **fields)
        self.state = state
        if state not in _WITH_INCUMBENT:
            self.incumbent = None
        if self.slave is not None and state not in _FOLLOWING:
            self._end_slave()
            if self.unicast_client is not None:
                self.unicast_client.cancel_sync()
            self._port.actions.append(ParentChanged(None, True))
        if self.master is not None and state is not PortState.MASTER:
            self.master.close()
            self.master = None

    def _start_listening(self, now_ns: int) -> None:
        # A random part keeps clocks that were switched on together from becoming masters at the same instant.
        period = period_ns(self._port.settings.log_announce_interval)
        waiting_ns = self._port.settings.announce_receipt_timeout * period + self._port.random.randrange(period)
        self._listen_until_ns = now_ns + waiting_ns
        self._listening_since_ns = now_ns
        self._enter_state(PortState.LISTENING)

    def _become_master(self, now_ns: int) -> None:
        if self.state is PortState.MASTER:
            return
        if self.state is not PortState.PRE_MASTER:
            self._qualified_ns = now_ns + self._mastership_delay_ns
        if now_ns < self._qualified_ns or self._port.estimate is None:
            self._enter_state(PortState.PRE_MASTER)
            return
        self._mastership_delay_ns = 0
        self._enter_state(PortState.MASTER)
        self.master = Master(self._port, now_ns)

    def _become_slave(self, best: ForeignMaster, now_ns: int) -> None:
        slave = self.slave
        if slave is None or slave.foreign_master is not best:
            self._end_slave()
            self._enter_state(PortState.UNCALIBRATED)
            self.incumbent = best
            self._port.diagnosis.clear()
            self.slave = slave = Slave(self._port, best, now_ns)
            if self.unicast_client is not None:
                self.unicast_client.request_sync_from(best.address, now_ns)
        self._report_parent(slave)

    def _end_slave(self) -> None:
        if self.slave is not None:
            self.slave.close()
            self.slave = self.metadata = self._properties = None

    def _report_parent(self, slave: Slave) -> None:
        parent, reported = slave.parent, self._reported_parent
        properties = TimeProperties.from_announce(slave.foreign_master.announce)
        if self._properties is None or reported is None or _parent_key(parent) != _parent_key(reported):
            same = (
                reported is not None
                and reported.ptp_timescale is parent.ptp_timescale
                and (parent.ptp_timescale or reported.grandmaster == parent.grandmaster)
            )
            self._reported_parent = parent
            self._port.actions.append(ParentChanged(parent, same))
            if reported is None or reported.grandmaster != parent.grandmaster:
                self._port.emit_event(
                    "grandmaster_changed",
                    grandmaster=format_clock_identity(parent.grandmaster),
                    port=str(parent.port),
                    address=parent.address,
                    timescale="ptp" if parent.ptp_timescale else "arb",
                )
        if properties != self._properties:
            self._properties = properties
            self._port.emit_event(
                "time_properties_changed",
                utc_offset_s=properties.utc_offset_s if properties.utc_offset_valid else "unknown",
                leap_s=int(properties.leap61) - int(properties.leap59),
                traceable=int(properties.time_traceable),
                timescale="ptp" if properties.ptp_timescale else "arb",
            )

    @property
    def _sync_receipt_deadline_ns(self) -> int:
        # Of the master that a PASSIVE port defers to. One that negotiates sends its Syncs to others.
        if self.state is not PortState.PASSIVE or self.incumbent is None or self.unicast_client is not None:
            return NEVER
        # Later than for a slave: to become a master because of a few lost packets would be worse.
        return self.incumbent.sync_receipt_deadline_ns(self._deferred_ns, least_ns=2 * NS_PER_S)

    def _check_receipt_timeouts(self, now_ns: int) -> None:
        missing = self.slave.missing_message(now_ns) if self.slave is not None else None
        if now_ns >= self._sync_receipt_deadline_ns:
            missing = MissingMessage.SYNC
        master = self.incumbent
        if master is None or missing is None:
            return
        # A master that negotiates sends no Sync before it is chosen again, so it cannot prove itself by one.
        silent = missing is not MissingMessage.DELAY_RESP and self.unicast_client is None
        lasting_ns = master.demote(now_ns, silent=silent, reason=missing.value)
        self._port.emit_event(
            "master_demoted",
            port=str(master.port),
            grandmaster=format_clock_identity(master.announce.grandmaster),
            reason=missing.value,
            for_s=lasting_ns // NS_PER_S,
        )
        self.decide(now_ns)


def _name_of(master: ForeignMaster) -> str:
    return f"{format_clock_identity(master.announce.grandmaster)} ({master.address})"


def _parent_key(parent: Parent) -> tuple[object, ...]:
    # A host with two addresses is not two masters.
    return parent.port, parent.grandmaster, parent.ptp_timescale
