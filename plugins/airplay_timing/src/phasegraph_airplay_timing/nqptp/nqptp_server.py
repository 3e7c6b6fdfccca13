"""The server in place of nqptp: clients name their peers on the control port, and read the time in shared memory."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec
import trio

from phasegraph import ClockState, LocalClock, Metric, NodeError
from phasegraph.net import Arrival, Departure, Network, StampedSocket, port_holders

from ..attached.attached_senders import AttachedSenders
from ..attached.running_servers import AirptpReader, RunningServer, find_running_server
from ..engine import LeaderClock, PtpEngine, TimingPeer, TimingRole
from ..engine.ptp_engine import PORT
from ..filters import FILTERS, SPARES
from ..participant import EmitEvent, TimingParticipant
from ..senders.receiver_registry import ReceiverRegistry
from ..senders.sender_server import SenderServer
from ..server_options import NqptpServerOptions
from ..sessions.airplay_session import AirplaySession
from ..sessions.session_server import SessionServer
from ..timing_sockets import TimingSockets, families_of, make_identity, open_loopback
from .client_commands import CommandRefusal, RefusedCommand, parse
from .clients import NqptpClient, NqptpClients, RecordPublisher
from .nqptp_record import NqptpRecord
from .session_store import SessionStore
from .shared_memory import KEPT_NS, MemoryWriter

PUBLISH_NS = 100_000_000
SILENCE_NS = 2_000_000_000
LOOK_NS = 1_000_000_000
"""How often it is seen whether another program still has the ports."""
_LOOPBACK = ("127.0.0.1", "::1")
_NUMBERS = 0x7000
"""Number of portNumbers, from 0x8008 on."""


class PeerGroup(msgspec.Struct):
    """A set of peers that some clients follow, and the clock of the leader among them."""

    participant: TimingParticipant
    publication: RecordPublisher
    record: NqptpRecord = NqptpRecord()

    @property
    def synced(self) -> bool:
        """Whether the leader's Syncs come."""
        return self.participant.tracker.estimate.state in (ClockState.ACQUIRING, ClockState.LOCKED)


class CommandService(Protocol):
    """Senders that are served: here, or beside the server of another program."""

    commands: list[StampedSocket]

    def handle_command(self, socket: StampedSocket, item: Arrival) -> None:
        """Handle a datagram of one of ``commands``."""

    def advance(self, now_ns: int) -> int:
        """Send and publish what is due; returns the next due time."""

    def metrics(self) -> dict[str, int]:
        """Counters, by name."""

    def close(self) -> None:
        """Close the sockets, and remove the memories."""


class NqptpServer:
    """`run` serves until it is cancelled. Clients with the same peers share one clock of them.

    Where another program serves on the ports of PTP already, its time is read: the clients that it does not serve are
    served with that, until it ends. Then this server takes the ports.
    """

    def __init__(
        self,
        options: NqptpServerOptions,
        network: Network,
        local: LocalClock,
        emit_event: EmitEvent,
        holders: Callable[[int], Sequence[str]] | None = None,
    ) -> None:
        """``holders`` says which other programs have a UDP port: by default `port_holders`, and none in virtual time.

        Raises RefusedCommand for a name that is none.
        """
        self.refused: Counter[str] = Counter()
        """Commands that were refused, by reason."""
        self.strangers = 0
        """PTP datagrams from hosts that no client follows."""
        self.clients = NqptpClients(options.names)
        self.groups: dict[tuple[str, ...], PeerGroup] = {}
        """By the addresses of their peers."""
        self._options = options
        self._network = network
        self._local = local
        self._emit_event = emit_event
        self._memories: dict[str, MemoryWriter] = {}
        self._sessions = SessionStore(options.directory, options.state)
        self._written: dict[str, NqptpRecord] = {}
        self._sockets: TimingSockets | None = None
        self._running: RunningServer | None = None
        """The server of another program, to which this one is attached."""
        self._copies = False
        """Whether all memories get what that server publishes."""
        self._own_addresses: frozenset[str] = frozenset()
        self._senders: SenderServer | None = None
        self._attached: AttachedSenders | None = None
        self._receivers = ReceiverRegistry()
        """Receivers that senders have named: they stay when this server takes another one's place."""
        self._sessions_socket: SessionServer | None = None
        self._identity = 0
        self._begun = 0
        self._woken = trio.Event()
        if holders is None:
            holders = _no_holders if local.virtual else port_holders
        self._holders = holders

    def metrics(self) -> dict[str, Metric]:
        """Counters, by name."""
        counters: Counter[str] = Counter()
        for each in self.groups.values():
            counters.update(each.participant.engine.counters)
        return {
            "clients": len(self.clients.by_name),
            "clients_active": sum(client.active for client in self.clients.by_name.values()),
            "clocks": len(self.groups),
            "clocks_known": sum(each.record != NqptpRecord() for each in self.groups.values()),
            "dropped_stranger": self.strangers,
            **{f"refused_{reason}": count for reason, count in self.refused.items()},
            **counters,
            **({} if (service := self._service) is None else service.metrics()),
            **({} if self._running is None else {"attached": self._running.program}),
        }

    @property
    def _service(self) -> CommandService | None:
        return self._senders or self._attached

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve. Raises NodeError where a port, the interface or a shared memory cannot be had."""
        if self._options.serve_airptp or self._options.serve_cliairplay:
            self._sessions.load_receivers(self._receivers)
        while True:
            self._running = self._find_running()
            with contextlib.ExitStack() as resources:
                control, sockets = self._open(resources)
                async with trio.open_nursery() as nursery:
                    for socket in sockets:
                        nursery.start_soon(self._read, socket)
                    for socket in control:
                        nursery.start_soon(self._listen, socket)
                    if self._sessions_socket is not None:
                        await nursery.start(self._sessions_socket.run)
                    if self._service is not None:
                        for socket in self._service.commands:
                            nursery.start_soon(self._listen_to_senders, self._service, socket)
                    for kept in [*self._sessions.stored_commands(iter(self._options.names))]:
                        self.apply_command(kept)
                    self._follow()
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
                    self._emit_event("serving", names=" ".join(self.clients.by_name))
                    await self._publish()
                    nursery.cancel_scope.cancel()
            assert self._running is not None
            self._emit_event("detached", program=self._running.program)

    def _open(self, resources: contextlib.ExitStack) -> tuple[list[StampedSocket], list[StampedSocket]]:
        # Memories, control sockets, PTP sockets, and the server of senders.
        options = self._options
        resources.callback(self._close)
        for name in self._sessions.names() if options.serve_nqptp else ():
            with contextlib.suppress(RefusedCommand):
                self.clients.admit(name)
        for ipv6 in families_of(self._network, options.interface):
            interface = self._network.interface(options.interface, ipv6=ipv6)
            self._own_addresses |= {interface.address, interface.address6, *_LOOPBACK} - {""}
        if self._running is not None:
            return self._open_attached(self._running, resources), []
        control = self._open_receivers(resources)
        families = families_of(self._network, options.interface)
        self._sockets = sockets = TimingSockets(
            self._network, options.interface, options.event_port, options.general_port, families
        )
        resources.callback(sockets.close)
        self._identity = make_identity(sockets.interface, "serve", virtual=self._local.virtual)
        if options.sessions is not None:
            own = [each for each in (sockets.interface.address, sockets.interface.address6) if each]
            self._sessions_socket = SessionServer(
                options.sessions,
                lambda: AirplaySession(self._identity, own),
                self._on_sessions_changed,
                self._network,
                options.interface,
                self._local,
                self._emit_event,
                options.filter,
            )
        self._senders = self._serve_senders(sockets)
        if self._senders is not None:
            resources.callback(self._senders.close)
        for note in dict.fromkeys([note for socket in control for note in socket.notes] + sockets.notes):
            self._emit_event("socket", note=note)
        return control, [*sockets]

    def _open_receivers(self, resources: contextlib.ExitStack) -> list[StampedSocket]:
        options = self._options
        if not options.serve_nqptp:
            return []
        self._open_memories(self.clients.by_name)
        remedy = "or choose another --control-port, or serve no receivers: --no-nqptp"
        control = open_loopback(self._network, options.control_port, remedy)
        for socket in control:
            resources.callback(socket.close)
        return control

    def _open_memories(self, names: Iterable[str]) -> None:
        now_ns = self._local.now_ns()
        for name in names:
            self._memories[name] = MemoryWriter(name, self._options.directory, now_ns=now_ns)

    def _open_attached(self, running: RunningServer, resources: contextlib.ExitStack) -> list[StampedSocket]:
        # What the other program does not serve, and what can be served with its time.
        options, control = self._options, []
        self._emit_event("attached", program=running.program)
        self._copies = running.program == "nqptp"
        if self._copies:
            self._open_memories(name for name in self.clients.by_name if name != "/nqptp")
        else:
            control = self._open_receivers(resources)
        if options.serve_cliairplay and isinstance(running.reader, AirptpReader):
            self._attached = AttachedSenders(
                running.reader,
                self._receivers,
                options.sender_control_port,
                options.directory,
                self._network,
                self._local,
                self._emit_event,
            )
            resources.callback(self._attached.close)
        for program, wanted in (("airptp", options.serve_airptp), ("cliairplay", options.serve_cliairplay)):
            if wanted and program != running.program and (program == "airptp" or self._attached is None):
                self._emit_event("not_served", program=program, reason=f"{running.program} has the ports of PTP")
        if options.sessions is not None:
            self._emit_event("not_served", program="sessions", reason=f"{running.program} has the ports of PTP")
        if not control and not self._memories and self._attached is None:
            raise NodeError(
                f"UDP port {options.event_port} is held by {' and '.join(self._port_holders())}, "
                "and nothing is left to serve beside it",
                "stop it; or use what it knows with a clock of kind nqptp",
            )
        return control

    def _close(self) -> None:
        for memory in self._memories.values():
            memory.close()
        self._memories.clear()
        self._written.clear()
        self.groups.clear()
        self._sockets = self._senders = self._attached = self._sessions_socket = None
        self._copies = False

    def apply_command(self, data: bytes) -> None:
        """Apply a datagram of the control port. A refused command is counted, and reported the first time."""
        try:
            command = parse(data)
            if self.clients.admit(command.name):
                self._map(command.name)
            changed = self.clients.apply_command(command)
        except RefusedCommand as refusal:
            self.refused[refusal.refusal.value] += 1
            if self.refused[refusal.refusal.value] == 1:
                self._emit_event("refused", reason=str(refusal))
            return
        self._written.pop(command.name, None)  # whatever is there, what a client asks for is written
        if changed:
            client = self.clients.by_name[command.name]
            self._emit_event("client", client=command.name, active=client.active, peers=" ".join(client.peers))
            self._follow()
            try:
                self._sessions.store_commands(command.name, client)
            except OSError as error:
                self._emit_event("not_kept", client=command.name, reason=str(error.strerror))
        self._woken.set()

    def _map(self, name: str) -> None:
        try:
            self._memories[name] = MemoryWriter(name, self._options.directory, now_ns=self._local.now_ns())
            self._sessions.keep_name(name)
        except NodeError as error:
            del self.clients.by_name[name]
            raise RefusedCommand(CommandRefusal.MEMORY, str(error)) from error
        except OSError as error:
            self._emit_event("not_kept", client=name, reason=str(error.strerror))

    def _follow(self) -> None:
        # Groups without a client end; the others keep their clock.
        wanted = self.clients.groups | {session.peers for session in self._open_sessions if session.peers}
        if self._running is not None or self._senders is not None:
            wanted = {peers for peers in wanted if not self._own_addresses & set(peers)}
        if self._running is not None:
            for peers in wanted:
                reason = f"{self._running.program} has the ports of PTP, and leads"
                self._emit_event("cannot_follow", peers=" ".join(peers), reason=reason)
            return
        for peers in self.groups.keys() - wanted:
            del self.groups[peers]
        for peers in wanted - self.groups.keys():
            self.groups[peers] = self._begin(peers)

    @property
    def _open_sessions(self) -> list[AirplaySession]:
        return [] if self._sessions_socket is None else self._sessions_socket.sessions

    def _on_sessions_changed(self) -> None:
        if self._sockets is not None:
            self._follow()
            self._woken.set()

    def _begin(self, peers: tuple[str, ...]) -> PeerGroup:
        options, now = self._options, self._local.now_ns()
        assert self._sockets is not None
        self._begun += 1
        engine = PtpEngine(
            TimingRole.FOLLOW,
            self._identity,
            [TimingPeer(address, options.event_port, options.general_port) for address in peers],
            now,
            number=PORT + self._begun % _NUMBERS,
            spares=SPARES[options.filter],
        )
        tracker = LeaderClock(FILTERS[options.filter], silence_ns=SILENCE_NS, now_ns=now)
        kept = (self._memories[name].kept for name, each in self.clients.by_name.items() if each.peers == peers)
        publication = RecordPublisher(max(kept, key=lambda record: record.local_ns, default=NqptpRecord()))
        return PeerGroup(TimingParticipant(engine, tracker, self._sockets, self._emit_event, self._begun), publication)

    async def _read(self, socket: StampedSocket) -> None:
        while True:
            for item in await socket.receive():
                senders = self._senders
                if senders is not None:
                    senders.handle_socket_item(item)
                    self._store_receivers()
                concerned = self._concerned(item)
                for participant in concerned:
                    participant.handle_socket_item(item, self._local.now_ns)
                    if participant.engine.deadline_ns <= self._local.now_ns():
                        self._woken.set()
                if not concerned and isinstance(item, Arrival) and not (senders and senders.concerns(item)):
                    self.strangers += 1

    def _concerned(self, item: Arrival | Departure) -> list[TimingParticipant]:
        if not isinstance(item, Arrival):
            return [each.participant for each in self.groups.values()]
        address = item.source[0]
        named = [each.participant for peers, each in self.groups.items() if address in peers]
        # Else it may be a sender that was named by its address of the other family.
        return named or [each.participant for each in self.groups.values() if each.participant.engine.concerns(address)]

    async def _listen(self, socket: StampedSocket) -> None:
        while True:
            for item in await socket.receive():
                if isinstance(item, Arrival):
                    self.apply_command(item.data)

    async def _publish(self) -> None:
        # Returns when the server of another program, to which this one is attached, has ended.
        look_ns = 0
        while True:
            now = self._local.now_ns()
            for each in self.groups.values():
                each.record = each.publication.record(each.participant.advance(now))
            for session in self._open_sessions:
                if session.peers in self.groups:
                    session.update(self.groups[session.peers].participant.tracker.estimate, now)
            for name, memory in self._memories.items():
                record = self._record_of(self.clients.by_name[name], now - memory.kept.local_ns <= KEPT_NS)
                if record is not None and record != self._written.get(name):
                    self._written[name] = record
                    memory.write(record)
            due = min((each.participant.engine.deadline_ns for each in self.groups.values()), default=now + PUBLISH_NS)
            if self._service is not None:
                due = min(due, self._service.advance(now))
            if self._running is not None and now >= look_ns:
                if not self._port_holders():
                    return
                look_ns = now + LOOK_NS
            with trio.move_on_after(max(min(due - now, PUBLISH_NS), 1_000_000) / 1e9):
                await self._woken.wait()
            self._woken = trio.Event()

    def _record_of(self, client: NqptpClient, kept: bool) -> NqptpRecord | None:
        # None leaves what is there. With ``kept`` the last server's record holds until this one knows the clock.
        running = self._running
        if running is not None:
            return running.record() if self._copies or self._plays_here(client) else NqptpRecord()
        if self._senders is not None and self._plays_here(client):
            return self._senders.record(self._local.now_ns())
        group = self.groups.get(client.peers) if client.begun else None
        if group is None or not (client.active or group.synced):
            return NqptpRecord()
        return None if group.record == NqptpRecord() and kept else group.record

    def _plays_here(self, client: NqptpClient) -> bool:
        # Whether a program of this computer plays to it: the time is that of the senders' clock.
        return client.begun and bool(self._own_addresses & set(client.peers))

    def _store_receivers(self) -> None:
        if self._receivers.changed:
            self._receivers.changed = False
            try:
                self._sessions.store_receivers(self._receivers)
            except OSError as error:
                self._emit_event("not_kept", client="receivers", reason=str(error.strerror))

    def _serve_senders(self, sockets: TimingSockets) -> SenderServer | None:
        options = self._options
        if not (options.serve_airptp or options.serve_cliairplay):
            return None
        return SenderServer(
            options,
            self._receivers,
            self._own_addresses,
            self._network,
            self._local,
            sockets,
            self._identity,
            self._emit_event,
        )

    async def _listen_to_senders(self, senders: CommandService, socket: StampedSocket) -> None:
        while True:
            for item in await socket.receive():
                if isinstance(item, Arrival):
                    senders.handle_command(socket, item)
                    self._store_receivers()
                    self._woken.set()

    def _port_holders(self) -> list[str]:
        # Sockets of clock protocols share their ports; but of two that serve, clients reach one only.
        ports = (self._options.event_port, self._options.general_port)
        return [*dict.fromkeys(holder for port in ports for holder in self._holders(port))]

    def _find_running(self) -> RunningServer | None:
        options = self._options
        holders, reasons = self._port_holders(), list[str]()
        if holders:
            running, reasons = find_running_server(self._local, options.directory, self._holders, options.control_port)
            if running is not None:
                return running
        for port in (options.event_port, options.general_port, *([options.control_port] * options.serve_nqptp)):
            holders = [*self._holders(port)]
            if holders:
                unknown = f", and serves no AirPlay program: {'; '.join(reasons)}" if reasons else ""
                raise NodeError(
                    f"UDP port {port} is held by {' and '.join(holders)}{unknown}",
                    "stop it; or, if it is nqptp, use what it knows with a clock of kind nqptp",
                )
        return None


def _no_holders(port: int) -> Sequence[str]:
    return ()
