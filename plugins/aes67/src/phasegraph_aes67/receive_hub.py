"""The sockets of all received streams of a run: one per port, as long as the system lets it join more groups."""

from __future__ import annotations

import errno
from collections.abc import Callable

from phasegraph import NodeContext, NodeError
from phasegraph.net import Interface, Receiver

from .parameters import StreamParameters
from .receive import ReceiveBank
from .stream_receiver import StreamReceiver

FILL = 0.5
"""How full a socket may become between two looks: the rest is for the times when this process is kept waiting."""
PORTION = 2000
"""Packets that are handled together: as many as one batch holds, since every run of packets has its own cost."""
FIRST_INTERVAL_NS = 4_000_000


class _Socket:
    """A socket with the streams that arrive on it."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.portion = min(PORTION, FILL * receiver.room)
        """Packets to be handled at once."""
        self.bank = ReceiveBank()


class ReceiveHub:
    """Drains every socket once a quantum. Shared by the ``aes67`` sources of a run."""

    def __init__(self, ctx: NodeContext) -> None:
        self._network = ctx.network
        self._quantum_ns = ctx.quantum_ns()
        self._interval_ns = min(self._quantum_ns, FIRST_INTERVAL_NS)
        self._sockets: dict[tuple[int, str], list[_Socket]] = {}
        self._active: tuple[_Socket, ...] = ()
        self._dropped = 0
        """What the sockets that are closed had dropped."""
        ctx.attach(self.step)

    def step(self, now_ns: int) -> int:
        """Data plane: take in all that has arrived."""
        fullest = 0.0
        for socket in self._active:
            count = 0
            while True:
                batch = socket.receiver.receive()
                socket.bank.feed(batch)
                count += batch.count
                if batch.count < batch.capacity:
                    break
            fullest = max(fullest, count / socket.portion)
        # Come again, at the rate that was just seen, for no more than a portion of the fullest socket.
        paced_ns = self._interval_ns / fullest if fullest > 0 else self._quantum_ns
        self._interval_ns = int(min(self._quantum_ns, paced_ns, 2 * self._interval_ns))
        return now_ns + self._interval_ns

    def subscribe(self, stream: StreamReceiver, interface: str) -> Callable[[], None]:
        """Receive a stream from now on; returns what ends that. Raises NodeError with a remedy."""
        parameters = stream.parameters
        via = self.interface(interface)
        key = (parameters.port, "" if parameters.multicast else parameters.address)
        sockets = self._sockets.setdefault(key, [])
        for socket in sockets:
            if any(other.parameters.address == parameters.address for other in socket.bank.streams):
                raise NodeError(
                    f"{parameters.address}:{parameters.port} is received by another source of this graph already",
                    "let the sinks share that source",
                )
        for socket in sockets:
            if not parameters.multicast or self._join(socket.receiver, parameters, via):
                break
        else:
            socket = _Socket(self._open(parameters))
            sockets.append(socket)
            if parameters.multicast and not self._join(socket.receiver, parameters, via):
                raise NodeError(
                    "the system does not let a socket join any group",
                    "raise the sysctl net.ipv4.igmp_max_memberships",
                )
        socket.bank.set_streams([*socket.bank.streams, stream])
        self._active = tuple(one for many in self._sockets.values() for one in many)

        def unsubscribe() -> None:
            socket.bank.set_streams([other for other in socket.bank.streams if other is not stream])
            if parameters.multicast:
                socket.receiver.leave(parameters.address, via, parameters.source)

        return unsubscribe

    def dropped(self) -> int:
        """Datagrams that the system threw away because this process did not come for them in time."""
        return self._dropped + sum(socket.receiver.dropped() for socket in self._active)

    def close(self) -> None:
        """Close the sockets."""
        self._dropped = self.dropped()
        active, self._active = self._active, ()
        for socket in active:
            socket.receiver.close()

    def interface(self, name: str) -> Interface:
        """The interface to receive by. Raises NodeError."""
        return find_interface(self._network.interface, name)

    def _open(self, parameters: StreamParameters) -> Receiver:
        address = "" if parameters.multicast else parameters.address
        try:
            return self._network.receiver(parameters.port, address=address)
        except OSError as error:
            where = f"{address or 'port'} {parameters.port}"
            if error.errno == errno.EADDRNOTAVAIL:
                raise NodeError(
                    f"{address} is not an address of this machine", "a unicast stream is sent to one of them"
                ) from error
            raise NodeError(f"cannot listen on {where}: {error.strerror}") from error

    @staticmethod
    def _join(receiver: Receiver, parameters: StreamParameters, via: Interface) -> bool:
        # False where the socket is full: Linux allows 20 groups a socket unless told otherwise.
        try:
            receiver.join(parameters.address, via, parameters.source)
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                return False
            hint = "name the interface with the option interface" if error.errno == errno.ENODEV else ""
            raise NodeError(f"cannot join {parameters.address}: {error.strerror}", hint) from error
        return True


def find_interface(find: Callable[[str], Interface], name: str) -> Interface:
    """An interface by name or address; with no name, whichever the system's routes lead to.

    Raises NodeError.
    """
    if not name:
        return Interface("", 0, "0.0.0.0")
    try:
        return find(name)
    except OSError as error:
        raise NodeError(str(error), option="interface") from error
