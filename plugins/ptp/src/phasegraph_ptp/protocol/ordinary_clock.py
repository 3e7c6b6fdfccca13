"""A PTP instance with one port (an ordinary clock): what its caller sees, and where each message goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, NamedTuple

from phasegraph import ClockEstimate, StampKind
from phasegraph.ieee1588 import (
    ALL_PORTS,
    Announce,
    DelayReq,
    DelayResp,
    Flag,
    FollowUp,
    MalformedMessage,
    Management,
    Message,
    MessageType,
    PDelayReq,
    PDelayResp,
    PDelayRespFollowUp,
    PortIdentity,
    Signaling,
    SmpteSynchronizationMetadata,
    Sync,
    format_clock_identity,
    understand,
)

from . import signaling
from .authentication import AUTH_REASONS
from .data_sets import DataSets, PortState, TimeProperties, path_trace
from .data_sets_view import data_sets
from .intervals import period_ns
from .port import Port
from .port_actions import Action
from .port_state import INACTIVE_STATES, PortStateMachine
from .reception_diagnosis import Cause
from .settings import DelayMechanism, Settings, Unicast
from .slave import Slave

MAX_STEPS_REMOVED = 255
"""An Announce from this many steps away is dropped (9.3.2.5)."""

_FIXED = ("domain", "sdo", "role", "delay_mechanism", "unicast", "servers", "answers_per_s")
_OF_FOLLOWERS = (MessageType.DELAY_REQ, MessageType.PDELAY_REQ)
_CAUSES = {
    "alternate_master": Cause.ALTERNATE_MASTER,
    "steps_removed": Cause.STEPS_REMOVED,
    "not_accepted": Cause.NOT_ACCEPTED,
    "not_a_server": Cause.NOT_A_SERVER,
}
_RECEIVED = {kind: f"received_{kind.name.lower()}" for kind in MessageType}


class _Arrival(NamedTuple):
    source: str
    unicast: bool
    local_ns: int
    stamp: StampKind


class OrdinaryClock:
    """The protocol of one PTP instance, without I/O.

    Times are local (ns), and given with every call. Afterwards `actions` holds what is to be done, and `deadline_ns`
    when `tick` is wanted. Memory is bounded, whatever arrives.
    """

    def __init__(
        self, settings: Settings, *, identity: PortIdentity, now_ns: int, random: Random, place: str = ""
    ) -> None:
        """``random`` spreads in time what many clocks would otherwise do at the same instant. ``place`` names the
        interface in sentences."""
        self._port = Port(settings, identity, random, place)
        self._machine = PortStateMachine(self._port)
        self._machine.start(now_ns)
        self._handlers: dict[MessageType, Callable[[Any, _Arrival], None]] = {
            MessageType.ANNOUNCE: self._on_announce,
            MessageType.SYNC: self._on_sync,
            MessageType.FOLLOW_UP: self._on_follow_up,
            MessageType.DELAY_REQ: self._on_delay_req,
            MessageType.DELAY_RESP: self._on_delay_resp,
            MessageType.PDELAY_REQ: self._on_pdelay_req,
            MessageType.PDELAY_RESP: self._on_pdelay_resp,
            MessageType.PDELAY_RESP_FOLLOW_UP: self._on_pdelay_resp_follow_up,
            MessageType.SIGNALING: self._on_signaling,
            MessageType.MANAGEMENT: self._on_management,
        }

    @property
    def settings(self) -> Settings:
        """Its present settings."""
        return self._port.settings

    @property
    def state(self) -> PortState:
        """State of the port."""
        return self._machine.state

    @property
    def counters(self) -> Mapping[str, int]:
        """``received_...`` and ``sent_...`` by type, ``dropped_...`` by reason, ``missed_...`` answers."""
        return self._port.counters

    @property
    def data(self) -> DataSets:
        """The data sets as they are now."""
        return data_sets(self._port, self._machine)

    @property
    def time_properties(self) -> TimeProperties:
        """Those of `data`, without the rest."""
        return self._machine.time_properties

    @property
    def synchronization_metadata(self) -> SmpteSynchronizationMetadata | None:
        """The last one of the grandmaster that is followed (SMPTE ST 2059-2)."""
        return self._machine.metadata

    @property
    def deadline_ns(self) -> int:
        """When `tick` is wanted next, in local time: in the past, if at once; 2**63 - 1, if only after a message."""
        return self._machine.deadline_ns

    @property
    def trouble(self) -> str:
        """Why the port does not do its work, with a remedy; empty if it does. As of the last `update_trouble`."""
        return "" if self._machine.trouble is None else self._machine.trouble.reason

    def actions(self) -> list[Action]:
        """What is to be done, in order, since the last call."""
        actions, self._port.actions = self._port.actions, []
        return actions

    def handle_message(self, message: Message, *, source: str, unicast: bool, local_ns: int, stamp: StampKind) -> None:
        """A message arrived from address ``source``: by unicast, or for a group."""
        self._port.counters[_RECEIVED[message.type]] += 1
        reason = self._refusal(message, local_ns)
        if reason is None:
            self._handlers[message.type](message, _Arrival(source, unicast, local_ns, stamp))
            if self._machine.slave is None and message.type in _OF_FOLLOWERS:
                self._port.diagnosis.record(Cause.NO_GRANDMASTER, message, source, local_ns)
        else:
            self._port.drop(reason)
            if reason == "domain":
                self._port.diagnosis.record(Cause.OTHER_DOMAIN, message, source, local_ns, message.domain)
            elif reason == "sdo":
                sdo = message.major_sdo << 8 | message.minor_sdo
                self._port.diagnosis.record(Cause.OTHER_PROFILE, message, source, local_ns, sdo)

    def accepts_domain(self, message: Message) -> bool:
        """Whether a message is of this instance's domain and profile."""
        return message.domain == self.settings.domain and message.major_sdo == self.settings.major_sdo

    def refuse_unauthentic(self, reason: str, message: Message, source: str, local_ns: int) -> None:
        """A message arrived whose signature is missing or wrong."""
        self._port.counters[_RECEIVED[message.type]] += 1
        self._port.drop(reason)
        self._port.diagnosis.record(Cause.NOT_AUTHENTICATED, message, source, local_ns, AUTH_REASONS[reason])
        rarely = {"kind": reason, "address": source, "port": str(message.source), "reason": AUTH_REASONS[reason]}
        self._port.emit_event_rarely(local_ns, "not_authentic", **rarely)

    def refuse_version(self, version: int, source: str, local_ns: int) -> None:
        """A datagram of another PTP version arrived from an address."""
        self._port.diagnosis.record_version(version, source, local_ns)

    def update_trouble(self, now_ns: int) -> None:
        """Find out once a second why the port does not do its work: it is in `trouble`, and an event when new."""
        self._machine.update_trouble(now_ns)

    def message_departed(self, token: int, local_ns: int, stamp: StampKind) -> None:
        """The transmit stamp of a `SendMessage` with a token."""
        self._port.stamp_departure(token, local_ns, stamp)
        self._machine.check_calibrated()

    def may_answer(self, source: str, now_ns: int) -> bool:
        """Whether a management request of an address may be answered now; counts as an answer."""
        return self._port.answers.allows(source, now_ns)

    def tick(self, now_ns: int) -> None:
        """Do what is due."""
        self._machine.tick(now_ns)

    def serve(self, estimate: ClockEstimate, properties: TimeProperties) -> None:
        """The time from now on: what a master sends, and what offsetFromMaster is measured against otherwise.
        Before the first call the port goes no further than PRE_MASTER.
        """
        self._port.estimate, self._port.properties = estimate, properties

    def reconfigure(self, settings: Settings, now_ns: int) -> None:
        """Other priorities, quality, intervals or limits, without a break.

        Raises ValueError where anything else differs: that needs a new instance.
        """
        for name in _FIXED:
            if getattr(settings, name) != getattr(self.settings, name):
                raise ValueError(f"{name} cannot change while the instance runs")
        self._port.settings = settings
        self._machine.decide(now_ns)

    def fault(self, reason: str) -> None:
        """The port cannot work (FAULTY), such as when its interface is gone. It forgets all masters until `enable`."""
        self._machine.deactivate(PortState.FAULTY, reason=reason)

    def disable(self) -> None:
        """Neither send nor receive (DISABLED) until `enable`."""
        self._machine.deactivate(PortState.DISABLED)

    def enable(self, now_ns: int) -> None:
        """Start again, after `fault` or `disable`."""
        self._machine.deactivate(PortState.INITIALIZING)
        self._machine.start(now_ns)

    def end_contracts(self) -> None:
        """Cancel what was negotiated, before the caller ends."""
        self._machine.end_contracts()

    def _refusal(self, message: Message, now_ns: int) -> str | None:
        settings, own = self._port.settings, self._port.identity
        if self._machine.state in INACTIVE_STATES:
            return "disabled"
        if message.domain != settings.domain:
            return "domain"
        # minorSdoId came with version 2.1; before, it was reserved.
        if message.major_sdo != settings.major_sdo or (
            message.minor_version > 0 and message.minor_sdo != settings.minor_sdo
        ):
            return "sdo"
        if message.source.clock != own.clock:
            return None
        if message.source.port != own.port and message.type is MessageType.ANNOUNCE:
            self._port.emit_event_rarely(now_ns, "identity_in_use", clock=format_clock_identity(own.clock))
        return "own"

    def _on_announce(self, message: Announce, arrival: _Arrival) -> None:
        port, machine, now_ns = self._port, self._machine, arrival.local_ns
        reason = self._announce_refusal(message, arrival.source)
        if reason is not None:
            port.drop(reason)
            if reason == "master_only":
                other = format_clock_identity(message.grandmaster)
                port.emit_event_rarely(now_ns, "other_master", grandmaster=other, address=arrival.source)
            if reason in _CAUSES:
                port.diagnosis.record(_CAUSES[reason], message, arrival.source, now_ns, message.steps_removed)
            return
        assumed_ns = period_ns(port.settings.log_announce_interval)
        if not machine.foreign_masters.record_announce(message, arrival.source, now_ns, assumed_ns):
            port.drop("duplicate")
            return
        evicted = machine.foreign_masters.make_place(now_ns, machine.incumbent)
        if evicted is not None:
            port.drop("foreign_master_table_full")
            port.emit_event_rarely(now_ns, "foreign_master_table_full", dropped=str(evicted.port))
        machine.decide(now_ns)

    def _announce_refusal(self, message: Announce, source: str) -> str | None:
        settings, own = self._port.settings, self._port.identity.clock
        if settings.master_only:
            return "master_only"
        if message.flags & Flag.ALTERNATE_MASTER:
            return "alternate_master"
        if message.steps_removed >= MAX_STEPS_REMOVED:
            return "steps_removed"
        if message.grandmaster == own or own in path_trace(message):
            return "loop"
        if settings.accept and settings.accept.isdisjoint((message.source.clock, message.grandmaster)):
            return "not_accepted"
        if settings.unicast is Unicast.NEGOTIATED and source not in settings.servers:
            return "not_a_server"
        return None

    def _on_sync(self, message: Sync, arrival: _Arrival) -> None:
        slave = self._followed(message, arrival)
        if slave is not None:
            slave.sync_received(message, arrival.local_ns, arrival.stamp)
            self._machine.check_calibrated()

    def _on_follow_up(self, message: FollowUp, arrival: _Arrival) -> None:
        slave = self._followed(message, arrival)
        if slave is not None:
            slave.follow_up_received(message, arrival.local_ns)
            self._machine.check_calibrated()

    def _on_delay_resp(self, message: DelayResp, arrival: _Arrival) -> None:
        if self._is_ours(message.requesting) and self._uses(DelayMechanism.E2E):
            slave = self._followed(message, arrival)
            if slave is not None:
                slave.delay_resp_received(message, arrival.local_ns)
                self._machine.check_calibrated()

    def _on_delay_req(self, message: DelayReq, arrival: _Arrival) -> None:
        if self._machine.master is None:
            self._port.drop("not_master")
        elif self._uses(DelayMechanism.E2E):
            self._machine.master.answer_delay_req(message, arrival.source, arrival.unicast, arrival.local_ns)

    def _on_pdelay_req(self, message: PDelayReq, arrival: _Arrival) -> None:
        if self._uses(DelayMechanism.P2P) and self._machine.peer is not None:
            self._machine.peer.request_received(message, arrival.source, arrival.unicast, arrival.local_ns)

    def _on_pdelay_resp(self, message: PDelayResp, arrival: _Arrival) -> None:
        if self._is_ours(message.requesting) and self._uses(DelayMechanism.P2P) and self._machine.peer is not None:
            self._machine.peer.response_received(message, arrival.local_ns, arrival.stamp)

    def _on_pdelay_resp_follow_up(self, message: PDelayRespFollowUp, _arrival: _Arrival) -> None:
        if self._is_ours(message.requesting) and self._uses(DelayMechanism.P2P) and self._machine.peer is not None:
            self._machine.peer.response_follow_up_received(message)

    def _on_signaling(self, message: Signaling, arrival: _Arrival) -> None:
        if not arrival.unicast:
            self._port.drop("not_unicast")
        elif message.target == ALL_PORTS or self._is_ours(message.target):
            master, unicast_client = self._machine.master, self._machine.unicast_client
            unicast_master = master.unicast_master if master is not None else None
            signaling.handle(
                message,
                arrival.source,
                arrival.local_ns,
                port=self._port,
                unicast_master=unicast_master,
                unicast_client=unicast_client,
            )
            self._machine.apply_granted_rate(arrival.local_ns)

    def _on_management(self, message: Management, _arrival: _Arrival) -> None:
        slave = self._machine.slave
        if slave is None or message.source.clock != slave.foreign_master.announce.grandmaster:
            return
        for raw in message.tlvs:
            try:
                tlv = understand(raw)
            except MalformedMessage:
                self._port.drop("tlv")
                continue
            if isinstance(tlv, SmpteSynchronizationMetadata):
                self._machine.metadata = tlv

    def _is_ours(self, port: PortIdentity) -> bool:
        if port != self._port.identity:
            self._port.drop("not_for_us")
        return port == self._port.identity

    def _uses(self, mechanism: DelayMechanism) -> bool:
        if mechanism is not self._port.settings.delay_mechanism:
            self._port.drop("mechanism")
        return mechanism is self._port.settings.delay_mechanism

    def _followed(self, message: Message, arrival: _Arrival) -> Slave | None:
        slave = self._machine.slave
        if slave is not None and message.source == slave.foreign_master.port:
            return slave
        master = self._machine.foreign_masters.get(message.source)
        works = master is not None and master.record_other_message(message, arrival.local_ns)
        if works and self._machine.state is PortState.LISTENING:
            self._machine.decide(arrival.local_ns)
        timeout = self._port.settings.announce_receipt_timeout
        if master is None or arrival.local_ns >= master.expires_ns(timeout):
            self._port.diagnosis.record(Cause.SYNC_WITHOUT_ANNOUNCE, message, arrival.source, arrival.local_ns)
        self._port.drop("not_parent")
        return None
