"""The media clock of a received stream, sans-IO: which absolute frame an RTP timestamp means.

A frame's index counts frames since the epoch of the graph's clock. A timestamp carries the low 32 bits of the index,
plus an offset (RFC 7273, 5.2). Of all indices that fit, the one nearest to the packet's arrival is meant:

    frame = now + wrap32(timestamp - offset - now)

where ``now`` is the index of the arrival by the graph's clock, and ``wrap32`` gives -2**31 .. 2**31 - 1 (12 h at
48 kHz).

Three states, which the metric ``timing`` reports:

* ``absolute``: the offset is the description's. Timestamps count the time of the graph's clock.
* ``relative``: the first packet sets the offset, as if it had needed no time. Timestamps count only themselves.
* ``free-running``: as relative, while the clock has no reference, or counts another time than the sender's (the
  *foreign timebase*). Where the clock loses its reference, the last offset stays.

Whenever the mapping changes, `MediaClock.mapping_epoch` does: a frame index that was computed before is void.
"""

from __future__ import annotations

import msgspec

from phasegraph import NS_PER_S, ClockEstimate, ClockReader, ClockState, frame_at

from ..parameters import StreamParameters
from ..rtp import wrapped
from ..sdp.reference_clock import parse_reference
from .diagnosis import why_grandmaster_differs, why_outside_window

_MODULUS = 1 << 32


class MappingChange(msgspec.Struct, frozen=True, gc=False):
    """What a new estimate of the clock did to the mapping."""

    shift: int
    """Frames by which all that was written before moves."""
    timing_changed: bool


class MediaClock:
    """Maps the timestamps of one stream to frames. The data plane alone calls it."""

    def __init__(self, clock: ClockReader, parameters: StreamParameters, *, relative: bool, may_run_free: bool) -> None:
        """``relative``: timestamps count only themselves. ``may_run_free``: also where the clock has no reference."""
        self._clock = clock
        self._rate = parameters.rate
        self._described_offset = parameters.mediaclk_offset or 0
        reference = parse_reference(parameters.ts_refclk)
        self.grandmaster = reference.identity if reference.kind == "ptp" else ""
        """Grandmaster that the description names; empty where it names none."""
        self._relative = relative
        self._may_run_free = may_run_free
        self._free_running = False
        self._foreign_timebase = False
        self._offset: int | None = None if relative else self._described_offset
        """None until the next packet sets it."""
        self.estimate: ClockEstimate | None = None
        """The estimate that the mapping is of; None before the first `update`."""
        self.mapping_epoch = 0
        """Counts the changes of the mapping."""

    @property
    def self_related(self) -> bool:
        """Whether timestamps count only themselves now."""
        return self._relative or self._free_running

    @property
    def timing(self) -> str:
        """``absolute``, ``relative`` or ``free-running``. A single read of the data plane's state."""
        return "free-running" if self._free_running else "relative" if self._relative else "absolute"

    @property
    def is_current(self) -> bool:
        """Whether the mapping is by the clock's newest estimate."""
        return self._clock.estimate() is self.estimate

    def other_grandmaster(self) -> str:
        """The clock's grandmaster, where it is another than the description's; empty where one is unknown."""
        now = self._clock.estimate().grandmaster
        return now if self.grandmaster and now != self.grandmaster else ""

    def update(self) -> tuple[ClockEstimate, MappingChange | None]:
        """The clock's newest estimate, and how the mapping changed with it."""
        estimate = self._clock.estimate()
        before = self.estimate
        if estimate is before:
            return estimate, None
        self.estimate = estimate
        shift, timing_changed = 0, False
        if before is not None and estimate.jumped_since(before):
            # What is in the ring sounds on, at the new time of day: readers move likewise.
            at = estimate.local_ns
            shift = frame_at(estimate.reference_at(at), self._rate) - frame_at(before.reference_at(at), self._rate)
            self.mapping_epoch += 1
            if self._offset is not None and self.self_related:
                self._offset = (self._offset - shift) % _MODULUS
        if self._may_run_free and not self._relative:
            self._foreign_timebase &= estimate.grandmaster != self.grandmaster
            free = self._foreign_timebase or estimate.state is ClockState.UNLOCKED
            if free != self._free_running:
                timing_changed = True
                shift += self._run_free(free, keep=before is not None)
        return estimate, MappingChange(shift, timing_changed) if shift or timing_changed else None

    def _run_free(self, free: bool, *, keep: bool) -> int:
        # Returns the shift. ``keep``: the packets fitted until now, so the mapping stays until they do not.
        self._free_running = free
        if free:
            if not keep:
                self.reset_mapping()
            return 0
        before, self._offset = self._offset, self._described_offset
        self.mapping_epoch += 1
        return 0 if before is None else wrapped(before - self._offset, 32)

    def count_foreign_timebase(self) -> None:
        """Timestamps count another time than the clock's: run free until the clock has their grandmaster."""
        self._foreign_timebase = True
        self._run_free(True, keep=False)

    @property
    def may_count_foreign_timebase(self) -> bool:
        """Whether packets that do not fit may count another grandmaster, so that the stream is to run free."""
        return self._may_run_free and bool(self.other_grandmaster())

    def reset_mapping(self) -> None:
        """The next packet sets the mapping."""
        self._offset = None
        self.mapping_epoch += 1

    def locate(self, timestamp: int, frames: int, estimate: ClockEstimate, arrival_ns: int) -> tuple[int, int]:
        """Index of a packet's first frame, and how long after its media time the packet arrived, in ns."""
        reference_ns = estimate.reference_at(arrival_ns)
        now = frame_at(reference_ns, self._rate)
        if self._offset is None:
            # As if the packet had needed no time: its last frame was sampled just now.
            self._offset = (timestamp - (now - frames)) % _MODULUS
        frame = now + wrapped(timestamp - self._offset - now, 32)
        return frame, reference_ns - frame * NS_PER_S // self._rate

    def grandmaster_reason(self) -> str:
        """What is wrong where the clock follows another grandmaster than the description names; else empty."""
        other = self.other_grandmaster()
        return why_grandmaster_differs(self.grandmaster, other) if other else ""

    def out_of_window_reason(
        self, lateness_ns: int, link_offset_ns: int, estimate: ClockEstimate, *, jumped: bool
    ) -> str:
        """Why a packet that is this late is outside the window; ``jumped``: its timestamp does not follow the last."""
        if not self.self_related and estimate.state is ClockState.UNLOCKED:
            return "the clock has no reference yet"
        offset = self._offset or 0
        frames_late = lateness_ns * self._rate // NS_PER_S
        without_offset_ns = -wrapped(offset - frames_late, 32) * NS_PER_S // self._rate
        return why_outside_window(
            lateness_ns, without_offset_ns, offset, link_offset_ns, relative=self.self_related, jumped=jumped
        )
