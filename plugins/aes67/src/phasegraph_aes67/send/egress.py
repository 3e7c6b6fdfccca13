"""Sockets to send by, each through one interface, which may disappear and come back with another index or address."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from phasegraph import NodeError
from phasegraph.net import Interface, Network, SendBuffer, Sender


class Egress:
    """A sender through an interface, replaced when that interface becomes another. Implements `Sender`."""

    def __init__(self, network: Network, interface: Interface, ttl: int, dscp: int) -> None:
        """Raises OSError."""
        self.interface = interface
        """Written by the control plane."""
        self._network = network
        self._ttl = ttl
        self._dscp = dscp
        self._sender = self._newest = network.sender(interface, ttl=ttl, dscp=dscp)
        """``_sender`` is in use, written by the thread that sends; ``_newest`` is written by the control plane."""
        self._replacements: deque[Sender] = deque()
        """From the control plane to the thread that sends, which alone knows when an old socket is not in use."""

    def move_to(self, interface: Interface) -> None:
        """Send through this interface from the next packet on. Raises OSError, and then nothing changes."""
        self._newest = self._network.sender(interface, ttl=self._ttl, dscp=self._dscp)
        self.interface = interface
        self._replacements.append(self._newest)

    def buffer(self, rows: int, packet_bytes: int, destinations: Sequence[tuple[str, int]]) -> SendBuffer:
        """See `Sender.buffer`."""
        return self._newest.buffer(rows, packet_bytes, destinations)

    def send(self, buffer: SendBuffer, first: int, count: int) -> Sequence[int]:
        """See `Sender.send`."""
        while self._replacements:
            self._sender.close()
            self._sender = self._replacements.popleft()
        return self._sender.send(buffer, first, count)

    @property
    def refusal_errno(self) -> int:
        """See `Sender.refusal_errno`."""
        return self._sender.refusal_errno

    def schedule(self, *, by_ring: bool = False) -> str:
        """See `Sender.schedule`."""
        return self._newest.schedule(by_ring=by_ring)

    @property
    def room(self) -> int:
        """See `Sender.room`."""
        return self._newest.room

    def close(self) -> None:
        """See `Sender.close`."""
        for sender in (self._sender, *self._replacements):
            sender.close()


class EgressSet:
    """The senders for one purpose, one through each interface. Used by the control plane."""

    def __init__(self, network: Network, ttl: int, dscp: int, purpose: str) -> None:
        """``purpose`` is a verb: what is impossible where a socket is refused."""
        self._network = network
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
                egress = Egress(self._network, interface, self._ttl, self._dscp)
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
