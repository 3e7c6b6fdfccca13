"""The senders of a run: sockets, groups, and the step that the data plane calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from phasegraph import ClockReader, NodeContext, NodeError
from phasegraph.net import Interface, Sender

from .receive_hub import find_interface
from .send_group import Member, SendGroup

GATHER_NS = 30_000_000
"""Streams that start within so much time, and have the same timing, are sent together."""

_Key = tuple[int, int, int, int, tuple[Interface, ...], int, int]


class _Pending:
    """Streams that wait to become a group."""

    def __init__(self, clock: ClockReader, lead_ns: int, senders: Sequence[Sender], since_ns: int) -> None:
        self.clock = clock
        self.lead_ns = lead_ns
        self.senders = senders
        self.since_ns = since_ns
        self.members: list[Member] = []


class SendHub:
    """Sends the streams of all ``aes67`` sinks of a run. Shared by them."""

    def __init__(self, ctx: NodeContext) -> None:
        self._network = ctx.network
        self._local = ctx.local
        self._quantum_ns = ctx.quantum_ns()
        self._senders: dict[tuple[Interface, int, int], Sender] = {}
        self._joining: deque[tuple[_Key, Member, _Pending]] = deque()
        """The way from the control plane to the data plane's thread, which alone changes what follows."""
        self._pending: dict[_Key, _Pending] = {}
        self._groups: tuple[SendGroup, ...] = ()
        ctx.attach(self.step)

    def interface(self, name: str) -> Interface:
        """The interface to send through. Raises NodeError."""
        return find_interface(self._network.interface, name)

    def add(
        self,
        member: Member,
        *,
        clock: ClockReader,
        lead_ns: int,
        interfaces: tuple[Interface, ...],
        ttl: int,
        dscp: int,
    ) -> None:
        """Send a stream from now on, each leg by its interface. Raises NodeError with a remedy."""
        senders = [self._sender(interface, ttl, dscp) for interface in interfaces]
        packetiser = member.packetiser
        timing = (id(clock), packetiser.parameters.rate, packetiser.frames_per_packet, lead_ns)
        pending = _Pending(clock, lead_ns, senders, self._local.now_ns())
        self._joining.append(((*timing, interfaces, ttl, dscp), member, pending))

    def _sender(self, interface: Interface, ttl: int, dscp: int) -> Sender:
        sender = self._senders.get((interface, ttl, dscp))
        if sender is None:
            try:
                sender = self._network.sender(interface, ttl=ttl, dscp=dscp)
            except OSError as error:
                raise NodeError(f"cannot send through {interface.address}: {error.strerror}") from error
            self._senders[interface, ttl, dscp] = sender
        return sender

    def group_of(self, member: Member) -> SendGroup | None:
        """The group that sends a stream, once there is one."""
        return next((group for group in self._groups if member in group.members), None)

    def remove(self, member: Member) -> None:
        """Stop sending a stream."""
        member.done = True
        group = self.group_of(member)
        if group is not None:
            group.remove(member)

    def step(self, now_ns: int) -> int:
        """Data plane: send what is due, then prepare what will be."""
        if self._joining or self._pending:
            self._form_groups(now_ns)
        following = now_ns + (GATHER_NS if self._pending else self._quantum_ns)
        for group in self._groups:
            if not group.done:
                group.send_due(now_ns)
                following = min(following, group.due())
        for group in self._groups:
            if not group.done:
                group.prepare(following)
        return following

    def _form_groups(self, now_ns: int) -> None:
        while self._joining:
            key, member, fresh = self._joining.popleft()
            self._pending.setdefault(key, fresh).members.append(member)
        for key in [key for key, pending in self._pending.items() if now_ns - pending.since_ns >= GATHER_NS]:
            pending = self._pending.pop(key)
            group = SendGroup(pending.members, pending.senders, pending.clock, self._local, pending.lead_ns)
            self._groups = (*self._groups, group)
            for member in pending.members:
                if member.done:  # removed before its group was there to be told
                    group.remove(member)

    def close(self) -> None:
        """Close the sockets."""
        for sender in self._senders.values():
            sender.close()
