"""Delay and loss of one stream's packets, whole stretches at once: for simulations without the packets' octets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .impairments import Impairment, drawn

_OVERTAKEN_BY_NS = 1_000
PACKETS = np.dtype(
    [
        ("frame", np.int64),  # the first that it holds
        ("arrival", np.int64),  # true time
        ("late", np.int64),  # arrival minus its first frame's media time
        ("lost", np.int64),  # packets that were lost just before it
        ("twice", np.bool_),
        ("overtaken", np.bool_),
    ]
)


class PacketArrivals:
    """The path of one stream through a network; `carry` is called with one stretch after the other."""

    def __init__(self, impairment: Impairment, random: np.random.Generator) -> None:
        self._how = impairment
        self._random = random
        self._newest = 0
        self._losing = False
        self._lost = 0

    def carry(self, frames: NDArray[np.int64], sent: NDArray[np.int64], lasts_ns: int) -> NDArray[np.void]:
        """The packets that arrive of those sent at these true times, in order of arrival, as `PACKETS`.

        ``frames`` are their first frames; a packet holds ``lasts_ns`` of audio and is sent when it is full.
        """
        kept = np.flatnonzero(~self._losses(len(sent)))
        packets = np.zeros(len(kept), PACKETS)
        packets["frame"] = frames[kept]
        packets["lost"] = np.diff(kept, prepend=-1) - 1
        if len(kept):
            packets["lost"][0] += self._lost
        self._lost = len(sent) - 1 - int(kept[-1]) if len(kept) else self._lost + len(sent)
        if not len(kept):
            return packets
        arrival = np.maximum.accumulate(np.maximum(self._newest, self._how.arrivals(sent[kept], self._random)))
        swap = drawn(self._how.swap, len(kept), self._random)
        swap[-1:] = False
        swap[1:] &= ~swap[:-1]
        moved = np.flatnonzero(swap)
        arrival[moved] = arrival[moved + 1] + _OVERTAKEN_BY_NS
        self._newest = int(arrival.max())
        packets["arrival"] = arrival
        packets["late"] = arrival - sent[kept] + lasts_ns
        packets["twice"] = drawn(self._how.duplicate, len(kept), self._random)
        packets["overtaken"] = swap
        return packets[np.argsort(arrival, kind="stable")] if len(moved) else packets

    def _losses(self, count: int) -> NDArray[np.bool_]:
        how = self._how
        if how.loss_burst <= 1.0 or how.loss in (0.0, 1.0):
            return drawn(how.loss, count, self._random)
        # Two states, good and losing; the transitions make ``loss`` the share and ``loss_burst`` the mean length.
        lost = np.zeros(count, np.bool_)
        at = 0
        while at < count:
            # The state lasts for a geometric number of packets, which has no memory: a stretch may end anywhere.
            length = int(self._random.geometric(1.0 / how.loss_burst if self._losing else how.loss_begins))
            lost[at : at + length] = self._losing
            if at + length <= count:
                self._losing = not self._losing
            at += length
        return lost
