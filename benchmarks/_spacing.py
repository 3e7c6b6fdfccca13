"""How evenly packets leave: the arithmetic on arrival stamps (no sockets, so that tests can call it)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_BLOCKS = 16


@dataclass(frozen=True)
class Spacing:
    """Delays of a stream's packets over its fastest packet, and its bursts."""

    p50_us: float
    p99_us: float
    max_us: float
    back_to_back: float  # share of gaps shorter than a tenth of the packet time
    rate_ppm: float  # of the sender's packet clock against the stamps; fitted out of the delays
    packets: int


class Delays(NamedTuple):
    """Of each packet over the fastest, and by how many ns a packet the grid was stretched."""

    delay_ns: npt.NDArray[np.float64]
    slope: float


def unwrap(sequence: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """RTP sequence numbers without the wrap at 65536, counted from the first."""
    if sequence.size == 0:
        return sequence
    steps = (np.diff(sequence) + 0x8000) % 0x10000 - 0x8000
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(steps)))


def missing(sequence: npt.NDArray[np.int64]) -> int:
    """Packets that are absent between the first and the last."""
    if sequence.size == 0:
        return 0
    numbers = np.unique(unwrap(sequence))
    return int(numbers[-1] - numbers[0] + 1 - numbers.size)


def delays(arrival_ns: npt.NDArray[np.int64], sequence: npt.NDArray[np.int64], packet_ns: float) -> Delays | None:
    """Compare arrivals with an ideal grid through the fastest packet; None with fewer than ten packets.

    The grid's rate is a line through the fastest packet of each of 16 stretches: a fit through all packets
    would let a few late ones tilt the grid.
    """
    if arrival_ns.size < 10:
        return None
    number = unwrap(sequence).astype(np.float64)
    delay = (arrival_ns - arrival_ns[0]).astype(np.float64) - number * packet_ns
    slope = 0.0
    if arrival_ns.size >= 10 * _BLOCKS:
        blocks = np.array_split(np.arange(delay.size), _BLOCKS)
        fastest = [int(block[np.argmin(delay[block])]) for block in blocks]
        slope = float(np.polyfit(number[fastest], delay[fastest], 1)[0])
    delay -= slope * number
    return Delays(delay - delay.min(), slope)


def spacing(arrival_ns: npt.NDArray[np.int64], sequence: npt.NDArray[np.int64], packet_ns: float) -> Spacing | None:
    """How even the arrivals are; None with fewer than ten packets."""
    found = delays(arrival_ns, sequence, packet_ns)
    if found is None:
        return None
    gaps = np.diff(arrival_ns)
    p50, p99, top = (float(v) / 1000 for v in np.percentile(found.delay_ns, (50, 99, 100)))
    return Spacing(
        p50_us=p50,
        p99_us=p99,
        max_us=top,
        back_to_back=float(np.mean(gaps < 0.1 * packet_ns)),
        rate_ppm=-found.slope / packet_ns * 1e6,
        packets=int(arrival_ns.size),
    )
