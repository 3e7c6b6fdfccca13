"""Sorts batches of packets by leg, and finds runs of expected packets in arrays. Sans-IO.

The usual case, a run of packets of one leg that simply follow each other, is recognised for all legs of a batch
at once with array operations and costs one copy per run. Everything else (the first packet, a gap, a duplicate,
another sender, a malformed packet) goes packet by packet through `StreamReceiver.accept`. Both ways give the same
result; a property test holds them against each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phasegraph import NS_PER_S
from phasegraph.net import PacketBatch, ipv4_number

from ..rtp import HEADER_BYTES
from .leg import Leg, RtpSender
from .stream_receiver import EARLY_LIMIT_NS, StreamReceiver

_NO_ROUTE = -1
_MOST_RUNS = 8
"""Runs that are looked for in a group of packets with gaps; the rest goes packet by packet."""


class Expectation(NamedTuple):
    """The next packet of a leg, as numbers."""

    word: int
    """First word of the header, with 0 for the sequence number."""
    number: int
    timestamp: int
    ssrc: int
    source: int
    """IPv4 address, in host order."""
    port: int
    seconds: int
    """Media time of the first frame: whole seconds, and frames. In ns, the index of a frame might not fit 64 bits."""
    frame: int
    frames: int
    """Frames of a packet."""
    length: int
    """Bytes of the datagram."""
    rate: int
    window_ns: int
    """The greatest lateness."""


NOTHING_EXPECTED = Expectation(-1, 0, 0, 0, 0, 0, 0, 0, 0, -2, 1, 0)
"""What no packet meets: no datagram has a length of -2."""
LEGS_TOGETHER = 4
"""Legs with packets that are as expected whose packets are handled without a stop: 40 us of work."""
_SHORTEST_RUN = 8
"""Fewer packets than this cost less one by one."""


class Route(NamedTuple):
    """Where the packets of a leg go."""

    receiver: StreamReceiver
    leg: Leg


def alike(leg: Leg, other: Leg) -> bool:
    """Whether packets could be of either leg: one address, and neither interface nor source differs."""
    one, two = leg.parameters, other.parameters
    apart = 0 != leg.interface != other.interface != 0 or (one.source and two.source and one.source != two.source)
    return one.address == two.address and not apart


def _layers(routes: Sequence[Route]) -> list[list[Route]]:
    # Routes of which no two in one layer get the same packets: several receivers of one stream are in as many layers.
    # Legs of other addresses are not alike: each is compared with those of its own.
    layers: list[list[Route]] = [[]]
    placed: dict[str, list[list[Leg]]] = {}
    free: dict[tuple[str, int, str | None], int] = {}  # the first layer that may be free for another leg of that kind
    for route in routes:
        parameters = route.leg.parameters
        kind = (parameters.address, route.leg.interface, parameters.source)
        legs_by_layer = placed.setdefault(parameters.address, [])
        at = free.get(kind, 0)
        while at < len(legs_by_layer) and any(alike(route.leg, leg) for leg in legs_by_layer[at]):
            at += 1
        free[kind] = at + 1
        if at == len(legs_by_layer):
            legs_by_layer.append([])
        if at == len(layers):
            layers.append([])
        legs_by_layer[at].append(route.leg)
        layers[at].append(route)
    return layers


def _made_of(routes: Sequence[Route]) -> list[tuple[int, Route]]:
    # In order of address.
    return sorted(((ipv4_number(route.leg.parameters.address), route) for route in routes), key=itemgetter(0))


class _Table:
    """Routes in order of address, no two of them alike. Not changed after it is made."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.made_of = _made_of(routes)
        """A layer of the same makes the same table."""
        self.routes = tuple(route for _, route in self.made_of)
        addresses = [address for address, _ in self.made_of]
        self._legs: dict[str, list[Leg]] = {}
        for route in self.routes:
            self._legs.setdefault(route.leg.parameters.address, []).append(route.leg)
        self._keys: NDArray[np.int64] = np.array(addresses, np.int64)
        _, first, count = np.unique(self._keys, return_index=True, return_counts=True)
        self._shared = [(int(at), int(n)) for at, n in zip(first, count, strict=True) if n > 1]
        # Legs with one address: they differ in interface or source.
        self._slot_type = np.int16 if len(self.routes) < 1 << 15 else np.int64  # numpy sorts 16 bits five times as fast
        self._only_key = addresses[0] if len(addresses) == 1 else None

    def has_alike(self, leg: Leg) -> bool:
        """See `Demultiplexer.has_alike`."""
        return any(alike(leg, other) for other in self._legs.get(leg.parameters.address, ()))

    def only_route(self, batch: PacketBatch, rows: slice) -> Route | None:
        """The route of all these packets, where the table has one alone and each of them takes it."""
        if self._only_key is None or not (batch.destination[rows] == self._only_key).all():
            return None
        return self.routes[0]

    def slots(self, batch: PacketBatch) -> NDArray[np.signedinteger[Any]]:
        """Of each packet the route, by its place in the table."""
        destinations = batch.destination[: batch.count]
        if not self.routes:
            return np.full(len(destinations), _NO_ROUTE)
        slots = np.minimum(np.searchsorted(self._keys, destinations), len(self._keys) - 1)
        slots = np.where(self._keys[slots] == destinations, slots, _NO_ROUTE).astype(self._slot_type)
        for first, count in self._shared:
            rows = np.flatnonzero(slots == first)
            slots[rows] = _NO_ROUTE
            for slot in range(first, first + count):
                leg, fits = self.routes[slot].leg, np.ones(len(rows), np.bool_)
                if leg.interface:
                    fits &= batch.interface[rows] == leg.interface
                if leg.parameters.source is not None:
                    fits &= batch.source[rows] == ipv4_number(leg.parameters.source)
                slots[rows[fits]] = slot
        return slots


class Demultiplexer:
    """Sorts the packets of one socket by leg: by destination address, interface and source."""

    def __init__(self) -> None:
        self._tables: tuple[_Table, ...] = (_Table(()),)
        """Of several receivers of one stream, the first is in the first table."""
        self.packets_unrouted = 0
        """Packets to addresses that no leg has. The data plane alone writes it."""

    @property
    def routes(self) -> tuple[Route, ...]:
        """The routes, in order of address; behind them the further receivers of the same streams."""
        return tuple(route for table in self._tables for route in table.routes)

    def set_routes(self, routes: Sequence[Route]) -> None:
        """Replace the routes. The control plane may call it: one reference changes, and a running `distribute` keeps
        the tables that it began with."""
        # Most changes are of one layer: with 32 receivers of one stream, the tables of the others stay.
        tables = []
        for number, layer in enumerate(_layers(routes)):
            before = self._tables[number] if number < len(self._tables) else None
            tables.append(before if before is not None and before.made_of == _made_of(layer) else _Table(layer))
        self._tables = tuple(tables)

    def add_route(self, route: Route) -> None:
        """As `set_routes` with one route more, at the cost of one table."""
        tables = list(self._tables)
        for number, table in enumerate(tables):
            if not table.has_alike(route.leg):
                tables[number] = _Table([*table.routes, route])
                break
        else:
            tables.append(_Table([route]))
        self._tables = tuple(tables)

    def has_alike(self, leg: Leg) -> bool:
        """Whether packets could be of this leg, or of one that has a route."""
        return any(table.has_alike(leg) for table in self._tables)

    def distribute(self, batch: PacketBatch, first: int = 0, stop: int | None = None) -> int:
        """Hand each packet of a batch, or of its rows ``first .. stop``, to the receiver of its leg.

        Returns how many of them went one by one: these cost many times more.
        """
        return sum(self.distribute_by_leg(batch, first, stop))

    def distribute_by_leg(self, batch: PacketBatch, first: int = 0, stop: int | None = None) -> Iterator[int]:
        """As `distribute`, the packets of a few legs at a time: what takes turns with other work stops in between.

        Yields after each how many of their packets went one by one.
        """
        count = (batch.count if stop is None else min(stop, batch.count)) - first
        if count > 0:
            for number, table in enumerate(self._tables):
                if number:  # several receivers of one stream: each costs as much as a few legs
                    yield 0
                yield from self._distribute(table, batch, first, count, counts_unrouted=number == 0)

    def _distribute(
        self, table: _Table, batch: PacketBatch, first: int, count: int, *, counts_unrouted: bool
    ) -> Iterator[int]:
        rows = slice(first, first + count)
        if (only := table.only_route(batch, rows)) is not None:  # most sockets have one leg: sorting costs more
            lateness, ok = _inspect_leg(batch, rows, only)
            if ok.all():
                _write_run(only, batch, rows, lateness, int(batch.arrival_ns[rows.stop - 1]))
            else:
                yield _write_mixed(only, batch, np.arange(first, first + count), lateness, ok)
            return
        slots = table.slots(batch)[rows]
        order = slots.argsort(kind="stable")
        slots = slots[order]
        order += first
        begins = np.ones(count + 1, np.bool_)
        np.not_equal(slots[1:], slots[:-1], out=begins[1:-1])
        edges = begins.nonzero()[0]
        starts, stops = edges[:-1], edges[1:]
        groups = [table.routes[slot] if slot >= 0 else None for slot in slots[starts].tolist()]
        if groups[0] is None and counts_unrouted:
            self.packets_unrouted += int(stops[0])
        lateness, ok = _inspect(batch, order, starts, stops, groups)
        clean = np.logical_and.reduceat(ok, starts)
        steps = _steps(order, starts, stops)
        lasts = order[stops - 1]
        together = 0
        for route, start, end, is_clean, step, low, high, arrival_ns in zip(
            groups,
            starts.tolist(),
            stops.tolist(),
            clean.tolist(),
            steps.tolist(),
            order[starts].tolist(),
            lasts.tolist(),
            batch.arrival_ns[lasts].tolist(),
            strict=True,
        ):
            if route is None:
                continue
            if route.leg.mapping_epoch != route.receiver.media_clock.mapping_epoch:
                ok[start:end] = is_clean = False  # its clock has jumped since they were compared
            if is_clean:
                places = slice(low, high + 1, step) if step else order[start:end]
                _write_run(route, batch, places, lateness[start:end], arrival_ns)
                together += 1
                if together == LEGS_TOGETHER:
                    together = 0
                    yield 0
            else:
                yield _write_mixed(route, batch, order[start:end], lateness[start:end], ok[start:end])


def _write_run(
    route: Route, batch: PacketBatch, rows: slice | NDArray[np.intp], lateness: NDArray[np.int64], arrival_ns: int
) -> None:
    # A run of packets that are as expected; the last arrived at ``arrival_ns``. A slice of rows is a view, which is
    # copied only once, into the ring.
    receiver, leg = route
    payloads = batch.data[rows, HEADER_BYTES : HEADER_BYTES + leg.frames_per_packet * leg.frame_bytes]
    receiver.write_run(leg, payloads, lateness, arrival_ns)


def _write_mixed(
    route: Route, batch: PacketBatch, rows: NDArray[np.intp], lateness: NDArray[np.int64], ok: NDArray[np.bool_]
) -> int:
    # Packets of one leg of which some are not as expected: runs of those that are, and the others one by one. Returns
    # how many of the others there were.
    singly = 0
    kept = _without_foreign(route, batch, rows)
    if kept is not None:
        rows = rows[kept]
        lateness, ok = _inspect_leg(batch, rows, route)
    for _ in range(_MOST_RUNS):
        good = len(ok) if ok.all() else int(np.argmin(ok))
        if good:
            _write_run(route, batch, rows[:good], lateness[:good], int(batch.arrival_ns[rows[good - 1]]))
        singly += _accept(route, batch, rows[good : good + 1])
        rows = rows[good + 1 :]
        if len(rows) < _SHORTEST_RUN:
            break
        lateness, ok = _inspect_leg(batch, rows, route)
    return singly + _accept(route, batch, rows)


def _without_foreign(route: Route, batch: PacketBatch, rows: NDArray[np.intp]) -> NDArray[np.bool_] | None:
    # Which rows remain where packets of other hosts are counted and left out, as `Leg.classify` does: while the
    # sender's own socket is active. None where there are none, or where another sender might take over.
    receiver, leg = route
    if leg.sender is None:
        return None
    away = (batch.source[rows] != leg.sender.address) | (batch.source_port[rows] != leg.sender.port)
    count = int(np.count_nonzero(away))
    if not count or count == len(rows):
        return None
    arrival = batch.arrival_ns[rows]
    active = arrival - np.maximum.accumulate(np.where(away, leg.last_home_ns, arrival)) < leg.active_ns
    if not active[away].all():
        return None
    whole = rows[away & (batch.length[rows] >= HEADER_BYTES)]
    newest = None
    if len(whole):
        last = int(whole[-1])
        ssrc = int.from_bytes(batch.data[last, 8:HEADER_BYTES].tobytes(), "big")
        newest = RtpSender(int(batch.source[last]), int(batch.source_port[last]), ssrc)
    receiver.count_others(leg, len(whole), count - len(whole), newest)
    kept: NDArray[np.bool_] = ~away
    return kept


def _accept(route: Route, batch: PacketBatch, rows: NDArray[np.intp]) -> int:
    receiver, leg = route
    columns = (batch.length, batch.arrival_ns, batch.source, batch.source_port)
    for row, *about in zip(rows.tolist(), *(column[rows].tolist() for column in columns), strict=True):
        receiver.accept(leg, batch.data[row], *about)
    return len(rows)


def expectation(route: Route) -> Expectation:
    """The next packet of a leg, by the newest estimate of its clock.

    `NOTHING_EXPECTED` before the first packet, and before one that is to set the mapping of timestamps.
    """
    receiver, leg = route
    media_clock, sender, number = receiver.media_clock, leg.sender, leg.sequence.expected
    if not media_clock.is_current:
        receiver.sync_to_clock()
    if sender is None or number is None or leg.mapping_epoch != media_clock.mapping_epoch:
        return NOTHING_EXPECTED
    return Expectation(
        0x80000000 | (leg.payload_type or 0) << 16,
        number,
        leg.next_timestamp,
        sender.ssrc,
        sender.address,
        sender.port,
        *divmod(leg.next_frame, leg.parameters.rate),
        leg.frames_per_packet,
        HEADER_BYTES + leg.frames_per_packet * leg.frame_bytes,
        leg.parameters.rate,
        leg.link_offset_ns,
    )


def _inspect_leg(
    batch: PacketBatch, rows: slice | NDArray[np.intp], route: Route
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    # As `_inspect`, of packets of one leg.
    expected = expectation(route)
    estimate = route.receiver.media_clock.estimate
    assert estimate is not None
    arrivals = batch.arrival_ns[rows]
    return _compare(batch, rows, np.arange(len(arrivals)), expected, estimate.references_at(arrivals))


def _inspect(
    batch: PacketBatch,
    order: NDArray[np.intp],
    starts: NDArray[np.intp],
    stops: NDArray[np.intp],
    groups: Sequence[Route | None],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    # For every packet its lateness (arrival after media time, ns), and whether it is exactly the next one, in time,
    # as long as all before it in its group are. What a leg expects is laid out per group and spread over its packets.
    sizes = stops - starts
    step = np.arange(len(order)) - starts.repeat(sizes)
    expected = [NOTHING_EXPECTED if route is None else expectation(route) for route in groups]
    columns = np.array(expected, np.int64).T.repeat(sizes, axis=1)
    return _compare(batch, order, step, columns, _reference(groups, sizes, batch.arrival_ns[order]))


def _compare(
    batch: PacketBatch,
    rows: slice | NDArray[np.intp],
    step: NDArray[np.intp],
    expected: Expectation | NDArray[np.int64],
    reference_ns: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    # ``step`` counts the packets of each leg. ``expected`` is of one leg, or has a column for every packet.
    word, number, timestamp, ssrc, source, port, seconds, frame, frames, length, rate, window_ns = expected
    headers: NDArray[np.int64] = batch.data[:, :HEADER_BYTES].view(">u4")[rows].astype(np.int64)
    # Version, padding, extension, CSRC count, payload type and sequence number in one comparison; the marker
    # bit does not matter. The sequence number wraps within its 16 bits.
    ok = headers[:, 0] & 0xFF7FFFFF == word | ((number + step) & 0xFFFF)
    frames_after = step * frames
    ok &= headers[:, 1] == (timestamp + frames_after) & 0xFFFFFFFF
    ok &= headers[:, 2] == ssrc
    ok &= batch.source[rows] == source
    ok &= batch.source_port[rows] == port
    ok &= batch.length[rows] == length
    lateness_ns = reference_ns - seconds * NS_PER_S - (frame + frames_after) * NS_PER_S // rate
    ok &= (lateness_ns <= window_ns) & (lateness_ns > -EARLY_LIMIT_NS)
    return lateness_ns, ok


def _reference(
    groups: Sequence[Route | None], sizes: NDArray[np.intp], arrivals: NDArray[np.int64]
) -> NDArray[np.int64]:
    # Arrival in each stream's reference time: streams on one clock together.
    estimates = [None if route is None else route.receiver.media_clock.estimate for route in groups]
    distinct = {id(estimate): estimate for estimate in estimates if estimate is not None}
    if len(distinct) == 1:
        return distinct.popitem()[1].references_at(arrivals)
    reference = np.zeros(len(arrivals), np.int64)
    start = 0
    for estimate, size in zip(estimates, sizes.tolist(), strict=True):
        if estimate is not None:
            reference[start : start + size] = estimate.references_at(arrivals[start : start + size])
        start += size
    return reference


def _steps(order: NDArray[np.intp], starts: NDArray[np.intp], stops: NDArray[np.intp]) -> NDArray[np.intp]:
    # The distance in the batch between the packets of each group, where they are at equal ones, as those of regular
    # senders are; else 0.
    sizes = stops - starts
    distances = np.empty_like(order)
    np.subtract(order[1:], order[:-1], out=distances[:-1])
    distances[starts[sizes == 1]] = 1
    steps: NDArray[np.intp] = distances[starts]
    distances[stops - 1] = steps  # a group ends with no distance of its own
    steps[np.logical_or.reduceat(distances != steps.repeat(sizes), starts)] = 0
    return steps
