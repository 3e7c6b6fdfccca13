"""The clients of a server, by the name of their shared memory, each with a state of its own."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from phasegraph import ClockEstimate, ClockState
from phasegraph.ieee1588 import parse_clock_identity

from ..engine.leader_clock import ENOUGH_NS
from .client_commands import ClientCommand, CommandRefusal, CommandVerb, RefusedCommand, check_name
from .nqptp_record import NqptpRecord

MOST = 16
SAME_NS = 2_000_000
"""The offset of a clock that goes on after a restart is not farther off than this from the one before."""
PREFIX = "/nqptp-"
"""Prefix of the names with which clients may come. Other names are given to the server at its start."""


class NqptpClient(msgspec.Struct):
    """One client."""

    peers: tuple[str, ...] = ()
    """Addresses of the devices that take part in its timing."""
    active: bool = False
    """Whether it plays."""
    begun: bool = False
    """Whether it has played since it named its peers. Two receivers may share a name: one ends, and the other plays."""
    heard: bool = False
    """Whether a command of it has come yet."""


class NqptpClients:
    """All clients. A new one has no peers and does not play."""

    def __init__(self, names: Iterable[str]) -> None:
        """``names`` are those that are there from the start. Raises RefusedCommand for what is no name."""
        self.by_name: dict[str, NqptpClient] = {}
        for name in names:
            check_name(name)
            self.by_name[name] = NqptpClient()

    def admit(self, name: str) -> bool:
        """See to it that there is a client of this name; returns whether it is new. Raises RefusedCommand."""
        if name in self.by_name:
            return False
        if not name.startswith(PREFIX):
            raise RefusedCommand(CommandRefusal.NAME, f"{name} is not served: names of new clients begin with {PREFIX}")
        if len(self.by_name) >= MOST:
            raise RefusedCommand(CommandRefusal.CROWD, f"there are {MOST} clients already")
        self.by_name[name] = NqptpClient()
        return True

    def apply_command(self, command: ClientCommand) -> bool:
        """Do as a client says that has been admitted; returns whether that changes anything."""
        client = self.by_name[command.name]
        before = client.heard, client.peers, client.active
        client.heard = True
        match command.verb:
            case CommandVerb.TIMING:
                client.peers = command.peers
                client.active &= bool(command.peers)
                client.begun &= bool(command.peers)
            case CommandVerb.BEGIN:
                client.active = client.begun = True
            case CommandVerb.END:
                client.active = False
            case CommandVerb.PAUSE:
                pass
        return before != (client.heard, client.peers, client.active)

    @property
    def groups(self) -> set[tuple[str, ...]]:
        """The sets of peers that clients follow; several clients may have the same."""
        return {client.peers for client in self.by_name.values() if client.peers}


class RecordPublisher:
    """One clock as records: remembers since when it is the same grandmaster's time without a step."""

    def __init__(self, kept: NqptpRecord | None = None) -> None:
        """``kept`` is what the last server published of this clock: where the mapping goes on, so does its age."""
        self._mapping: tuple[str, int] | None = None
        self._since_ns = 0
        self._kept = kept or NqptpRecord()

    def record(self, estimate: ClockEstimate) -> NqptpRecord:
        """The record to write. All zero while the time is unknown, or no longer known well enough."""
        if not estimate.grandmaster or estimate.state is ClockState.UNLOCKED:
            self._mapping = None
            return NqptpRecord()
        mapping = estimate.grandmaster, estimate.discontinuities
        if mapping != self._mapping:
            # Every published estimate is measured over this long: readers need not wait again.
            self._mapping, self._since_ns = mapping, estimate.local_ns - ENOUGH_NS
            kept, self._kept = self._kept, NqptpRecord()
            same = kept.clock == parse_clock_identity(estimate.grandmaster)
            if same and abs(estimate.reference_ns - estimate.local_ns - kept.offset_ns) <= SAME_NS:
                self._since_ns = kept.since_ns
        return NqptpRecord(
            clock=parse_clock_identity(estimate.grandmaster),
            local_ns=estimate.local_ns,
            offset_ns=estimate.reference_ns - estimate.local_ns,
            since_ns=self._since_ns,
        )
