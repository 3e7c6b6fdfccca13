"""The estimate that a clock source publishes: an immutable map from local time to reference time, with its error.

Local time is the integer-nanosecond counter that is never steered (see ``localtime``); reference time is
nanoseconds since the epoch of the clock's timescale. Integers carry the epochs; only the small
correction ``elapsed * rate`` is computed in floating point (below 1e-6 ns of error over an hour).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NS_PER_S = 1_000_000_000
UNKNOWN_NS = float(2**63)
"""Sigma and bound of an unknown time: an estimate without figures promises nothing."""
FOUND_NS = 100_000_000
"""A change of the map by more than this is a jump to another time; a smaller one corrects the map."""
LATEST_NS = 3 << 61
"""No time is later than this (the year 2189). A clock accepts times up to ``1 << 62`` and may run on from there; the
types that carry times end at ``1 << 63``, and sums must fit."""


class ClockState(enum.StrEnum):
    """How far a clock can be trusted."""

    UNLOCKED = "unlocked"
    """No reference yet, or it was given up."""
    ACQUIRING = "acquiring"
    """There is a reference; phase or rate is not yet good."""
    LOCKED = "locked"
    """Phase and rate are both good."""
    HOLDOVER = "holdover"
    """The reference went silent; running on the last rate, and the bound grows."""


class ClockEstimate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An affine map local -> reference around ``local_ns``, and how wrong it may be.

    Two reads: *absolute* (`reference_at`) for RTP timestamps, *difference* (`elapsed`) for pacing, which
    uses the rate alone and so never jumps.
    """

    local_ns: int
    """Local time of the anchor."""
    reference_ns: int
    """Reference time at the anchor."""
    rate_ppb: float = 0.0
    """Reference against local: a reference that runs fast of the local counter is positive."""
    sigma_ns: float = UNKNOWN_NS
    """One standard deviation of the map's error at the anchor."""
    bound_ns: float = UNKNOWN_NS
    """Hard bound of that error (half the round trip included: asymmetry cannot be seen)."""
    state: ClockState = ClockState.UNLOCKED
    timescale: str = "arb"
    """``ptp`` (TAI, epoch 1970), ``utc`` or ``arb`` (IEEE 1588-2019, 7.2)."""
    grandmaster: str = ""
    """Identity of the reference in the words of its protocol; empty where there is none."""
    domain: int | None = None
    """PTP domain number of the reference; None where it has none."""
    path_delay_ns: float | None = None
    discontinuities: int = 0
    """Counts the jumps of the map that were not corrections of its own error (a step, a new grandmaster)."""

    def jumped_since(self, before: ClockEstimate) -> bool:
        """Whether the map jumped between an earlier snapshot and this one: the clock counted a discontinuity, or it
        shows another time than before, such as that of a reference that it has found."""
        if self.discontinuities != before.discontinuities:
            return True
        return abs(self.reference_ns - before.reference_at(self.local_ns)) > FOUND_NS

    def elapsed(self, local_ns: int) -> int:
        """Reference nanoseconds that pass during ``local_ns`` local nanoseconds."""
        return local_ns + round(local_ns * self.rate_ppb / 1e9)

    def reference_at(self, local_ns: int) -> int:
        """Reference time at a local time."""
        return self.reference_ns + self.elapsed(local_ns - self.local_ns)

    def local_at(self, reference_ns: int) -> int:
        """Local time at a reference time: the inverse of `reference_at`, right to a nanosecond."""
        since = reference_ns - self.reference_ns
        return self.local_ns + since - round(since * self.rate_ppb / (1e9 + self.rate_ppb))

    def references_at(self, local_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """`reference_at` for an array of local times, within ``LATEST_NS`` of the epoch."""
        since = local_ns - self.local_ns
        reference_ns = max(-LATEST_NS, min(LATEST_NS, self.reference_ns))
        if self.rate_ppb == 0.0:
            return since + reference_ns
        correction = (since * self.rate_ppb / 1e9).round().astype("int64")
        result: NDArray[np.int64] = since + correction + reference_ns
        return result


def frame_at(reference_ns: int, rate: int) -> int:
    """Index of the last frame that has begun at a reference time: ``floor(t * rate)`` (AES67, RFC 7273)."""
    return reference_ns * rate // NS_PER_S


def time_of_frame(frame: int, rate: int) -> int:
    """The first reference nanosecond of a frame, so that ``frame_at(time_of_frame(n)) == n``."""
    return -(-frame * NS_PER_S // rate)


def duration_of(frames: int, rate: int) -> int:
    """Nanoseconds that a number of frames lasts, rounded to nearest."""
    return (frames * NS_PER_S + rate // 2) // rate


def frames_in(duration_ns: int, rate: int) -> int:
    """Whole frames in a duration, rounded to nearest."""
    return (duration_ns * rate + NS_PER_S // 2) // NS_PER_S
