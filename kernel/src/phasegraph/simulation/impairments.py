"""How a simulated link delays, loses and reorders packets: at random from a seed, or exactly by a script."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from .._core.localtime import StampKind


class Impairment(msgspec.Struct, frozen=True, kw_only=True):
    """Random impairment, the same in every run with the same seed. Packets of one flow keep their order unless ``swap``
    is set, as in a network of queues."""

    delay_ns: int = 20_000
    """Delay of every packet."""
    jitter_ns: int = 0
    """Additional delay: its maximum if ``jitter`` is uniform, its mean if it is exponential."""
    jitter: Literal["uniform", "exponential"] = "uniform"
    loss: float = 0.0
    """Probability that a packet is lost."""
    loss_burst: float = 1.0
    """Mean number of packets that are lost together."""
    duplicate: float = 0.0
    """Probability that a packet arrives twice."""
    swap: float = 0.0
    """Probability that a packet changes places with the next of its flow."""
    burst_ns: int = 0
    """Packets wait for the next multiple of this and arrive together, as over Wi-Fi; 0 for none."""

    def arrivals(self, sent: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
        """When packets arrive that are sent at these times, without regard to their order."""
        arrival = sent + self.delay_ns
        if self.jitter_ns:
            if self.jitter == "exponential":
                arrival += random.exponential(self.jitter_ns, len(sent)).astype(np.int64)
            else:
                arrival += random.integers(0, self.jitter_ns, len(sent), endpoint=True)
        if self.burst_ns:
            arrival = -(-arrival // self.burst_ns) * self.burst_ns
        return arrival

    @property
    def loss_begins(self) -> float:
        """Probability that a burst of loss begins with a packet: it makes ``loss`` the share of lost packets."""
        return min(1.0, self.loss / (self.loss_burst * (1.0 - self.loss))) if self.loss < 1.0 else 1.0


class Every(msgspec.Struct, frozen=True):
    """Every ``n``-th packet of a flow, beginning with number ``first`` (packets count from 0)."""

    n: int
    first: int = 0


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """A script: numbers of the packets of every flow that it affects, so that a test knows the exact counts.

    A flow is the packets to one address and port. They count from 0 when the first receiver listens.
    """

    drop: Collection[int] | Every = ()
    duplicate: Collection[int] | Every = ()
    swap: Collection[int] | Every = ()
    """These change places with the next packet of the flow that is not dropped."""


class Stamping(msgspec.Struct, frozen=True, kw_only=True):
    """How a simulated host timestamps the packets of its stamped sockets."""

    kind: StampKind = StampKind.KERNEL
    """The kind of timestamp; with ``user``, arrivals are stamped when they are read."""
    noise_ns: int = 0
    """Standard deviation of a timestamp."""
    latency_ns: int = 20_000
    """Delay until the reader reads an event: the mean of an exponential distribution."""
    missing_transmit: Collection[int] | Every = ()
    """Departures of a socket that get no timestamp, counted from 0."""


class Counts(msgspec.Struct):
    """True counts of a link, in packets."""

    carried: int = 0
    """Packets sent to a host that listened."""
    dropped: int = 0
    duplicated: int = 0
    swapped: int = 0
    delivered: int = 0
    """Packets that have arrived or are in transit, duplicates included."""


def drawn(probability: float, count: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """For each of ``count`` packets, whether it is drawn with this probability."""
    if not probability:
        return np.zeros(count, np.bool_)
    return random.random(count) < probability


def chosen(which: Collection[int] | Every, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of these packet numbers a script selects."""
    if isinstance(which, Every):
        result: NDArray[np.bool_] = (numbers >= which.first) & ((numbers - which.first) % which.n == 0)
        return result
    if not which:
        return np.zeros(len(numbers), np.bool_)
    return np.array([int(number) in which for number in numbers], np.bool_)
