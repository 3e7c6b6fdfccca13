"""From what callbacks note to the card's timeline: the choice of a time source, and the way into local time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from phasegraph import NS_PER_S, LocalClock, bracketed_offset

from .card_timeline import Timeline
from .time_source import SETTLING, Stamp, TimeSource, choose, enough

_STEP_NS = 1_000_000
"""By so much a foreign clock does not drift from one look to the next: it was stepped."""
_NEAR_NS = 1_000_000_000
_PATIENCE_NS = 5 * NS_PER_S
"""For so long an xrun has the look at the first callbacks begin anew."""
_MOST_NOTES = 4096
"""Callbacks that may run while the data plane does not: seconds."""
_LONGEST_REST_NS = 4_000_000
_SHORTEST_REST_NS = 500_000

ReadClock = Callable[[], int]
"""A clock's time now, in ns."""


class StampReader:
    """Turns the stamps of one opened card into a `Timeline`, and says how many frames have gone by uncalled.

    The callback calls `note`, the data plane `read`. The frame of a stamp is ``called + skipped``.
    """

    def __init__(
        self,
        rate: int,
        local: LocalClock,
        *,
        capture: bool = False,
        before: Timeline | None = None,
    ) -> None:
        """``before`` is the timeline of the same card before it was lost: frames go on where they would have been."""
        self.skipped = 0
        """Frames that have gone by without a callback: lost in xruns, or while the card was away."""
        self.skipped_from = 0
        """The ``called`` from which that many hold; the frames before it were numbered with fewer."""
        self.timeline: Timeline | None = None
        """None until the time source is chosen."""
        self.source: TimeSource | None = None
        self.xruns = 0
        """Those that the driver reported since then."""
        self.largest = 1
        """Frames of the largest callback."""
        self.newest_ns = local.now_ns()
        """Local time of the newest callback, or of the opening."""
        self.newest_end = 0
        """The ``called`` after it."""
        self._noted: deque[tuple[int, int, float, float, int, bool]] = deque(maxlen=_MOST_NOTES)
        self._rate = rate
        self._local = local.now_ns
        self._latency_s = 0.0
        self._capture = capture
        self._before = before
        # The clocks that drivers stamp with, the likeliest first. Where time is simulated, so is the card's.
        self._clocks: list[ReadClock] = [self._local]
        if not local.virtual:
            self._clocks = [time.monotonic_ns, lambda: self._local() + local.realtime_offset_ns(), self._local]
        self._clock = self._local
        self._offset = 0
        self._first: list[Stamp] = []
        self._opened_ns = 0
        self._newest_s = 0.0

    def opened(self, latency_s: float, stream_time: ReadClock) -> None:
        """Say what the driver says of its latency, and how to ask it for its time.

        That is asked only where it keeps none of the system's. To be called before the first `read`.
        """
        self._latency_s = latency_s
        self.newest_ns = self._local()
        self._clocks.append(stream_time)

    def note(self, called: int, count: int, device_s: float, now_s: float, xrun: bool) -> None:
        """Callback: what there is to say of it, as in `Stamp`."""
        self._noted.append((called, count, device_s, now_s, self._local(), xrun))

    def read(self) -> None:
        """Data plane: take in what callbacks noted since the last call."""
        fresh = []
        while self._noted:
            fresh.append(Stamp(*self._noted.popleft()))
        if not fresh:
            return
        self.newest_ns = fresh[-1].entry_ns
        self.newest_end = fresh[-1].called + fresh[-1].count
        self.largest = max(self.largest, *(stamp.count for stamp in fresh))
        if self.timeline is not None:
            self.xruns += sum(stamp.xrun for stamp in fresh)
            self._feed(fresh)
            return
        for stamp in fresh:
            self._opened_ns = self._opened_ns or stamp.entry_ns
            if stamp.xrun and stamp.entry_ns - self._opened_ns < _PATIENCE_NS:
                self._first.clear()  # times from before and after a loss are on no line
            self._first.append(stamp)
        if enough(self._first):
            self._feed(self._begin())

    def rest_ns(self) -> int:
        """How long the data plane may rest between two looks: a part of the time from callback to callback."""
        return min(_LONGEST_REST_NS, max(_SHORTEST_REST_NS, self.largest * NS_PER_S // self._rate // 4))

    def _feed(self, fresh: Sequence[Stamp]) -> None:
        assert self.source is not None
        if self.source.device:
            offset = bracketed_offset(self._local, self._clock)
            before, self._offset = self._offset, offset
            if abs(offset - before) > _STEP_NS:
                return
        for stamp in fresh:
            self._observe(stamp)

    def _begin(self) -> list[Stamp]:
        first, self._first = self._first, []
        self.source = choose(first, self._rate, latency_s=self._latency_s, capture=self._capture)
        if self.source.device:
            newest = first[-1]
            age_ns = self._local() - newest.entry_ns
            near = (clock for clock in self._clocks if abs(clock() - age_ns - newest.now_s * NS_PER_S) < _NEAR_NS)
            self._clock = next(near, self._clocks[-1])
            self._offset = bracketed_offset(self._local, self._clock)
        first = first[SETTLING:]
        late = not self.source.device
        if self._before is not None and self._before.late == late:
            self.timeline = self._before
            frame, local_ns = self._point(first[0])
            self.skipped = self.timeline.frame_at(local_ns) - frame
        else:
            self.timeline = Timeline(self._rate, late=late, slope=self.source.slope)
        return first

    def _observe(self, stamp: Stamp) -> None:
        assert self.timeline is not None
        if self.source is not None and self.source.device and stamp.now_s == self._newest_s and not stamp.xrun:
            return  # one measurement, which the driver has extrapolated for several callbacks
        self._newest_s = stamp.now_s
        frame, local_ns = self._point(stamp)
        lost = self.timeline.observe(frame + self.skipped, local_ns, stamp.xrun)
        if lost:
            self.skipped_from = self.timeline.lost_from - self.skipped
            self.skipped += lost

    def _point(self, stamp: Stamp) -> tuple[int, int]:
        # A frame, counted without what was skipped, and the local time at which it sounds.
        assert self.source is not None
        if self.source.device:
            return stamp.called, round(stamp.device_s * NS_PER_S) - self._offset
        return stamp.called, stamp.entry_ns + self.source.latency_ns
