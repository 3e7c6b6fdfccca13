"""The server in place of nqptp: clients name their peers on the control port, and read the time in shared memory."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence

import msgspec
import trio

from phasegraph import ClockState, LocalClock, Metric, NodeError
from phasegraph.net import Arrival, Departure, Network, PortUnavailable, StampedSocket, port_holders

from ..engine import LeaderClock, PtpEngine, TimingPeer, TimingRole
from ..engine.ptp_engine import PORT
from ..filters import FILTERS
from ..mapped_file import DIRECTORY
from ..participant import EmitEvent, TimingParticipant
from ..senders.cliairplay import CONTROL_PORT
from ..senders.sender_server import SenderOptions, SenderServer
from ..timing_sockets import TimingSockets, families_of, make_identity
from .client_commands import CommandRefusal, RefusedCommand, parse
from .clients import NqptpClients, RecordPublisher
from .nqptp_record import NqptpRecord
from .session_store import SessionStore
from .shared_memory import KEPT_NS, MemoryWriter

PUBLISH_NS = 100_000_000
SILENCE_NS = 2_000_000_000
_NUMBERS = 0x7000
"""Number of portNumbers, from 0x8008 on."""


class NqptpServerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of the server."""

    interface: str
    names: Sequence[str] = ("/nqptp",)
    filter: str = "envelope"
    event_port: int = 319
    general_port: int = 320
    control_port: int = 9000
    directory: str = DIRECTORY
    serve_airptp: bool = False
    """Whether OwnTone's senders are served too."""
    serve_cliairplay: bool = False
    """Whether Music Assistant's senders are served too."""
    sender_control_port: int = CONTROL_PORT
    state: str | None = None
    """Folder in which the names of clients are kept over a restart of the system; None keeps none."""


class PeerGroup(msgspec.Struct):
    """A set of peers that some clients follow, and the clock of the leader among them."""

    participant: TimingParticipant
    publication: RecordPublisher
    record: NqptpRecord = NqptpRecord()

    @property
    def synced(self) -> bool:
        """Whether the leader's Syncs come."""
        return self.participant.tracker.estimate.state in (ClockState.ACQUIRING, ClockState.LOCKED)


class NqptpServer:
    """`run` serves until it is cancelled. Clients with the same peers share one clock of them."""

    def __init__(self, options: NqptpServerOptions, network: Network, local: LocalClock, emit_event: EmitEvent) -> None:
        """Raises RefusedCommand for a name that is none."""
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
        self._senders: SenderServer | None = None
        self._identity = 0
        self._begun = 0
        self._woken = trio.Event()

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
            **(self._senders.metrics() if self._senders is not None else {}),
        }

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve. Raises NodeError where a port, the interface or a shared memory cannot be had."""
        self._refuse_company()
        with contextlib.ExitStack() as resources:
            control, sockets = self._open(resources)
            async with trio.open_nursery() as nursery:
                for socket in sockets:
                    nursery.start_soon(self._read, socket)
                for socket in control:
                    nursery.start_soon(self._listen, socket)
                if self._senders is not None:
                    for socket in self._senders.commands:
                        nursery.start_soon(self._listen_to_senders, self._senders, socket)
                for kept in [*self._sessions.stored_commands(iter(self._options.names))]:
                    self.apply_command(kept)
                task_status.started()
                await self._publish()

    def _open(self, resources: contextlib.ExitStack) -> tuple[list[StampedSocket], TimingSockets]:
        # Memories, control sockets, PTP sockets, and the server of senders.
        options, now_ns = self._options, self._local.now_ns()
        resources.callback(self._close_memories)
        for name in self._sessions.names():
            with contextlib.suppress(RefusedCommand):
                self.clients.admit(name)
        for name in self.clients.by_name:
            self._memories[name] = MemoryWriter(name, options.directory, now_ns=now_ns)
        control = self._open_control(resources)
        families = families_of(self._network, options.interface)
        self._sockets = sockets = TimingSockets(
            self._network, options.interface, options.event_port, options.general_port, families
        )
        resources.callback(sockets.close)
        self._identity = make_identity(sockets.interface, "serve", virtual=self._local.virtual)
        self._senders = self._serve_senders(sockets)
        if self._senders is not None:
            resources.callback(self._senders.close)
        for note in dict.fromkeys([note for socket in control for note in socket.notes] + sockets.notes):
            self._emit_event("socket", note=note)
        return control, sockets

    def _close_memories(self) -> None:
        for memory in self._memories.values():
            memory.close()
        self._memories.clear()

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
        wanted = self.clients.groups
        for peers in self.groups.keys() - wanted:
            del self.groups[peers]
        for peers in wanted - self.groups.keys():
            self.groups[peers] = self._begin(peers)

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
        while True:
            now = self._local.now_ns()
            for each in self.groups.values():
                each.record = each.publication.record(each.participant.advance(now))
            for name, memory in self._memories.items():
                client = self.clients.by_name[name]
                known = self.groups.get(client.peers) if client.begun else None
                if known is not None and not client.active and not known.synced:
                    known = None
                record = NqptpRecord() if known is None else known.record
                if known is not None and record == NqptpRecord() and now - memory.kept.local_ns <= KEPT_NS:
                    continue  # the last server's record holds until this one knows the clock
                if record != self._written.get(name):
                    self._written[name] = record
                    memory.write(record)
            due = min((each.participant.engine.deadline_ns for each in self.groups.values()), default=now + PUBLISH_NS)
            if self._senders is not None:
                due = min(due, self._senders.advance(now))
            with trio.move_on_after(max(min(due - now, PUBLISH_NS), 1_000_000) / 1e9):
                await self._woken.wait()
            self._woken = trio.Event()

    def _serve_senders(self, sockets: TimingSockets) -> SenderServer | None:
        options = SenderOptions(
            serve_airptp=self._options.serve_airptp,
            serve_cliairplay=self._options.serve_cliairplay,
            event_port=self._options.event_port,
            general_port=self._options.general_port,
            control_port=self._options.sender_control_port,
            directory=self._options.directory,
        )
        if not options.any:
            return None
        return SenderServer(options, self._network, self._local, sockets, self._identity, self._emit_event)

    async def _listen_to_senders(self, senders: SenderServer, socket: StampedSocket) -> None:
        while True:
            for item in await socket.receive():
                if isinstance(item, Arrival):
                    senders.handle_command(socket, item)
                    self._woken.set()

    def _refuse_company(self) -> None:
        # Sockets of clock protocols share their ports; but of two that serve, clients reach one only.
        options = self._options
        for port in () if self._local.virtual else (options.event_port, options.general_port, options.control_port):
            holders = " and ".join(port_holders(port))
            if holders:
                raise NodeError(
                    f"UDP port {port} is held by {holders}",
                    "stop it; or, if it is nqptp, use what it knows with a clock of kind nqptp",
                )

    def _open_control(self, resources: contextlib.ExitStack) -> list[StampedSocket]:
        refused, found = None, []
        for address, ipv6 in (("127.0.0.1", False), ("::1", True)):
            try:
                loopback = self._network.interface(address, ipv6=ipv6)
                socket = self._network.stamped(self._options.control_port, loopback, ipv6=ipv6)
            except PortUnavailable as error:
                raise NodeError(str(error), f"{error.remedy}; or choose another control-port") from error
            except OSError as error:  # a system without one of the two
                refused = error
            else:
                resources.callback(socket.close)
                found.append(socket)
        if not found:
            raise NodeError(f"there is no loopback to take commands from: {refused}")
        return found
