"""From the stamps of callbacks to the card's timeline: chooses a time source and converts its times to local time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from phasegraph import NS_PER_S, LocalClock, bracketed_offset

from .card_memory import CallbackStamp, CardMemory
from .card_timeline import CardTimeline
from .cards import OpenedCard
from .time_source import SETTLING, CardTimeSource, choose_time_source, enough_stamps

_STEP_NS = 1_000_000
"""A foreign clock that moves by more between two readings was stepped."""
_NEAR_NS = 1_000_000_000
_PATIENCE_NS = 5 * NS_PER_S
"""How long xruns restart the examination of the first callbacks."""
_ONE_XRUN_NS = 300_000_000
"""Stamps of JACK's that may have jumped within this time of each other belong to one xrun."""
_LONGEST_REST_NS = 4_000_000
_SHORTEST_REST_NS = 500_000
_BURST = 4
"""Callbacks that follow each other within a part of their frames' time, this one, belong to one cycle of the card."""
_BURSTS = 8

ReadClock = Callable[[], int]
"""A clock's time now, in ns."""


class CallbackStamps:
    """Turns the stamps of one opened card into a `CardTimeline`. Data plane only.

    The frame of a stamp is ``called + skipped``: ``skipped`` frames have passed without a callback.
    """

    def __init__(
        self,
        memory: CardMemory,
        rate: int,
        local: LocalClock,
        *,
        capture: bool = False,
        before: CardTimeline | None = None,
    ) -> None:
        """``before`` is the timeline of the same card before it was lost: frame numbers continue from it."""
        self.skipped = 0
        """Frames that have passed without a callback: lost in xruns, or while the card was away."""
        self.skipped_from = 0
        """The ``called`` from which ``skipped`` holds; earlier frames were numbered with fewer."""
        self.timeline: CardTimeline | None = None
        """None until the time source is chosen."""
        self.source: CardTimeSource | None = None
        self.lost_frames = 0
        """Frames whose loss the stamps have shown."""
        self.xruns = 0
        """Those that the driver reported since then."""
        self.largest = 1
        """Frames of the largest cycle of the card: of a callback, or of several in one burst."""
        self.newest_ns = local.now_ns()
        """Local time of the newest callback, or of the opening."""
        self.oldest_ns: int | None = None
        """Local time of the oldest callback among those that the last reading brought; None if it brought none."""
        self.newest_end = 0
        """The ``called`` after the newest callback."""
        self._memory = memory
        self._rate = rate
        self._local = local.now_ns
        self._latency_s = 0.0
        self._exact = ""
        self._capture = capture
        self._before = before
        # The clocks that drivers stamp with, the likeliest first. Where time is simulated, so is the card's.
        self._clocks: list[ReadClock] = [self._local]
        if not local.virtual:
            self._clocks = [time.monotonic_ns, lambda: self._local() + local.realtime_offset_ns(), self._local]
        self._clock = self._local
        self._offset = 0
        self._first: list[CallbackStamp] = []
        self._opened_ns = 0
        self._newest_s = 0.0
        self._xrun_ns = -_ONE_XRUN_NS
        self._burst = 0
        self._bursts: deque[int] = deque(maxlen=_BURSTS)
        self._entry_ns = 0

    def card_opened(self, opened: OpenedCard) -> None:
        """Use what the driver reports of its latency and times. To be called before the first `read_new_stamps`."""
        self._latency_s = opened.latency_s
        self._exact = opened.exact_times
        self.newest_ns = self._local()
        self._clocks.append(lambda: self._local() + self._memory.clock_offset_ns)

    def read_new_stamps(self) -> None:
        """Use the stamps of the callbacks since the last call."""
        fresh = self._memory.read_stamps()
        self.oldest_ns = fresh[0].entry_ns if fresh else None
        if not fresh:
            return
        self.newest_ns = fresh[-1].entry_ns
        self.newest_end = fresh[-1].called + fresh[-1].count
        self._measure_cycles(fresh)
        if self.timeline is not None:
            for stamp in fresh:
                if stamp.xrun:  # JACK reports one xrun for some time
                    self.xruns += not self._exact or stamp.entry_ns - self._xrun_ns > _ONE_XRUN_NS
                    self._xrun_ns = stamp.entry_ns
            self._add_to_timeline(fresh)
            return
        for stamp in fresh:
            self._opened_ns = self._opened_ns or stamp.entry_ns
            if stamp.xrun and stamp.entry_ns - self._opened_ns < _PATIENCE_NS:
                self._first.clear()  # times from before and after a loss are on no line
            self._first.append(stamp)
        if self._exact or enough_stamps(self._first):
            self._add_to_timeline(self._start_timeline())

    def rest_ns(self) -> int:
        """How long the data plane may rest between two readings: a part of the time from callback to callback."""
        return min(_LONGEST_REST_NS, max(_SHORTEST_REST_NS, self.largest * NS_PER_S // self._rate // 4))

    def _measure_cycles(self, fresh: Sequence[CallbackStamp]) -> None:
        # PortAudio splits a long cycle of some drivers into callbacks that run at once, one after the other.
        # Every one of the last bursts has to be as long: a driver that fills its buffers, or catches up, is no cycle.
        for stamp in fresh:
            near_ns = stamp.count * NS_PER_S // self._rate // _BURST
            if stamp.entry_ns - self._entry_ns >= near_ns:
                self._bursts.append(self._burst)
                self._burst = 0
            self._burst += stamp.count
            self._entry_ns = stamp.entry_ns
            cycle = min(self._bursts) if len(self._bursts) == _BURSTS else 0
            self.largest = max(self.largest, stamp.count, cycle)

    def _add_to_timeline(self, fresh: Sequence[CallbackStamp]) -> None:
        assert self.source is not None
        if self.source.device:
            offset = bracketed_offset(self._local, self._clock)
            before, self._offset = self._offset, offset
            if abs(offset - before) > _STEP_NS:
                return
        for stamp in fresh:
            self._add_stamp(stamp)

    def _start_timeline(self) -> list[CallbackStamp]:
        first, self._first = self._first, []
        if self._exact:
            self.source = CardTimeSource(True, 0, self._exact)
        else:
            self.source = choose_time_source(first, self._rate, latency_s=self._latency_s, capture=self._capture)
            first = first[SETTLING:]
        if self.source.device:
            newest = first[-1]
            age_ns = self._local() - newest.entry_ns
            near = (clock for clock in self._clocks if abs(clock() - age_ns - newest.now_s * NS_PER_S) < _NEAR_NS)
            self._clock = self._clocks[-1] if self._exact else next(near, self._clocks[-1])
            self._offset = bracketed_offset(self._local, self._clock)
        late = not self.source.device
        if self._before is not None and (self._before.late, self._before.exact) == (late, bool(self._exact)):
            self.timeline = self._before
            frame, local_ns = self._frame_time(first[0])
            self.skipped = self.timeline.frame_at(local_ns) - frame
            self.timeline.forget_points()
        else:
            self.timeline = CardTimeline(self._rate, late=late, slope=self.source.slope, exact=bool(self._exact))
        return first

    def _add_stamp(self, stamp: CallbackStamp) -> None:
        assert self.timeline is not None
        if self.source is not None and self.source.device and stamp.now_s == self._newest_s and not stamp.xrun:
            return  # one measurement, which the driver has extrapolated for several callbacks
        self._newest_s = stamp.now_s
        frame, local_ns = self._frame_time(stamp)
        lost = self.timeline.add_stamp(frame + self.skipped, local_ns, stamp.xrun)
        if lost:
            self.skipped_from = self.timeline.lost_from - self.skipped
            self.skipped += lost
            self.lost_frames += max(0, lost)

    def _frame_time(self, stamp: CallbackStamp) -> tuple[int, int]:
        # A frame, counted without ``skipped``, and the local time at which it sounds.
        assert self.source is not None
        if self.source.device:
            return stamp.called, round(stamp.device_s * NS_PER_S) - self._offset
        return stamp.called, stamp.entry_ns + self.source.latency_ns
