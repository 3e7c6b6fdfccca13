"""The compensator ``none``: no compensation. It refuses to run, or lets the stream slip by whole frames.

Two clocks without compensation drift apart without end: a device runs out of frames or has too many. With
``allow-slips`` (a short trial, a signal that is not audio) the read position jumps whenever it is off by a set number
of frames: at 10 ppm and 48 kHz, 24 frames take 50 s.
"""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta

from phasegraph import CompensatorConfig, Correction, NodeError, Observation, ReadPosition

_WAITING = Correction(ratio_ppb=0.0, reason="not compensating; no position observed yet")
_HOLDING = Correction(ratio_ppb=0.0, locked=True, reason="not compensating; within slip-after of the target")
_NONSENSE = Correction(ratio_ppb=0.0, reason="not compensating; the observed position is not a number")


class NoneConfig(CompensatorConfig, frozen=True, kw_only=True):
    """Options of a compensator of kind ``none``."""

    allow_slips: Annotated[
        bool,
        Meta(
            description="Let the stream jump by whole frames, audibly, whenever the clocks have drifted apart by "
            "`slip-after`. Without it the graph does not start."
        ),
    ] = False
    slip_after: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Frames that the read position may be off before it jumps to its place."),
    ] = 24


class NoCompensation:
    """Leaves the ratio at one; steps by whole frames. Uses only `ReadPosition`."""

    def __init__(self, slip_after: int) -> None:
        self._slip_after = slip_after
        self._newest: ReadPosition | None = None
        self._idle = _WAITING

    def observe(self, observation: Observation) -> None:
        """Keep the newest read position."""
        if isinstance(observation, ReadPosition):
            self._newest = observation

    def decide(self, local_ns: int) -> Correction:
        """A step if the newest position is more than ``slip-after`` frames off, else nothing.

        One observation leads to one step at most: a position from before the step is no longer valid after it.
        """
        newest, self._newest = self._newest, None
        if newest is None:
            return self._idle
        error = newest.error_frames
        if not math.isfinite(error):
            self._idle = _NONSENSE
            return _NONSENSE
        self._idle = _HOLDING
        if abs(error) <= self._slip_after:
            return _HOLDING
        step = round(error)
        direction = "behind" if error > 0 else "ahead of"
        return Correction(
            ratio_ppb=0.0,
            step_frames=float(step),
            reason=f"slipped by {step:+d} frames: the reader was {abs(error):.2f} frames {direction} its target",
        )


def make(config: NoneConfig, rate: int) -> NoCompensation:
    """The compensator for a stream of ``rate`` frames per second.

    Raises NodeError unless slips are allowed.
    """
    if not config.allow_slips:
        raise NodeError(
            "kind 'none' does not compensate, and this edge crosses clock domains",
            "choose a strategy that does, such as buffer-feedback, ptp-feed-forward or combined where installed; put "
            "both ends on one clock; or accept audible jumps with allow-slips = true",
            option="allow-slips",
        )
    return NoCompensation(config.slip_after)
