"""When a card's frames sound (or were captured), by its stamps: its rate, its lost frames, and the uncertainty of both.

A timeline is a straight line through (frame, local time). Its slope is fitted to the stamps of the last half minute,
its place to the newest. Frames that the card lost in an xrun show as a jump of the line: every later frame sounds later
by the lost time.
"""

from __future__ import annotations

import math
import statistics
from collections import deque

import numpy as np

from phasegraph import NS_PER_S

BIN_S = 0.125
"""Stamps of this time become one point of the line."""
BINS = 240
"""Points that the line is fitted to: half a minute. A card that warms up by 1 ppm a minute bends it by 1.3 us."""
ENVELOPE_BINS = 16
"""Points whose earliest gives the line its place, where stamps are late by unknown amounts."""
SETTLED_BINS = 4
"""Points that a stamp is compared with, where stamps are as often early as late."""
SLOPE_SPAN_S = 1.0
"""A shorter line has no slope of its own."""
LARGEST_SLOPE = 1e6
"""In ns per second: 1000 ppm."""
JUMP_NS = 1_000_000
"""A deviation beyond this, and beyond eight times the usual, is a jump that the driver did not report."""
STAMPS_OF_A_JUMP = 12
STAMPS_OF_AN_XRUN = 3
"""Stamps in a row that must deviate before a jump counts; fewer where the driver has reported an xrun."""


class _LinePoint:
    """The mean of some stamps, or the earliest of them: ``y`` ns off the nominal rate at ``x`` seconds."""

    __slots__ = ("count", "x", "y")

    def __init__(self, x: float, y: float) -> None:
        self.x, self.y, self.count = x, y, 1


class CardTimeline:
    """The line of one card, from stamps in order."""

    def __init__(self, rate: int, *, late: bool = False, slope: float = 0.0, exact: bool = False) -> None:
        """``late``: stamps are late by varying amounts (they are the moments of callbacks), so the earliest count.

        ``slope`` is the first guess of how much longer than nominal a frame lasts. ``exact``: stamps have no noise of
        their own, so a deviation from the newest is a jump, in either direction.
        """
        self.rate = rate
        self.late = late
        self.exact = exact
        self.jitter_ns = 0.0
        """Mean deviation of the stamps from the line."""
        self.lost_from = 0
        """The number, before it is raised, of the first frame that was stamped after the newest loss."""
        self._anchor: tuple[int, int] | None = None
        self._points: deque[_LinePoint] = deque(maxlen=BINS)
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
        """How much faster than nominal the card runs, against local time."""
        return -self._slope / (1.0 + self._slope * 1e-9)

    @property
    def sigma_ns(self) -> float:
        """One standard deviation of `fitted_time_of` at the newest frame, from the scatter of the points."""
        if len(self._points) < SETTLED_BINS:
            return NS_PER_S / self.rate + self.jitter_ns
        return 1.0 + 2.0 * statistics.pstdev(self._offs()) / math.sqrt(len(self._points))

    def time_of(self, frame: int) -> int:
        """Local time at which a frame sounds, by the newest stamp: without delay, and with the noise of a stamp."""
        return self._at(frame, self._place)

    def fitted_time_of(self, frame: int) -> int:
        """Local time at which a frame sounds, by the fit to all points."""
        if self.late:
            return self._at(frame, self._place)
        weight = sum(point.count for point in self._points)
        off = sum((point.y - self._slope * point.x) * point.count for point in self._points) / weight
        return self._at(frame, off)

    def frame_at(self, local_ns: int) -> int:
        """The frame that sounds at a local time, to the nearest."""
        assert self._anchor is not None, "no stamp was added yet"
        frame, ns = self._anchor
        elapsed_ns = (local_ns - ns - self._place) / (1.0 + self._slope * 1e-9)
        return frame + round(elapsed_ns * self.rate / NS_PER_S)

    def forget_points(self) -> None:
        """Forget the points of the line, not its frame numbers: the card was away."""
        self._points.clear()
        self._doubtful.clear()

    def add_stamp(self, frame: int, local_ns: int, xrun: bool = False) -> int:
        """Add a stamp: ``frame`` sounds at ``local_ns``; ``xrun`` if the driver has reported one since the last stamp.

        Returns how many frames were lost before it, as far as this stamp shows: the numbers of this frame and of all
        later ones rise by that count.
        """
        if self._anchor is None:
            self._anchor = frame, local_ns
        self._announced = STAMPS_OF_AN_XRUN + 1 if xrun else max(0, self._announced - 1)
        deviation = (
            self._residual(frame, local_ns)
            - self._slope * self._x(frame)
            - (self._place if self.exact else self._settled)
        )
        off = deviation if self.late else abs(deviation)  # no callback runs too early
        if not self._points or off <= self._deviation_limit():
            self._doubtful.clear()  # the doubtful stamps were outliers
            self._add_point(frame, local_ns)
            return 0
        self._doubtful.append((frame, local_ns, deviation))
        if len(self._doubtful) < self._stamps_of_jump():
            return 0
        return self._apply_jump()

    def _apply_jump(self) -> int:
        doubtful, self._doubtful, self._announced = self._doubtful, [], 0
        if self.exact:
            doubtful = doubtful[-1:]  # the newest knows most of the jump
        deviations = [deviation for _, _, deviation in doubtful]
        jump = min(deviations) if self.late else statistics.median(deviations)
        lost = round(jump * self.rate / (NS_PER_S + self._slope))
        if not self.exact:
            lost = max(0, lost)
        if lost:
            self.lost_from = doubtful[0][0]
        if not lost:  # the frames sound earlier than the line: no frame is missing, and the line moves
            for point in self._points:
                point.y += jump
        for frame, local_ns, _ in doubtful:
            self._add_point(frame + lost, local_ns)
        return lost

    def _deviation_limit(self) -> float:
        if self._announced:
            return 0.5 * NS_PER_S / self.rate if self.exact else NS_PER_S / self.rate + 4.0 * self.jitter_ns
        return JUMP_NS + 8.0 * self.jitter_ns

    def _stamps_of_jump(self) -> int:
        if self._announced or self.exact:
            return STAMPS_OF_AN_XRUN
        return STAMPS_OF_A_JUMP * (4 if self.late else 1)

    def _add_point(self, frame: int, local_ns: int) -> None:
        x, y = self._x(frame), self._residual(frame, local_ns)
        newest = self._points[-1] if self._points else None
        if newest is None or x // BIN_S != newest.x // BIN_S:
            self._fit_slope()
            self._points.append(_LinePoint(x, y))
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

    def _fit_slope(self) -> None:
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
        # Exact in integers: only the difference from the nominal line becomes a float.
        assert self._anchor is not None
        return local_ns - self._anchor[1] - (frame - self._anchor[0]) * NS_PER_S // self.rate

    def _at(self, frame: int, place: float) -> int:
        assert self._anchor is not None, "no stamp was added yet"
        nominal = (frame - self._anchor[0]) * NS_PER_S // self.rate
        return self._anchor[1] + nominal + round(self._slope * self._x(frame) + place)
