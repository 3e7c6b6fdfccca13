"""Sockets to send by, each through one interface, which may disappear and come back with another index or address."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from phasegraph import LocalClock, NodeError
from phasegraph.net import Interface, Network, SendBuffer, Sender

from .launch_time import MAX_EARLY_NS_OF_RING


class Egress:
    """A sender through an interface, replaced when that interface becomes another. Implements `Sender`."""

    def __init__(self, network: Network, local: LocalClock, interface: Interface, ttl: int, dscp: int) -> None:
        """Raises OSError."""
        self.interface = interface
        """Written by the control plane, as the next two."""
        self.launch_reason = ""
        """What `schedule` returned last."""
        self._by_ring: bool | None = None
        """How `schedule` was called, if it was."""
        self._network = network
        self._local = local
        self._ttl = ttl
        self._dscp = dscp
        self._sender = self._newest = network.sender(interface, ttl=ttl, dscp=dscp)
        """``_sender`` is in use, written by the thread that sends; ``_newest`` is written by the control plane."""
        self._replacements: deque[Sender] = deque()
        """From the control plane to the thread that sends, which alone knows when an old socket is not in use."""
        self._replaced: deque[tuple[int, Sender]] = deque()
        """Old sockets, and when they are closed: what they were given has left by then."""

    def move_to(self, interface: Interface) -> None:
        """Send through this interface from the next packet on. Raises OSError, and then nothing changes."""
        self._newest = self._network.sender(interface, ttl=self._ttl, dscp=self._dscp)
        self.interface = interface
        if self._by_ring is not None:
            self.schedule(by_ring=self._by_ring)
        self._replacements.append(self._newest)

    def buffer(self, rows: int, packet_bytes: int, destinations: Sequence[tuple[str, int]]) -> SendBuffer:
        """See `Sender.buffer`."""
        return self._newest.buffer(rows, packet_bytes, destinations)

    def send(self, buffer: SendBuffer, first: int, count: int) -> Sequence[int]:
        """See `Sender.send`."""
        if self._replacements or self._replaced:
            self._replace(self._local.now_ns())
        return self._sender.send(buffer, first, count)

    def _replace(self, now_ns: int) -> None:
        while self._replacements:
            self._replaced.append((now_ns + MAX_EARLY_NS_OF_RING, self._sender))
            self._sender = self._replacements.popleft()
        while self._replaced and self._replaced[0][0] < now_ns:
            self._replaced.popleft()[1].close()

    @property
    def refusal_errno(self) -> int:
        """See `Sender.refusal_errno`."""
        return self._sender.refusal_errno

    def schedule(self, *, by_ring: bool = False) -> str:
        """See `Sender.schedule`."""
        self._by_ring = by_ring
        self.launch_reason = self._newest.schedule(by_ring=by_ring)
        return self.launch_reason

    @property
    def room(self) -> int:
        """See `Sender.room`."""
        return self._newest.room

    def close(self) -> None:
        """See `Sender.close`."""
        for sender in (self._sender, *self._replacements, *(sender for _, sender in self._replaced)):
            sender.close()


class EgressSet:
    """The senders for one purpose, one through each interface. Used by the control plane."""

    def __init__(self, network: Network, local: LocalClock, ttl: int, dscp: int, purpose: str) -> None:
        """``purpose`` is a verb: what is impossible where a socket is refused."""
        self._network = network
        self._local = local
        self._ttl = ttl
        self._dscp = dscp
        self._purpose = purpose
        self._egresses: list[Egress] = []

    def __iter__(self) -> Iterator[Egress]:
        return iter(self._egresses)

    def through(self, interface: Interface) -> Egress:
        """The sender through an interface, opened if it is the first. Raises NodeError."""
        egress = next((one for one in self._egresses if one.interface == interface), None)
        if egress is None:
            try:
                egress = Egress(self._network, self._local, interface, self._ttl, self._dscp)
            except OSError as error:
                raise self._refused(interface, error) from error
            self._egresses.append(egress)
        return egress

    def move_egress(self, before: Interface, now: Interface) -> None:
        """Send through ``now`` what was sent through ``before``. Raises NodeError."""
        for egress in self._egresses:
            if is_same_egress(egress.interface, before):
                try:
                    egress.move_to(now)
                except OSError as error:
                    raise self._refused(now, error) from error

    def close(self) -> None:
        """Close the sockets."""
        for egress in self._egresses:
            egress.close()

    def _refused(self, interface: Interface, error: OSError) -> NodeError:
        return NodeError(f"cannot {self._purpose} through {interface.address}: {error.strerror}")


def is_same_egress(one: Interface, other: Interface) -> bool:
    """Whether a socket that sends through the one sends through the other."""
    return (one.index, one.address) == (other.index, other.address)
