"""Serves senders: leads a clock for the receivers that they name, and publishes it as airptp and cliairplay do.

The timeline is CLOCK_MONOTONIC, since clients of airptp read that clock themselves and take it for the leader's time.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter

import msgspec

from phasegraph import LocalClock, NodeError, bracketed_offset
from phasegraph.net import Arrival, Departure, Network, PortUnavailable, StampedSocket

from ..engine import LeaderClock, PtpEngine, TimingPeer, TimingRole
from ..filters import EnvelopeFilter
from ..mapped_file import MappedFile
from ..participant import EmitEvent, TimingParticipant
from ..timing_sockets import TimingSockets
from . import airptp, cliairplay
from .receiver_registry import ReceiverRegistry

PUBLISH_NS = 100_000_000
_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_S = 1_000_000_000


class SenderOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which senders are served, and how."""

    serve_airptp: bool = False
    serve_cliairplay: bool = False
    event_port: int = 319
    general_port: int = 320
    control_port: int = cliairplay.CONTROL_PORT
    directory: str

    @property
    def any(self) -> bool:
        """Whether any sender is served."""
        return self.serve_airptp or self.serve_cliairplay


class SenderServer:
    """One clock that leads, for all senders."""

    def __init__(
        self,
        options: SenderOptions,
        network: Network,
        local: LocalClock,
        sockets: TimingSockets,
        identity: int,
        emit_event: EmitEvent,
    ) -> None:
        """``sockets`` and ``identity`` are those of the whole server. Raises NodeError where a port or a memory is
        not available.
        """
        now = local.now_ns()
        self.refused: Counter[str] = Counter()
        """Commands that are not understood, by reason."""
        self.receivers = ReceiverRegistry()
        self.commands: list[StampedSocket] = []
        """Sockets on the loopback interface, from which `handle_command` gets its datagrams."""
        self._options = options
        self._network = network
        self._local = local
        self._identity = identity
        self._emit_event = emit_event
        self._timeline_offset_ns = self._offset_of(time.CLOCK_MONOTONIC)
        engine = PtpEngine(TimingRole.LEAD, identity, (), now, timeline=self.timeline_ns)
        clock = LeaderClock(EnvelopeFilter, silence_ns=_S, now_ns=now)
        self._participant = TimingParticipant(engine, clock, sockets, emit_event)
        self._families = sockets.families
        self._started_ns = self.timeline_ns(now)
        self._updates = 0
        self._status_due_ns = self._sample_due_ns = now
        with contextlib.ExitStack() as undo:
            for port in self._command_ports(sockets):
                for address, ipv6 in (("127.0.0.1", False), ("::1", True)):
                    self._open_command_socket(port, address, ipv6, undo)
            self._status = self._sample = None
            if options.serve_airptp:
                self._status = MappedFile(airptp.NAME, options.directory, airptp.STATUS_SIZE)
                undo.callback(self._status.close, remove=True)
            if options.serve_cliairplay:
                self._sample = MappedFile(cliairplay.NAME, options.directory, cliairplay.SIZE)
                undo.callback(self._sample.close, remove=True)
                self._sample.memory[: cliairplay.MAIN.start] = cliairplay.encode_header()
            self._resources = undo.pop_all()

    def timeline_ns(self, local_ns: int) -> int:
        """The leader's time at a local time."""
        return local_ns + self._timeline_offset_ns

    def concerns(self, item: Arrival | Departure) -> bool:
        """Whether a datagram is of a receiver, or may have left for one."""
        return isinstance(item, Departure) or item.source[0] in self.receivers.addresses

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
            return
        try:
            request = cliairplay.parse_control(item.data)
        except ValueError as error:
            self.refused["control"] += 1
            if self.refused["control"] == 1:
                self._emit_event("refused", reason=str(error))
            return
        self.receivers.apply_control(request)
        self._name_receivers()
        with contextlib.suppress(OSError):  # a client that is gone needs no answer
            socket.send(cliairplay.acknowledgement(len(self.receivers.addresses), self._identity), item.source)

    def advance(self, now_ns: int) -> int:
        """Send and publish what is due; returns the next due time."""
        if now_ns >= self._sample_due_ns:
            self._sample_due_ns = now_ns + PUBLISH_NS
            self._timeline_offset_ns = self._offset_of(time.CLOCK_MONOTONIC)
            self._publish_sample(now_ns)
        if now_ns >= self._status_due_ns:
            self._status_due_ns = now_ns + airptp.FRESH_S * _S
            self._publish_status(now_ns)
        if not self.receivers.addresses:
            return self._sample_due_ns
        self._participant.advance(now_ns)
        return min(self._sample_due_ns, self._participant.engine.deadline_ns)

    def metrics(self) -> dict[str, int]:
        """Counters, by name."""
        counters = self._participant.engine.counters
        return {
            "receivers": len(self.receivers.addresses),
            "receivers_refused": self.receivers.refused,
            "receivers_ready": self._participant.engine.readiness.count(self._local.now_ns()),
            **{f"sender_refused_{reason}": count for reason, count in self.refused.items()},
            **{f"sender_{name}": count for name, count in counters.items()},
        }

    def close(self) -> None:
        """Close the sockets, and remove the memories: their clients look for them again."""
        self._resources.close()

    def _command_ports(self, sockets: TimingSockets) -> list[int]:
        options = self._options
        own = sockets.interface.address in _LOOPBACK  # then the server's own sockets get these datagrams
        ports = [options.general_port] if options.serve_airptp and not own else []
        return ports + ([options.control_port] if options.serve_cliairplay else [])

    def _open_command_socket(self, port: int, address: str, ipv6: bool, undo: contextlib.ExitStack) -> None:
        try:
            socket = self._network.stamped(port, self._network.interface(address, ipv6=ipv6), ipv6=ipv6)
        except PortUnavailable as error:
            raise NodeError(str(error), f"{error.remedy}; or serve no senders of this kind") from error
        except OSError:
            return  # a system without one of the two families
        undo.callback(socket.close)
        self.commands.append(socket)

    def _handle_airptp(self, data: bytes) -> None:
        command = airptp.parse_command(data)
        if command is not None:
            self.receivers.apply_airptp(command)
            self._name_receivers()

    def _name_receivers(self) -> None:
        options, engine = self._options, self._participant.engine
        wanted = sorted(self.receivers.addresses)
        if wanted != [peer.address for peer in engine.peers]:
            engine.set_peers(TimingPeer(address, options.event_port, options.general_port) for address in wanted)
            self._emit_event("receivers", addresses=" ".join(wanted))

    def _offset_of(self, clock: int) -> int:
        if self._local.virtual:
            return 0
        return bracketed_offset(self._local.now_ns, lambda: time.clock_gettime_ns(clock))

    def _publish_status(self, now_ns: int) -> None:
        if self._status is not None:
            now_s = (now_ns + self._offset_of(time.CLOCK_REALTIME)) // _S
            ports = self._options.event_port, self._options.general_port
            status = airptp.encode_status(
                self._identity, now_s, ports, ipv4=False in self._families, ipv6=True in self._families
            )
            self._status.memory[:] = status

    def _publish_sample(self, now_ns: int) -> None:
        if self._sample is None:
            return
        self._updates += 1
        realtime_ns = now_ns + self._offset_of(time.CLOCK_REALTIME)
        sample = cliairplay.CliairplaySample(
            updates=self._updates,
            clock=self._identity,
            realtime_ns=realtime_ns,
            offset_ns=self.timeline_ns(now_ns) - realtime_ns,
            started_ns=self._started_ns,
        )
        self._sample.write_twice(sample.encode(), cliairplay.MAIN, cliairplay.SECONDARY)
