"""Serves Music Assistant on the clock of a running airptp, to which its receivers are named."""

from __future__ import annotations

import contextlib
import time
import zlib

from phasegraph import LocalClock
from phasegraph.net import Arrival, Network, StampedSocket

from ..nqptp.nqptp_record import MemoryNotServed, NqptpRecord
from ..participant import EmitEvent
from ..senders import airptp
from ..senders.cliairplay_service import CliairplayService
from ..senders.receiver_registry import ReceiverRegistry
from ..timing_sockets import open_loopback
from .running_servers import AirptpReader, clock_offset_ns

PUBLISH_NS = 100_000_000


class AttachedSenders:
    """Streams of cliairplay play on the timeline that airptp leads: two kinds of client, one clock."""

    def __init__(
        self,
        reader: AirptpReader,
        receivers: ReceiverRegistry,
        control_port: int,
        directory: str,
        network: Network,
        local: LocalClock,
        emit_event: EmitEvent,
    ) -> None:
        """Raises NodeError where the control port or the memory is not available."""
        self.receivers = receivers
        self._reader = reader
        self._local = local
        self._emit_event = emit_event
        self._named: dict[str, int] = {}
        """Receivers that airptp has got, and the clock that it led then: a new server has to get them again."""
        self._due_ns = local.now_ns()
        with contextlib.ExitStack() as undo:
            self.commands = open_loopback(network, control_port, "or serve no streams of cliairplay: --no-cliairplay")
            """Sockets whose datagrams `handle_command` gets."""
            for socket in self.commands:
                undo.callback(socket.close)
            self._forward = network.stamped(0, network.interface("127.0.0.1"))
            undo.callback(self._forward.close)
            self._service = CliairplayService(directory, self.receivers, emit_event)
            undo.callback(self._service.close)
            self._resources = undo.pop_all()
        self._name_receivers()

    def handle_command(self, socket: StampedSocket, item: Arrival) -> None:
        """Handle a datagram of one of `commands`."""
        record = self._record()
        if self._service.handle_command(socket, item, record.clock):
            self._name_receivers()

    def advance(self, now_ns: int) -> int:
        """Publish what is due; returns the next due time."""
        if now_ns < self._due_ns:
            return self._due_ns
        self._due_ns = now_ns + PUBLISH_NS
        record = self._record()
        if record.clock:
            self._service.publish(
                clock=record.clock,
                realtime_ns=record.local_ns + clock_offset_ns(self._local, time.CLOCK_REALTIME),
                timeline_ns=record.local_ns + record.offset_ns,
                started_ns=record.since_ns + record.offset_ns,
            )
            if any(clock != record.clock for clock in self._named.values()):
                self._name_receivers()
        return self._due_ns

    def metrics(self) -> dict[str, int]:
        """Counters, by name."""
        return self.receivers.metrics() | self._service.metrics()

    def close(self) -> None:
        """Remove the receivers from airptp, and close the sockets and the memory."""
        for address in [*self._named]:
            self._send(address, None)
        self._resources.close()

    def _record(self) -> NqptpRecord:
        try:
            return self._reader.read_record() or NqptpRecord()
        except MemoryNotServed:
            return NqptpRecord()

    def _name_receivers(self) -> None:
        clock, wanted = self._record().clock, self.receivers.addresses
        for address in self._named.keys() - wanted:
            self._send(address, None)
            del self._named[address]
        for address in wanted:
            if self._named.get(address) != clock:
                self._send(address, address)
                self._named[address] = clock
        self._emit_event("receivers", addresses=" ".join(sorted(wanted)))

    def _send(self, address: str, added: str | None) -> None:
        # The number of a receiver is made of its address: an airptp that restarts gets the same one.
        command = airptp.AirptpCommand(zlib.crc32(address.encode()), added)
        try:
            port = self._reader.status().general_port
            self._forward.send(airptp.encode_command(command), ("127.0.0.1", port))
        except (MemoryNotServed, OSError) as error:
            self._emit_event("cannot_send", reason=str(error), address=address)
