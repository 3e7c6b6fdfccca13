"""Ways out of this machine: senders whose interface may go, and come back as another one of its name."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from phasegraph import Metric, NodeError
from phasegraph.net import Interface, Network, SendBuffer, Sender

Tell = Callable[[str, dict[str, Metric]], None]


class Way:
    """A sender by an interface, opened anew when that is another one than it was. Implements `Sender`."""

    def __init__(self, network: Network, interface: Interface, ttl: int, dscp: int) -> None:
        """Raises OSError."""
        self.interface = interface
        self._network = network
        self._ttl = ttl
        self._dscp = dscp
        self._sender = self._newest = network.sender(interface, ttl=ttl, dscp=dscp)
        self._opened: deque[Sender] = deque()
        """The way from the control plane to whoever sends, who alone knows when an old socket is not in use."""

    def move(self, interface: Interface) -> None:
        """Send by this interface from the next packet on. Raises OSError, and then goes on as before."""
        self._newest = self._network.sender(interface, ttl=self._ttl, dscp=self._dscp)
        self.interface = interface
        self._opened.append(self._newest)

    def buffer(self, rows: int, packet_bytes: int, destinations: Sequence[tuple[str, int]]) -> SendBuffer:
        """See `Sender.buffer`."""
        return self._newest.buffer(rows, packet_bytes, destinations)

    def send(self, buffer: SendBuffer, first: int, count: int) -> Sequence[int]:
        """See `Sender.send`."""
        while self._opened:
            self._sender.close()
            self._sender = self._opened.popleft()
        return self._sender.send(buffer, first, count)

    def schedule(self) -> str:
        """See `Sender.schedule`."""
        return self._newest.schedule()

    @property
    def room(self) -> int:
        """See `Sender.room`."""
        return self._newest.room

    def close(self) -> None:
        """See `Sender.close`."""
        for sender in (self._sender, *self._opened):
            sender.close()


class Ways:
    """The ways for one purpose, one by each interface."""

    def __init__(self, network: Network, ttl: int, dscp: int, purpose: str) -> None:
        """``purpose`` is what cannot be done where a way is refused, as a verb."""
        self._network = network
        self._ttl = ttl
        self._dscp = dscp
        self._purpose = purpose
        self._ways: list[Way] = []

    def __iter__(self) -> Iterator[Way]:
        return iter(self._ways)

    def by(self, interface: Interface) -> Way:
        """The way by an interface, opened if it is the first. Raises NodeError."""
        way = next((way for way in self._ways if way.interface == interface), None)
        if way is None:
            try:
                way = Way(self._network, interface, self._ttl, self._dscp)
            except OSError as error:
                raise self._refused(interface, error) from error
            self._ways.append(way)
        return way

    def move(self, before: Interface, now: Interface) -> None:
        """Send by one interface what was sent by another. Raises NodeError."""
        for way in self._ways:
            if is_same(way.interface, before):
                try:
                    way.move(now)
                except OSError as error:
                    raise self._refused(now, error) from error

    def close(self) -> None:
        """Close the sockets."""
        for way in self._ways:
            way.close()

    def _refused(self, interface: Interface, error: OSError) -> NodeError:
        return NodeError(f"cannot {self._purpose} through {interface.address}: {error.strerror}")


class InterfaceWatch:
    """Watches the interface by which a leg is sent. Called from the control plane."""

    def __init__(self, name: str, interface: Interface, label: dict[str, Metric], tell: Tell) -> None:
        """``name`` is what the graph calls it; ``label`` is what every event of the leg says besides."""
        self.interface = interface
        """What it is now, or was."""
        self._name = name
        self._fields: dict[str, Metric] = {**label, "interface": name}
        self._tell = tell
        self._refused = 0
        self._lost = False

    def look(
        self, refused: int, find: Callable[[str], Interface], move: Callable[[Interface, Interface], None]
    ) -> bool:
        """Where more was refused than at the last look (``refused`` in all), see whether the interface is there.

        Returns whether it is back: then all that was sent by it has been moved to it, as it is now.
        """
        if not self._name or (refused == self._refused and not self._lost):
            return False
        self._refused = refused
        try:
            now = find(self._name)
            back = self._lost or not is_same(now, self.interface)
            if back:
                move(self.interface, now)
        except NodeError:
            self._lose()
            return False
        if back:
            self._lose()
            self._tell("interface_found", self._fields)
            self.interface, self._lost = now, False
        return back

    def _lose(self) -> None:
        if not self._lost:
            self._lost = True
            self._tell("interface_lost", self._fields)


def is_same(one: Interface, other: Interface) -> bool:
    """Whether a socket that sends by the one sends by the other."""
    return (one.index, one.address) == (other.index, other.address)
