"""Serves senders: leads a clock for the receivers that they name, and publishes it as airptp and cliairplay do.

The timeline is CLOCK_MONOTONIC, since clients of airptp read that clock themselves and take it for the leader's time.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection
from typing import NamedTuple

from phasegraph import ClockState, LocalClock, bracketed_offset
from phasegraph.ieee1588 import parse_clock_identity
from phasegraph.net import Arrival, Departure, Network, StampedSocket

from ..engine import LeaderClock, PtpEngine, TimingPeer, TimingRole
from ..filters import EnvelopeFilter
from ..nqptp.nqptp_record import NqptpRecord
from ..participant import EmitEvent, TimingParticipant
from ..server_options import NqptpServerOptions
from ..timing_sockets import TimingSockets, open_loopback
from . import airptp
from .airptp_status import AirptpStatusWriter
from .cliairplay_service import CliairplayService
from .receiver_registry import ReceiverRegistry

PUBLISH_NS = 100_000_000
_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_S = 1_000_000_000
_KNOWN = (ClockState.LOCKED, ClockState.HOLDOVER)


class SenderServer:
    """One clock that leads, for all senders."""

    def __init__(
        self,
        options: NqptpServerOptions,
        receivers: ReceiverRegistry,
        own_addresses: Collection[str],
        network: Network,
        local: LocalClock,
        sockets: TimingSockets,
        identity: int,
        emit_event: EmitEvent,
    ) -> None:
        """``sockets`` and ``identity`` are those of the whole server. Receivers at ``own_addresses`` are on this
        computer: they read the time in shared memory, and get no packets. Raises NodeError where a port or a memory
        is not available.
        """
        now = local.now_ns()
        self.receivers = receivers
        self.commands: list[StampedSocket] = []
        """Sockets on the loopback interface, from which `handle_command` gets its datagrams."""
        self._options = options
        self._own_addresses = own_addresses
        self._remote: frozenset[str] = frozenset()
        """Receivers on other computers."""
        self._local = local
        self._identity = identity
        self._emit_event = emit_event
        self._timeline_offset_ns = self._offset_of(time.CLOCK_MONOTONIC)
        self._engine = engine = PtpEngine(TimingRole.LEAD, identity, (), now, timeline=self.timeline_ns)
        clock = LeaderClock(EnvelopeFilter, silence_ns=_S, now_ns=now)
        self._participant = TimingParticipant(engine, clock, sockets, emit_event)
        self._started_ns = self.timeline_ns(now)
        self._followed, self._followed_ns = "", 0
        """The receiver's clock that leads in place of ours, and its time when it began to."""
        self._status_due_ns = self._sample_due_ns = now
        with contextlib.ExitStack() as undo:
            for port in self._command_ports(sockets):
                option = "--no-airptp" if port == options.general_port else "--no-cliairplay"
                opened = open_loopback(network, port, f"or serve no senders of this kind: {option}")
                for socket in opened:
                    undo.callback(socket.close)
                self.commands += opened
            self._status: AirptpStatusWriter | None = None
            self._service: CliairplayService | None = None
            if options.serve_airptp:
                ports = options.event_port, options.general_port
                self._status = AirptpStatusWriter(
                    options.directory, identity, ports, ipv4=False in sockets.families, ipv6=True in sockets.families
                )
                undo.callback(self._status.close)
            if options.serve_cliairplay:
                self._service = CliairplayService(options.directory, self.receivers, emit_event)
                undo.callback(self._service.close)
            self._resources = undo.pop_all()
        self._name_receivers()

    def timeline_ns(self, local_ns: int) -> int:
        """The leader's time at a local time."""
        return local_ns + self._timeline_offset_ns

    def record(self, now_ns: int) -> NqptpRecord:
        """The senders' clock as receivers of this computer read it; all zero while it is not known."""
        shared = self._shared_timeline(now_ns)
        if not shared.known:
            return NqptpRecord()
        offset_ns = shared.time_ns - now_ns
        since_ns = max(0, shared.started_ns - offset_ns)
        return NqptpRecord(clock=shared.clock, local_ns=now_ns, offset_ns=offset_ns, since_ns=since_ns)

    def concerns(self, item: Arrival | Departure) -> bool:
        """Whether a datagram is of a receiver, or may have left for one."""
        return isinstance(item, Departure) or item.source[0] in self._remote

    def handle_socket_item(self, item: Arrival | Departure) -> None:
        """Handle an arrival or a departure of the server's sockets."""
        if isinstance(item, Arrival) and item.source[0] in _LOOPBACK and self._options.serve_airptp:
            self._handle_airptp(item.data)
        if self.concerns(item):
            self._participant.handle_socket_item(item, self._local.now_ns)

    def handle_command(self, socket: StampedSocket, item: Arrival) -> None:
        """Handle a datagram of one of `commands`."""
        if socket.port == self._options.general_port:
            self._handle_airptp(item.data)
        elif self._service is not None:
            shared = self._shared_timeline(self._local.now_ns())
            if self._service.handle_command(socket, item, shared.clock, leads=shared.leads):
                self._name_receivers()

    def advance(self, now_ns: int) -> int:
        """Send and publish what is due; returns the next due time."""
        if self._remote:
            self._participant.advance(now_ns)
        if now_ns >= self._sample_due_ns:
            self._sample_due_ns = now_ns + PUBLISH_NS
            self._timeline_offset_ns = self._offset_of(time.CLOCK_MONOTONIC)
            self._publish_sample(now_ns)
        if now_ns >= self._status_due_ns:
            self._status_due_ns = now_ns + airptp.FRESH_S * _S
            self._publish_status(now_ns)
        return min(self._sample_due_ns, self._participant.engine.deadline_ns) if self._remote else self._sample_due_ns

    def metrics(self) -> dict[str, int]:
        """Counters, by name."""
        counters = self._participant.engine.counters
        return {
            **self.receivers.metrics(),
            "receivers_ready": self._engine.readiness.count(self._local.now_ns()),
            "receivers_silent": self._engine.silent_peers,
            "receiver_leads": int(self._receiver_leads),
            **({} if self._service is None else self._service.metrics()),
            **{f"sender_{name}": count for name, count in counters.items()},
        }

    def close(self) -> None:
        """Close the sockets, and remove the memories: their clients look for them again."""
        self._resources.close()

    def _command_ports(self, sockets: TimingSockets) -> list[int]:
        options = self._options
        own = sockets.interface.address in _LOOPBACK  # then the server's own sockets get these datagrams
        ports = [options.general_port] if options.serve_airptp and not own else []
        return ports + ([options.sender_control_port] if options.serve_cliairplay else [])

    def _handle_airptp(self, data: bytes) -> None:
        command = airptp.parse_command(data)
        if command is not None:
            self.receivers.apply_airptp(command)
            self._name_receivers()

    def _name_receivers(self) -> None:
        options, engine = self._options, self._engine
        self._remote = self.receivers.addresses - {*self._own_addresses}
        wanted = sorted(self._remote)
        if wanted != [peer.address for peer in engine.peers]:
            engine.set_yielding(self.receivers.insists_alone)
            engine.set_peers(TimingPeer(address, options.event_port, options.general_port) for address in wanted)
            self._emit_event("receivers", addresses=" ".join(wanted))

    def _offset_of(self, clock: int) -> int:
        if self._local.virtual:
            return 0
        return bracketed_offset(self._local.now_ns, lambda: time.clock_gettime_ns(clock))

    def _publish_status(self, now_ns: int) -> None:
        if self._status is not None:
            self._status.renew((now_ns + self._offset_of(time.CLOCK_REALTIME)) // _S)

    def _publish_sample(self, now_ns: int) -> None:
        if self._service is not None:
            shared = self._shared_timeline(now_ns)
            self._service.publish(
                clock=shared.clock,
                realtime_ns=now_ns + self._offset_of(time.CLOCK_REALTIME),
                timeline_ns=shared.time_ns,
                started_ns=shared.started_ns,
                leads=shared.leads,
                locked=shared.known,
            )

    @property
    def _receiver_leads(self) -> bool:
        # An engine that has not been called yet does not lead, and has nothing to follow either.
        return bool(self._remote) and self._engine.follower is not None

    def _shared_timeline(self, now_ns: int) -> _SharedTimeline:
        if not self._receiver_leads:
            return _SharedTimeline(self.timeline_ns(now_ns), self._identity, self._started_ns)
        estimate = self._participant.tracker.estimate
        if estimate.state not in _KNOWN:
            return _SharedTimeline(self.timeline_ns(now_ns), self._identity, self._started_ns, False, False)
        if estimate.grandmaster != self._followed:
            self._followed, self._followed_ns = estimate.grandmaster, estimate.reference_at(now_ns)
        clock = parse_clock_identity(estimate.grandmaster)
        return _SharedTimeline(estimate.reference_at(now_ns), clock, self._followed_ns, False)


class _SharedTimeline(NamedTuple):
    time_ns: int
    clock: int
    started_ns: int
    """The timeline's time when it began."""
    leads: bool = True
    """Whether it is ours, and not that of a receiver which insists on leading."""
    known: bool = True
