"""Compensation: observations in, one number out: how many input frames per output frame.

A compensator is pure: no clock reads, no I/O, no randomness, so that a recorded run replays bit for bit.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec

from .clock import ClockEstimate
from .samples import Frames


class DeviceTime(msgspec.Struct, frozen=True, gc=False):
    """At local time ``local_ns`` the sink's frame ``frame`` left (or will leave) it.

    ``lost_frames`` passed just before it without being asked for (an xrun): their number is an estimate, so the time
    of the frame may be off by more than the noise of usual times.
    """

    local_ns: int
    frame: int
    lost_frames: int = 0


class BufferLevel(msgspec.Struct, frozen=True, gc=False):
    """At local time ``local_ns``, ``frames`` input frames had arrived and were not yet read."""

    local_ns: int
    frames: float


class FramesArrived(msgspec.Struct, frozen=True, gc=False):
    """At local time ``local_ns`` the input's frames before ``frame`` had arrived, where the source knows that."""

    local_ns: int
    frame: int


class ReadPosition(msgspec.Struct, frozen=True, gc=False):
    """The sink's frame ``frame``, which sounds at local time ``local_ns``, would be read ``error_frames`` before the
    input position that should sound then (positive: the reader is behind, and must read faster)."""

    local_ns: int
    frame: int
    error_frames: float


class DeviceRate(msgspec.Struct, frozen=True, gc=False):
    """How much the sink's device runs fast of the stream's clock, and one standard deviation of that.

    As an observation it comes first, and is the rate that earlier runs have measured. In a `Correction` it is the
    present rate.
    """

    rate_ppb: float
    sigma_ppb: float


Observation = ClockEstimate | DeviceTime | FramesArrived | BufferLevel | ReadPosition | DeviceRate


class Correction(msgspec.Struct, frozen=True, gc=False):
    """A decision, valid until the next one."""

    ratio_ppb: float
    """Input frames per output frame, as its distance from one."""
    step_frames: float = 0.0
    """A jump of the read position, once: while nothing sounds yet, or as a counted resync."""
    locked: bool = False
    reason: str = ""
    """Why, as a sentence for the trace."""
    silent: bool = False
    """Nothing is to sound yet (the device is being measured): the block is silence, and a step is no resync."""
    device: DeviceRate | None = None
    """Rate of the device, by strategies that measure it; it is kept for the next run."""


class Compensator(Protocol):
    """A strategy. ``observe`` gets observations in the order of their local times, ``decide`` comes once a block."""

    def observe(self, observation: Observation) -> None:
        """Take in one observation; those that the strategy does not use are ignored."""

    def decide(self, local_ns: int) -> Correction:
        """The correction for the block that begins now."""


class Resampler(Protocol):
    """Reads a stream at fractional positions. Stateless in time: the position is an argument."""

    @property
    def reach(self) -> int:
        """How many rows it needs before the row that a position lies in, and after it."""

    def render(self, frames: Frames, offset: float, ratio: float, out: Frames) -> None:
        """``out[i]`` becomes the input at ``offset + i * ratio``, counted in rows of ``frames``.

        ``frames`` has at least ``reach`` rows before the first position and after the last.
        """


@runtime_checkable
class StreamingResampler(Resampler, Protocol):
    """A resampler that keeps signal from block to block, and needs to know where in the stream each block lies."""

    def locate(self, first: int) -> None:
        """The next `render` is about the stream's frames from ``first`` on: that is the first of its rows.

        Where the position does not continue the block before, no sound of that block may remain.
        """
