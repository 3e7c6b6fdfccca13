"""When a card's frames sound (or were heard), from stamps: which frames it lost, how fast it runs, how sure that is.

A timeline is a straight line through (frame, local time), drawn through the stamps of the last half minute for its
slope and through the newest for its place. Frames that the card lost in an xrun are found by the line alone: from
then on every frame sounds later by what was lost.
"""

from __future__ import annotations

import math
import statistics
from collections import deque

import numpy as np

from phasegraph import NS_PER_S

BIN_S = 0.125
"""Stamps of so much time become one point of the line."""
BINS = 240
"""Points that the line is drawn through: half a minute. A card that warms up by 1 ppm a minute bends it by 1.3 us."""
ENVELOPE_BINS = 16
"""Points whose earliest places the line, where stamps are late by unknown amounts."""
SETTLED_BINS = 4
"""Points that a stamp is compared with, where stamps are early as often as late."""
SLOPE_SPAN_S = 1.0
"""A shorter line has no slope of its own."""
LARGEST_SLOPE = 1e6
"""In ns per second: 1000 ppm."""
JUMP_NS = 1_000_000
"""A deviation beyond this, and beyond eight times the usual, is taken for a jump that nothing announced."""
STAMPS_OF_A_JUMP = 12
STAMPS_OF_AN_XRUN = 3
"""Stamps in a row that must deviate before a jump is believed; fewer where the driver has reported an xrun."""


class _Point:
    """The mean of some stamps, or the earliest of them: ``y`` ns off the nominal rate at ``x`` seconds."""

    __slots__ = ("count", "x", "y")

    def __init__(self, x: float, y: float) -> None:
        self.x, self.y, self.count = x, y, 1


class Timeline:
    """The line of one card. Give it stamps in order; ask it when a frame sounds."""

    def __init__(self, rate: int, *, late: bool, slope: float = 0.0) -> None:
        """``late``: stamps are late by varying amounts (they were taken when a callback ran), so the earliest count.

        ``slope`` is the first guess of how much longer than nominal a frame lasts.
        """
        self.rate = rate
        self.late = late
        self.jitter_ns = 0.0
        """Mean deviation of the stamps from the line."""
        self.lost_from = 0
        """The number, before it is raised, of the first frame that was stamped after the newest loss."""
        self._anchor: tuple[int, int] | None = None
        self._points: deque[_Point] = deque(maxlen=BINS)
        self._slope = slope * 1e9  # ns per second of frames
        self._place = 0.0  # ns off the anchor's line, by the newest stamp (or the earliest of the newest)
        self._settled = 0.0  # the same by the newest points: what the next stamp is compared with
        self._doubtful: list[tuple[int, int, float]] = []
        self._announced = 0

    @property
    def doubtful(self) -> bool:
        """Whether frames may have been lost just now: the driver reported an xrun, and too few stamps have followed."""
        return self._announced > 0

    @property
    def span_s(self) -> float:
        """Time between the first and the last point of the line."""
        return self._points[-1].x - self._points[0].x if self._points else 0.0

    @property
    def rate_ppb(self) -> float:
        """How much the card runs fast of local time."""
        return -self._slope / (1.0 + self._slope * 1e-9)

    @property
    def sigma_ns(self) -> float:
        """One standard deviation of `line` at its newest end, from the scatter of its points."""
        if len(self._points) < SETTLED_BINS:
            return NS_PER_S / self.rate + self.jitter_ns
        return 1.0 + 2.0 * statistics.pstdev(self._offs()) / math.sqrt(len(self._points))

    def time_of(self, frame: int) -> int:
        """Local time at which a frame sounds, by the newest stamp: fresh, and as noisy as stamps are."""
        return self._at(frame, self._place)

    def line(self, frame: int) -> int:
        """Local time at which a frame sounds, by all points together."""
        if self.late:
            return self._at(frame, self._place)
        weight = sum(point.count for point in self._points)
        off = sum((point.y - self._slope * point.x) * point.count for point in self._points) / weight
        return self._at(frame, off)

    def frame_at(self, local_ns: int) -> int:
        """The frame that sounds at a local time, to the nearest."""
        assert self._anchor is not None, "nothing was observed yet"
        frame, ns = self._anchor
        elapsed_ns = (local_ns - ns - self._place) / (1.0 + self._slope * 1e-9)
        return frame + round(elapsed_ns * self.rate / NS_PER_S)

    def observe(self, frame: int, local_ns: int, xrun: bool = False) -> int:
        """Take in a stamp: ``frame`` sounds at ``local_ns``; ``xrun`` if the driver has reported one since the last.

        Returns how many frames are now known to have been lost before it: the numbers of this frame and of all that
        follow are to be raised by so many.
        """
        if self._anchor is None:
            self._anchor = frame, local_ns
        self._announced = STAMPS_OF_AN_XRUN + 1 if xrun else max(0, self._announced - 1)
        deviation = self._residual(frame, local_ns) - self._slope * self._x(frame) - self._settled
        off = deviation if self.late else abs(deviation)  # nothing is too early to be true
        if not self._points or off <= self._limit():
            self._doubtful.clear()  # they were outliers
            self._add(frame, local_ns)
            return 0
        self._doubtful.append((frame, local_ns, deviation))
        if len(self._doubtful) < self._enough():
            return 0
        return self._jump()

    def _jump(self) -> int:
        doubtful, self._doubtful, self._announced = self._doubtful, [], 0
        deviations = [deviation for _, _, deviation in doubtful]
        jump = min(deviations) if self.late else statistics.median(deviations)
        lost = max(0, round(jump * self.rate / (NS_PER_S + self._slope)))
        if lost:
            self.lost_from = doubtful[0][0]
        if not lost:  # it sounds earlier than was thought: no frame is missing, but the line moves
            for point in self._points:
                point.y += jump
        for frame, local_ns, _ in doubtful:
            self._add(frame + lost, local_ns)
        return lost

    def _limit(self) -> float:
        if self._announced:
            return NS_PER_S / self.rate + 4.0 * self.jitter_ns
        return JUMP_NS + 8.0 * self.jitter_ns

    def _enough(self) -> int:
        if self._announced:
            return STAMPS_OF_AN_XRUN
        return STAMPS_OF_A_JUMP * (4 if self.late else 1)

    def _add(self, frame: int, local_ns: int) -> None:
        x, y = self._x(frame), self._residual(frame, local_ns)
        newest = self._points[-1] if self._points else None
        if newest is None or x // BIN_S != newest.x // BIN_S:
            self._fit()
            self._points.append(_Point(x, y))
        else:
            newest.count += 1
            if not self.late:
                newest.x += (x - newest.x) / newest.count
                newest.y += (y - newest.y) / newest.count
            elif y - newest.y < self._slope * (x - newest.x):
                newest.x, newest.y = x, y
        off = y - self._slope * x
        offs = self._offs(ENVELOPE_BINS if self.late else SETTLED_BINS)
        self._settled = min(offs) if self.late else sum(offs) / len(offs)
        self._place = self._settled if self.late else off
        self.jitter_ns += (abs(off - self._settled) - self.jitter_ns) / 64

    def _fit(self) -> None:
        if self.span_s >= SLOPE_SPAN_S:
            points = np.array([(point.x, point.y) for point in self._points])
            points -= points.mean(axis=0)
            slope = float(points[:, 0] @ points[:, 1] / (points[:, 0] @ points[:, 0]))
            self._slope = min(LARGEST_SLOPE, max(-LARGEST_SLOPE, slope))

    def _offs(self, newest: int = BINS) -> list[float]:
        skipped = max(0, len(self._points) - newest)
        return [point.y - self._slope * point.x for point in list(self._points)[skipped:]]

    def _x(self, frame: int) -> float:
        assert self._anchor is not None
        return (frame - self._anchor[0]) / self.rate

    def _residual(self, frame: int, local_ns: int) -> int:
        # Exact in integers: only what is left of the epochs becomes a float.
        assert self._anchor is not None
        return local_ns - self._anchor[1] - (frame - self._anchor[0]) * NS_PER_S // self.rate

    def _at(self, frame: int, place: float) -> int:
        assert self._anchor is not None, "nothing was observed yet"
        nominal = (frame - self._anchor[0]) * NS_PER_S // self.rate
        return self._anchor[1] + nominal + round(self._slope * self._x(frame) + place)
