"""A network whose received packets are kept in a `PacketMemory`.

Without a flight recorder a run uses its network itself, so that receiving costs what it costs.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._core.localtime import LocalClock, StampKind
from ..net import Arrival, Departure, Interface, Network, PacketBatch, Receiver, Sender, StampCounts, StampedSocket
from .packet_memory import KeptDatagram, PacketMemory


class RecordingNetwork:
    """Implements `phasegraph.net.Network` by another one."""

    def __init__(self, network: Network, memory: PacketMemory, local: LocalClock) -> None:
        self._network = network
        self._memory = memory
        self._local = local

    def interface(self, name_or_address: str, *, ipv6: bool = False) -> Interface:
        """See `Network.interface`."""
        return self._network.interface(name_or_address, ipv6=ipv6)

    def obstacles(self, interface: Interface) -> Sequence[str]:
        """See `Network.obstacles`."""
        return self._network.obstacles(interface)

    def receiver(self, port: int, *, address: str = "", batch: int = 2048, packet_bytes: int = 1500) -> Receiver:
        """See `Network.receiver`."""
        receiver = self._network.receiver(port, address=address, batch=batch, packet_bytes=packet_bytes)
        return _RecordingReceiver(receiver, port, self._memory)

    def sender(self, interface: Interface, *, ttl: int, dscp: int) -> Sender:
        """See `Network.sender`."""
        return self._network.sender(interface, ttl=ttl, dscp=dscp)

    def stamped(
        self,
        port: int,
        interface: Interface,
        *,
        ipv6: bool = False,
        ttl: int = 1,
        dscp: int = 0,
        hardware: bool = False,
    ) -> StampedSocket:
        """See `Network.stamped`."""
        socket = self._network.stamped(port, interface, ipv6=ipv6, ttl=ttl, dscp=dscp, hardware=hardware)
        own = (interface.address6 if ipv6 else interface.address, socket.port)
        return _RecordingStampedSocket(socket, own, self._memory, self._local)


class _RecordingReceiver:
    """Implements `phasegraph.net.Receiver` by another one."""

    def __init__(self, receiver: Receiver, port: int, memory: PacketMemory) -> None:
        self._receiver = receiver
        self._port = port
        self._memory = memory
        self.join = receiver.join
        self.leave = receiver.leave
        self.dropped = receiver.dropped
        self.close = receiver.close

    @property
    def room(self) -> int:
        """See `Receiver.room`."""
        return self._receiver.room

    def receive(self) -> PacketBatch:
        """See `Receiver.receive`."""
        batch = self._receiver.receive()
        if batch.count:
            self._memory.store(batch, self._port)
        return batch


class _RecordingStampedSocket:
    """Implements `phasegraph.net.StampedSocket` by another one."""

    def __init__(self, socket: StampedSocket, own: tuple[str, int], memory: PacketMemory, local: LocalClock) -> None:
        self._socket = socket
        self._own = own
        self._memory = memory
        self._local = local
        self.join = socket.join
        self.leave = socket.leave
        self.close = socket.close

    @property
    def port(self) -> int:
        """See `StampedSocket.port`."""
        return self._socket.port

    @property
    def stamps(self) -> StampKind:
        """See `StampedSocket.stamps`."""
        return self._socket.stamps

    @property
    def counts(self) -> StampCounts:
        """See `StampedSocket.counts`."""
        return self._socket.counts

    @property
    def notes(self) -> Sequence[str]:
        """See `StampedSocket.notes`."""
        return self._socket.notes

    def send(self, data: bytes, destination: tuple[str, int], token: int | None = None) -> None:
        """See `StampedSocket.send`."""
        self._memory.add_datagram(KeptDatagram(self._local.now_ns(), data, self._own, destination))
        self._socket.send(data, destination, token)

    async def receive(self) -> Sequence[Arrival | Departure]:
        """See `StampedSocket.receive`."""
        return self._keep(await self._socket.receive())

    def receive_available(self) -> Sequence[Arrival | Departure]:
        """See `StampedSocket.receive_available`."""
        return self._keep(self._socket.receive_available())

    def _keep(self, items: Sequence[Arrival | Departure]) -> Sequence[Arrival | Departure]:
        for item in items:
            if isinstance(item, Arrival):
                destination = (item.destination or self._own[0], self._own[1])
                self._memory.add_datagram(KeptDatagram(item.local_ns, item.data, item.source, destination))
        return items
