"""One simulated link from one host to another: which packets arrive, and when."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .impairments import Counts, Faults, Impairment, chosen, drawn

_SWAPPED_BY_NS = 1_000
"""A packet that changes places with its successor arrives this long after it."""


class Packets:
    """Datagrams as arrays, one row each."""

    __slots__ = ("arrival", "data", "flow", "length")

    def __init__(
        self,
        data: NDArray[np.uint8],
        length: NDArray[np.int64],
        flow: NDArray[np.int64],
        arrival: NDArray[np.int64],
    ) -> None:
        self.data = data
        self.length = length
        self.flow = flow
        """Number of the flow (destination address and port) on the wire."""
        self.arrival = arrival
        """True time at the far end."""

    def rows(self, which: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Packets:
        """Some of them."""
        return Packets(self.data[which], self.length[which], self.flow[which], self.arrival[which])


def join(parts: list[Packets]) -> Packets:
    """Several batches as one, in order."""
    if len(parts) == 1:
        return parts[0]
    width = max(part.data.shape[1] for part in parts)
    data = np.zeros((sum(len(part.data) for part in parts), width), np.uint8)
    row = 0
    for part in parts:
        data[row : row + len(part.data), : part.data.shape[1]] = part.data
        row += len(part.data)
    return Packets(
        data,
        np.concatenate([part.length for part in parts]),
        np.concatenate([part.flow for part in parts]),
        np.concatenate([part.arrival for part in parts]),
    )


class Link:
    """Carries packets from one host to another. Its impairment and faults may change while it runs."""

    def __init__(self, impairment: Impairment, faults: Faults, seed: tuple[int, ...]) -> None:
        self.impairment = impairment
        self.faults = faults
        self.truth = Counts()
        self._random = np.random.default_rng(seed)
        self._numbers: NDArray[np.int64] = np.zeros(16, np.int64)
        self._last: NDArray[np.int64] = np.zeros(16, np.int64)
        self._losing: NDArray[np.bool_] = np.zeros(16, np.bool_)
        self._waiting: dict[int, Packets] = {}

    def carry(self, packets: Packets, now: int) -> Packets:
        """The packets that arrive of those sent at true time ``now``, with their times of arrival."""
        self.truth.carried += len(packets.flow)
        most = int(packets.flow.max())
        if most >= len(self._numbers):
            self._grow(most)
        parts = [self._carry(batch, now) for batch in _batches(packets)]
        result = join(parts)
        self.truth.delivered += len(result.flow)
        return result

    def _grow(self, flow: int) -> None:
        more = flow + 1 - len(self._numbers) + 64
        self._numbers = np.pad(self._numbers, (0, more))
        self._last = np.pad(self._last, (0, more))
        self._losing = np.pad(self._losing, (0, more))

    def _carry(self, packets: Packets, now: int) -> Packets:
        # No flow has more than one row here.
        flow = packets.flow
        numbers = self._numbers[flow]
        self._numbers[flow] = numbers + 1
        if self._only_delays():
            return Packets(packets.data, packets.length, flow, self._arrivals(flow, now))
        lost = self._lost(flow, numbers)
        if lost.any():
            self.truth.dropped += int(np.count_nonzero(lost))
            packets, numbers, flow = packets.rows(~lost), numbers[~lost], flow[~lost]
        packets = Packets(packets.data, packets.length, flow, self._arrivals(flow, now))
        twice = drawn(self.impairment.duplicate, len(flow), self._random) | chosen(self.faults.duplicate, numbers)
        swap = drawn(self.impairment.swap, len(flow), self._random) | chosen(self.faults.swap, numbers)
        swap &= ~twice  # or it would change places with itself
        if twice.any():
            self.truth.duplicated += int(np.count_nonzero(twice))
            order = np.sort(np.concatenate([np.arange(len(flow)), np.flatnonzero(twice)]))
            packets, swap = packets.rows(order), swap[order]
        if self._waiting or swap.any():
            packets = self._swap(packets, swap)
        return packets

    def _only_delays(self) -> bool:
        how, faults = self.impairment, self.faults
        chances = how.loss or how.duplicate or how.swap
        return not (chances or faults.drop or faults.duplicate or faults.swap or self._waiting)

    def _arrivals(self, flow: NDArray[np.int64], now: int) -> NDArray[np.int64]:
        sent = np.full(len(flow), now, np.int64)
        arrival = np.maximum(self.impairment.arrivals(sent, self._random), self._last[flow])
        self._last[flow] = arrival
        return arrival

    def _lost(self, flow: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        lost = chosen(self.faults.drop, numbers)
        how = self.impairment
        if how.loss:
            # Two states per flow, good and losing: losing has the share ``loss`` and the mean length ``loss_burst``.
            losing = self._losing[flow]
            chance = self._random.random(len(flow))
            in_burst = np.where(losing, chance >= 1.0 / how.loss_burst, chance < how.loss_begins)
            losing = in_burst if how.loss_burst > 1.0 else chance < how.loss
            self._losing[flow] = losing
            lost |= losing
        return lost

    def _swap(self, packets: Packets, swap: NDArray[np.bool_]) -> Packets:
        # A packet that changes places waits for the next one of its flow. Without a next one it never arrives.
        parts: list[Packets] = []
        released: list[Packets] = []
        for row, flow in enumerate(packets.flow.tolist()):
            packet = packets.rows(slice(row, row + 1))
            held = self._waiting.get(flow)
            if held is None and swap[row]:
                self._waiting[flow] = Packets(packet.data.copy(), packet.length.copy(), packet.flow, packet.arrival)
                continue
            parts.append(packet)
            if held is not None:
                self._waiting.pop(flow)
                held.arrival = packet.arrival + _SWAPPED_BY_NS
                self._last[flow] = held.arrival[0]
                self.truth.swapped += 1
                released.append(held)
        return join(parts + released) if parts else packets.rows(slice(0, 0))


def _batches(packets: Packets) -> list[Packets]:
    # Split so that no batch has two packets of one flow, because the fate of a packet depends on the previous one.
    flow = packets.flow
    if len(flow) == 1 or len(np.unique(flow)) == len(flow):
        return [packets]
    order = np.argsort(flow, kind="stable")
    ordered = flow[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    lengths = np.diff(np.append(begins, len(flow)))
    nth = np.empty(len(flow), np.int64)
    nth[order] = np.arange(len(flow)) - np.repeat(begins, lengths)
    return [packets.rows(nth == n) for n in range(int(lengths.max()))]
