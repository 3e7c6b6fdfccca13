"""The sockets of all received streams of a run: one per port, as long as the system lets it join more groups."""

from __future__ import annotations

import contextlib
import errno
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

from phasegraph import NodeConflict, NodeContext, NodeError
from phasegraph.net import Interface, PortUnavailable, Receiver, port_holders

from ..interface_lookup import interface_or_route
from ..parameters import StreamParameters
from .demultiplexer import Demultiplexer, Route
from .diagnosis import why_rejected, why_silent
from .leg import Leg
from .stream_receiver import StreamReceiver

FILL = 0.5
"""How full a socket may become between two steps: the rest is for the times when this process is kept waiting."""
PORTION = 2000
"""Packets that are handled together: as many as one batch holds, since every run of packets has its own cost."""
FIRST_INTERVAL_NS = 4_000_000
FIRST_PACKETS_NS = 300_000_000
"""How long after a stream was added the sockets are read often: a change of the graph waits for its packets."""
SHARE = 8
"""At most one part in this many of the time is spent on reading meanwhile: it may be hundreds of streams."""
TURN_NS = 300_000
STEP_SINGLY = 256
"""Time, and packets one by one, after which a step lets other steps have their turn: a sender's packets are due every
125 us to 4 ms, and what has arrived can wait."""
REJECTED_NS = 500_000_000
"""A leg whose packets were all rejected for this long reports the reason as that of its silence."""
PUBLISH_NS = 500_000_000
"""How often the figures of a stream that is flowing are published."""
DROPS_AGE_NS = 50_000_000
"""How old the number of dropped packets may be."""
ROUND_BATCHES = 4
"""Batches of each socket in a round."""
IDLE_NS = 2_000_000_000
"""A socket without a stream is closed after this time: a source that starts again finds it."""


class _Membership(NamedTuple):
    """That a socket gets the packets of a group by an interface, of one source or of all."""

    group: str
    interface: Interface
    source: str | None


class _Socket:
    """A socket with the streams that arrive on it."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.portion = min(PORTION, FILL * receiver.room)
        """Packets to be handled at once."""
        self.demultiplexer = Demultiplexer()
        self._memberships: Counter[_Membership] = Counter()
        """How many legs share each."""
        self.idle_since_ns: int | None = None
        """Since when no stream arrives on it. Written by the control plane."""
        self.closed = False
        """Written by the data plane, as the next."""
        self._rows = PORTION * 2
        """Rows to be handled together: few, where they go one by one."""

    def join(self, leg: Leg, via: Interface) -> bool:
        """Join the group of a leg, or share the membership of another one. False where that needs another socket.

        Raises NodeError.
        """
        membership = _Membership(leg.parameters.address, via, leg.parameters.source)
        if membership not in self._memberships:
            # The system does not let a socket be a member with and without a source.
            if self.demultiplexer.has_alike(leg):
                return False
            if not _join(self.receiver, membership):
                return False
        self._memberships[membership] += 1
        return True

    def join_alone(self, leg: Leg, via: Interface) -> None:
        """Join the group of a leg that has a route already, by another interface than before. Raises NodeError."""
        membership = _Membership(leg.parameters.address, via, leg.parameters.source)
        if not self._memberships[membership]:
            _join(self.receiver, membership)
        self._memberships[membership] += 1

    def leave(self, leg: Leg, via: Interface) -> None:
        """Leave the group of a leg, unless others share the membership."""
        membership = _Membership(leg.parameters.address, via, leg.parameters.source)
        self._memberships[membership] -= 1
        if not self._memberships[membership]:
            del self._memberships[membership]
            _leave(self.receiver, membership)

    def rejoin(self, leg: Leg, via: Interface) -> None:
        """Leave the group of a leg and join it again, for all that share the membership. Raises NodeError."""
        membership = _Membership(leg.parameters.address, via, leg.parameters.source)
        _leave(self.receiver, membership)
        _join(self.receiver, membership)

    def handle_batch(self) -> Generator[int, None, tuple[int, bool]]:
        """Data plane: handle up to a batch of what has arrived; yields as `Demultiplexer.distribute_by_leg`.

        Returns how many packets there were, and whether there may be more.
        """
        batch = self.receiver.receive()
        at = 0
        while at < batch.count:
            first, at = at, min(batch.count, at + self._rows)
            singly = 0
            for count in self.demultiplexer.distribute_by_leg(batch, first, at):
                singly += count
                yield count
            self._rows = STEP_SINGLY if singly and 2 * singly >= min(at - first, STEP_SINGLY) else PORTION * 2
        return batch.count, batch.count == batch.capacity

    def close(self) -> None:
        """Receive no more. Data plane."""
        self.closed = True
        self.receiver.close()


class ReceiveSockets:
    """Drains every socket once a quantum. Shared by the ``aes67`` sources of a run.

    The data plane calls `step`; all else is the control plane's. What both touch is replaced, not changed: the tuple of
    sockets, each demultiplexer's table, and a receiver's published figures.
    """

    def __init__(self, ctx: NodeContext) -> None:
        self._ctx = ctx
        self._network = ctx.network
        self._quantum = ctx.quantum_ns
        self._interval_ns = min(ctx.quantum_ns(), FIRST_INTERVAL_NS)
        self._publish_ns = 0
        self._round_began_ns = 0
        """Written by the data plane."""
        self._added_ns = -FIRST_PACKETS_NS
        """When the newest stream was added. Written by the control plane."""
        self._round: Iterator[int] | None = None
        """What is left of the round, between two turns of it. Written by the data plane, as the next."""
        self._flooded = False
        """Whether the last round left packets in a socket."""
        self._sockets: dict[tuple[int, str], list[_Socket]] = {}
        self._active: tuple[_Socket, ...] = ()
        """Written by the control plane."""
        self._retired: deque[StreamReceiver] = deque()
        """From the control plane to the step: receivers without a route, whose last figures it publishes."""
        self._dropped = 0
        """Packets that the sockets that are closed had dropped."""
        self._drops: tuple[int, int] | None = None
        """When the system was last asked what it had dropped, and what it had. Of the control plane, as the last."""
        self._closing: deque[_Socket] = deque()
        """From the control plane to the step, which may be reading them."""
        self._read_now = ctx.attach(self.step)

    def step(self, now_ns: int) -> int:
        """Data plane: go on with the round, for one turn; a new one begins when what arrived meanwhile is worth it."""
        while self._closing:
            self._closing.popleft().close()
        if self._round is None:
            self._round, self._round_began_ns = self._receive_round(), now_ns
        until_ns, left = now_ns + TURN_NS, STEP_SINGLY
        for singly in self._round:
            left -= singly
            if left <= 0 or self._ctx.local.now_ns() >= until_ns:
                return now_ns
        self._round = None
        if self._flooded:
            return now_ns
        if now_ns < self._added_ns + FIRST_PACKETS_NS:
            took_ns = self._ctx.local.now_ns() - self._round_began_ns
            self._interval_ns = min(self._interval_ns, max(FIRST_INTERVAL_NS, SHARE * took_ns))
        return now_ns + self._interval_ns

    def _receive_round(self) -> Iterator[int]:
        # Reads some of each socket in turn, then publishes; the rest of a flood waits for the next round. Yields after
        # a few legs how many of their packets went one by one.
        received: dict[_Socket, int] = dict.fromkeys(self._active, 0)
        waiting = list(self._active)
        for _ in range(ROUND_BATCHES):
            full = []
            for socket in waiting:
                if not socket.closed:
                    count, more = yield from socket.handle_batch()
                    received[socket] += count
                    if more:
                        full.append(socket)
            waiting = full
        self._flooded = bool(waiting)
        fullest = max((count / socket.portion for socket, count in received.items()), default=0.0)
        # Come again, at the rate that was just seen, for no more than a portion of the fullest socket.
        quantum_ns = self._quantum()  # it follows the graph
        paced_ns = self._interval_ns / fullest if fullest > 0 else quantum_ns
        self._interval_ns = int(min(quantum_ns, paced_ns, 2 * self._interval_ns))
        now_ns = self._ctx.local.now_ns()
        if now_ns >= self._publish_ns or not fullest:
            self._publish_ns = now_ns + PUBLISH_NS
            yield from self._publish()
            if any(socket.idle_since_ns is not None for socket in self._active):
                self._ctx.call_soon(self._close_idle)

    def _publish(self) -> Iterator[int]:
        # Yields 0 after each receiver.
        for socket in self._active:
            for receiver, _ in socket.demultiplexer.routes:
                receiver.publish_figures()
                yield 0
        while self._retired:
            self._retired.popleft().publish_figures()
            yield 0

    def subscribe(self, receiver: StreamReceiver, leg: Leg, interface: str) -> Subscription:
        """Receive a leg of a stream from now on. Raises NodeError with a remedy."""
        parameters = leg.parameters
        via = self.interface(interface)
        leg.interface = via.index
        key = (parameters.port, "" if parameters.multicast else parameters.address)
        sockets = self._sockets.setdefault(key, [])
        if not parameters.multicast and any(socket.demultiplexer.has_alike(leg) for socket in sockets):
            raise NodeConflict(
                f"{parameters.address}:{parameters.port} is received by another source of this graph already",
                "let the sinks share that source",
            )
        for socket in sockets:
            if not parameters.multicast or socket.join(leg, via):
                break
        else:
            socket = _Socket(self._open(parameters))
            sockets.append(socket)
            if parameters.multicast and not socket.join(leg, via):
                raise NodeError(
                    "the system does not let a socket join any group",
                    "raise the sysctl net.ipv4.igmp_max_memberships",
                )
        socket.idle_since_ns = None
        socket.demultiplexer.add_route(Route(receiver, leg))
        self._active = tuple(one for many in self._sockets.values() for one in many)
        self.expect_first_packets()
        return Subscription(self, socket, receiver, leg, interface, via)

    def expect_first_packets(self) -> None:
        """Read the sockets at once, and often for some time: a stream was added. Control plane."""
        before_ns, self._added_ns = self._added_ns, self._ctx.local.now_ns()
        if self._added_ns - before_ns >= FIRST_INTERVAL_NS:
            self._read_now()

    def dropped(self) -> int:
        """Datagrams that the system threw away because this process did not come for them in time.

        Every source reports them: the system is asked once for all.
        """
        now_ns = self._ctx.local.now_ns()
        if self._drops is None or now_ns - self._drops[0] >= DROPS_AGE_NS:
            self._drops = now_ns, self._dropped + sum(socket.receiver.dropped() for socket in self._active)
        return self._drops[1]

    def _close_idle(self) -> None:
        now_ns = self._ctx.local.now_ns()
        idle = [one for one in self._active if one.idle_since_ns is not None and now_ns - one.idle_since_ns >= IDLE_NS]
        if not idle:
            return
        self._dropped += sum(socket.receiver.dropped() for socket in idle)
        for key, sockets in list(self._sockets.items()):
            sockets[:] = [socket for socket in sockets if socket not in idle]
            if not sockets:
                del self._sockets[key]
        self._active = tuple(one for many in self._sockets.values() for one in many)
        self._closing.extend(idle)

    def close(self) -> None:
        """Close the sockets. The step runs no more: the last figures are published here."""
        for _ in self._publish():
            pass
        self._drops = None
        self._dropped = self.dropped()
        self._drops = None
        active, self._active = self._active, ()
        for socket in (*active, *self._closing):
            socket.close()
        self._closing.clear()

    def note_idle(self, socket: _Socket) -> None:
        """A stream has left a socket."""
        if not socket.demultiplexer.routes:
            socket.idle_since_ns = self._ctx.local.now_ns()

    def interface(self, name: str) -> Interface:
        """The interface to receive by. Raises NodeError."""
        return interface_or_route(self._network.interface, name)

    def obstacles(self, interface: Interface) -> Sequence[str]:
        """What the system knows to keep packets from an interface."""
        return self._network.obstacles(interface)

    def retire(self, receiver: StreamReceiver) -> None:
        """Publish the last figures of a receiver whose routes are removed."""
        self._retired.append(receiver)

    def _open(self, parameters: StreamParameters) -> Receiver:
        address = "" if parameters.multicast else parameters.address
        try:
            return self._network.receiver(parameters.port, address=address)
        except PortUnavailable as error:
            where = f"{address}:{parameters.port} is received by another program"
            raise NodeError(f"{where}: {error}", f"{error.remedy}, or send to another port") from error
        except OSError as error:
            where = f"{address or 'port'} {parameters.port}"
            if error.errno == errno.EADDRNOTAVAIL:
                raise NodeError(
                    f"{address} is not an address of this machine", "a unicast stream is sent to one of them"
                ) from error
            if error.errno == errno.EADDRINUSE and (holders := port_holders(parameters.port)):
                held = f"UDP port {parameters.port} is held by {' and '.join(holders)}, which does not share it"
                raise NodeError(f"cannot listen on {where}: {held}", "stop that program") from error
            raise NodeError(f"cannot listen on {where}: {error.strerror}") from error


class Subscription:
    """A leg that is being received."""

    def __init__(
        self, sockets: ReceiveSockets, socket: _Socket, receiver: StreamReceiver, leg: Leg, name: str, via: Interface
    ) -> None:
        self.receiver = receiver
        self.leg = leg
        self.name = name
        """The interface, as the graph names it; empty for whichever the routes lead to."""
        self._sockets = sockets
        self._socket = socket
        self._via = via

    @property
    def present(self) -> bool:
        """Whether the interface is there."""
        try:
            self._sockets.interface(self.name)
        except NodeError:
            return False
        return True

    def why_silent(self, now_ns: int) -> str:
        """What keeps packets away, as far as can be seen."""
        parameters, figures = self.leg.parameters, self.receiver.figures.latest.legs[self.leg.number]
        rejected_ns = figures.last_rejected_ns
        accepted_ns = self.receiver.last_arrival_ns(self.leg)
        if rejected_ns is not None and (accepted_ns is None or rejected_ns - accepted_ns >= REJECTED_NS):
            ago_ns = now_ns - rejected_ns
            return why_rejected(figures.last_rejection, 0 if ago_ns < REJECTED_NS else ago_ns)
        obstacles = self._sockets.obstacles(self._via)
        if self.name and not self.present:
            obstacles = [f"there is no interface {self.name} any more"]
        elif not parameters.multicast and (others := port_holders(parameters.port, parameters.address)):
            obstacles = [*obstacles, f"{' and '.join(others)} also receives it: unicast reaches only one program"]
        silent_ns = None if accepted_ns is None else now_ns - accepted_ns
        return why_silent(parameters, self._via.name or self.name, obstacles, silent_ns)

    def rejoin(self) -> None:
        """Leave the group and join it again, on the interface as it is now: for switches that have forgotten.

        Raises NodeError.
        """
        parameters = self.leg.parameters
        if not parameters.multicast:
            return
        via = self._sockets.interface(self.name)
        if via == self._via:
            self._socket.rejoin(self.leg, via)
            return
        self._socket.leave(self.leg, self._via)
        self._via = via
        self.leg.interface = via.index
        self._socket.demultiplexer.set_routes(self._socket.demultiplexer.routes)
        self._socket.join_alone(self.leg, via)

    def close(self) -> None:
        """Stop receiving it."""
        demultiplexer = self._socket.demultiplexer
        demultiplexer.set_routes([route for route in demultiplexer.routes if route.leg is not self.leg])
        self._sockets.retire(self.receiver)
        self._sockets.note_idle(self._socket)
        if self.leg.parameters.multicast:
            self._socket.leave(self.leg, self._via)


def _join(receiver: Receiver, membership: _Membership) -> bool:
    # False where the socket is full: Linux allows 20 groups a socket by default.
    group, via, source = membership
    try:
        receiver.join(group, via, source)
    except OSError as error:
        if error.errno == errno.ENOBUFS:
            return False
        if error.errno == errno.ENODEV and not via.name:
            hint = "name the interface with the option interface, or add a route: ip route add 224.0.0.0/4 dev NAME"
            raise NodeError(f"cannot join {group}: no route leads to it", hint) from error
        raise NodeError(f"cannot join {group}: {error.strerror}") from error
    return True


def _leave(receiver: Receiver, membership: _Membership) -> None:
    with contextlib.suppress(OSError):  # where the interface has gone, so has the membership
        receiver.leave(*membership)
