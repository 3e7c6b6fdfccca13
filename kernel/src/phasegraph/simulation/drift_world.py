"""A drifting crossing without samples: how a compensator moves a read position, hours of it in minutes.

A sender on the reference clock, a network with jitter and loss, a clock with an error, and a sound card with the
stamps of real drivers: all in numbers, drawn in chunks from one seed. Between them is Phasegraph's own `CrossingTap`,
so the compensator gets the observations that it gets in a graph, in the same order. docs/decisions/0029 says why this
stands beside the simulated graph.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from .._core.clock import NS_PER_S, ClockEstimate, ClockState
from .._core.compensation import Compensator, Correction, DeviceRate
from .._core.samples import Frames
from .._core.stream import Stream, StreamFormat
from .._run.crossing import CrossingTap

RATE = 48000
LOCAL_NS = 1_000_000_000_000
REFERENCE_NS = 1_790_000_000_000_000_000
FIRST = REFERENCE_NS * RATE // NS_PER_S
"""Index of the sender's frame when the world starts."""
_CHUNK = 4096
_PATH_S = 100e-6
_LEAD_BLOCKS = 2
"""Blocks that the card buffers between the callback and the sound."""
_REACH = 33
"""Frames beyond the read position that a resampler needs."""

Floats = NDArray[np.float64]
Stamps = Literal["exact", "alsa", "usb", "callback"]
_WAKE_S = {
    "exact": (0.0, 0.0, 0.0),
    "alsa": (60e-6, 0.01, 1e-3),
    "usb": (120e-6, 0.01, 1.5e-3),
    "callback": (500e-6, 0.02, 3e-3),
}
"""Lateness of callbacks: spread, share of very late ones, and their mean lateness."""
_STAMP_S = {"alsa": (1, 3e-6), "usb": (6, 10e-6)}
"""Frames by which the hardware's pointer advances at a time, and the noise of reading it."""


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment. The defaults are the conditions of the comparison with other systems."""

    card_ppm: float = 37.3
    """Rate offset of the card when it is cold."""
    warm_ppm: float = 3.0
    """How much faster it runs when it is warm."""
    warm_s: float = 120.0
    ramp_ppm: float = 0.0
    """Peak of a zigzag of the card's rate with a slope of 1 ppm a minute."""
    swing_ppm: float = 0.0
    swing_s: float = 60.0
    """Peak and period of a sine of the card's rate."""
    rate_steps: Mapping[float, float] = {}
    """By second: change of the card's rate in ppm, within two seconds."""
    stamps: Stamps = "alsa"
    """``alsa``: the pointer of a PCI card. ``usb``: one in steps of 6 frames. ``callback``: the callback's time.
    ``exact``: the true time, with callbacks that are never late."""
    block: int = 256
    local_ppm: float = 0.0
    """Rate offset of the local counter."""
    clock_noise_s: float = 2e-6
    """Standard deviation of the clock's error, a random walk with a time constant of 10 s."""
    clock_interval_s: float = 0.125
    packet: int = 48
    """Frames in a packet of the network."""
    jitter_s: float = 50e-6
    """Mean of the network's delay beyond its minimum."""
    loss: float = 0.0
    link_offset_s: float = 0.02
    lost: Mapping[float, int] = {}
    """By second: frames that the card lost in an xrun and the sink counted."""
    pauses: Mapping[float, float] = {}
    """By second: how long the card stopped, without a frame being counted."""
    outliers: Mapping[float, float] = {}
    """By second: error, in seconds, of the one stamp at that time."""
    steps: Mapping[float, int] = {}
    """By second: frames by which a new grandmaster is ahead of the previous one."""
    states: Mapping[float, ClockState] = {}
    """By second: the clock's state from then on."""


class DriftTrace(msgspec.Struct, frozen=True):
    """The run block by block."""

    block_s: float
    error: Floats
    """Frames that the read position was truly behind its target."""
    ratio: Floats
    """Input frames per output frame."""
    ideal: Floats
    """The true ratio of the two rates."""
    silent: NDArray[np.bool_]
    locked: NDArray[np.bool_]
    underruns: int
    """Blocks for which too few frames had arrived."""
    resyncs: int
    corrections: list[Correction]
    """The newest decisions, up to 4096."""


class _NoRing:
    # Replaces a stream's ring: all frames that have arrived are there.
    capacity = 1 << 30

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def holds(self, start: int, count: int) -> int:
        return min(count, max(0, self._stream.head - _REACH - start))

    def read(self, start: int, out: Frames) -> int:
        raise AssertionError("nothing is read")


class _NoResampler:
    reach = _REACH

    def render(self, frames: Frames, offset: float, ratio: float, out: Frames) -> None:
        raise AssertionError("nothing is rendered")


class _Clock:
    def __init__(self) -> None:
        self.newest = ClockEstimate(local_ns=LOCAL_NS, reference_ns=REFERENCE_NS)

    def estimate(self) -> ClockEstimate:
        return self.newest


class DriftWorld:
    """One deployment, from one seed. `run` may be called again and continues where it ended."""

    def __init__(
        self,
        compensator: Compensator,
        conditions: Conditions | None = None,
        *,
        seed: int = 0,
        known: DeviceRate | None = None,
    ) -> None:
        """``known`` is the card's rate as earlier runs have measured it."""
        self.conditions = conditions or Conditions()
        self._step_at = sorted(self.conditions.steps)
        self._clock = _Clock()
        stream = Stream(
            StreamFormat(RATE, 1),
            window_ns=1_000_000,
            clock=self._clock,
            playout_delay_ns=round(self.conditions.link_offset_s * NS_PER_S),
        )
        stream.ring = _NoRing(stream)  # type: ignore[assignment]
        self.tap = CrossingTap(stream, compensator, _NoResampler(), lambda device: known)
        self._seed = seed
        self._blocks = self._callbacks(np.random.default_rng([seed, 0]))
        self._packets = self._arrivals(np.random.default_rng([seed, 1]))
        self._ticks = self._estimates(np.random.default_rng([seed, 2]))
        self._packet = next(self._packets)
        self._tick = next(self._ticks)

    def _local_ns(self, true_s: Floats) -> NDArray[np.int64]:
        # Local times at true times since the world began.
        return LOCAL_NS + np.rint(true_s * (1e9 + 1e3 * self.conditions.local_ppm)).astype(np.int64)

    def run(self, seconds: float) -> DriftTrace:
        """Run for a time, in seconds of the card's clock."""
        count = math.ceil(seconds * RATE / self.conditions.block)
        error, ratio, ideal = np.empty(count), np.empty(count), np.empty(count)
        silent, locked = np.empty(count, np.bool_), np.empty(count, np.bool_)
        corrections: list[Correction] = []
        tap, block = self.tap, self.conditions.block
        offset = tap.stream.playout_delay_frames
        underruns, resyncs = 0, tap.resyncs
        for at in range(count):
            frame, true_s, call_s, stamp_ns, ideal[at] = next(self._blocks)
            self._arrive(call_s)
            before = tap.missing_frames
            tap.skip(frame, block, stamp_ns)
            underruns += tap.missing_frames > before
            whole, fraction = tap.block_start
            target = true_s * RATE + self._shift(call_s) - offset
            error[at] = target - (whole - FIRST) - fraction
            correction = tap.correction
            ratio[at] = 1.0 + correction.ratio_ppb * 1e-9
            silent[at], locked[at] = correction.silent, correction.locked
            if count - at <= _CHUNK:
                corrections.append(correction)
        return DriftTrace(
            block / RATE, error, ratio, ideal, silent, locked, underruns, tap.resyncs - resyncs, corrections
        )

    def _arrive(self, until_s: float) -> None:
        stream = self.tap.stream
        while self._tick[0] <= until_s:
            self._clock.newest = self._tick[1]
            self._tick = next(self._ticks)
        true_s, local_ns, end = self._packet
        while true_s <= until_s:
            stream.mark_written(end - self.conditions.packet, end, local_ns)
            true_s, local_ns, end = self._packet = next(self._packets)

    def _shift(self, true_s: float) -> int:
        # Sum of the reference's steps so far, in frames.
        if not self._step_at:
            return 0
        passed = self._step_at[: bisect.bisect_right(self._step_at, true_s)]
        return sum(self.conditions.steps[at] for at in passed)

    def _rate(self, seconds: Floats) -> Floats:
        # Rate offset of the card, as a fraction.
        it = self.conditions
        ppm = it.card_ppm + it.warm_ppm * (1 - np.exp(-seconds / it.warm_s))
        ppm = ppm + it.swing_ppm * np.sin(2 * np.pi * seconds / it.swing_s)
        for at, by in it.rate_steps.items():
            ppm = ppm + by * np.clip((seconds - at) / 2.0, 0.0, 1.0)
        if it.ramp_ppm:
            minutes = (seconds / 60 + it.ramp_ppm) % (4 * it.ramp_ppm)
            ppm = ppm + it.ramp_ppm - np.abs(minutes - 2 * it.ramp_ppm)
        result: Floats = ppm * 1e-6
        return result

    def _callbacks(self, random: np.random.Generator) -> Iterator[tuple[int, float, float, int, float]]:
        # Frame, true time at which it sounds, at which its callback runs, the stamp, and the ideal ratio.
        it = self.conditions
        spread, rare, long = _WAKE_S[it.stamps]
        phase, wander, lead = random.random(), 0.0, _LEAD_BLOCKS * it.block / RATE
        frame, true_s, called_s, number = 0, 0.5, 0.0, 0
        faults = sorted({*it.lost, *it.pauses, *it.outliers})
        while True:
            seconds: Floats = np.arange(number, number + _CHUNK) * np.float64(it.block / RATE)
            wandering = wander + 1e-9 * math.sqrt(it.block / RATE) * np.cumsum(random.standard_normal(_CHUNK))
            wander = float(wandering[-1])
            rate = self._rate(seconds) + wandering
            frames = frame + it.block * np.arange(_CHUNK, dtype=np.int64)
            lasts = it.block / RATE / (1 + rate)
            times = true_s + np.concatenate(([0.0], np.cumsum(lasts[:-1])))
            stamp_error = np.zeros(_CHUNK)
            for at in faults:
                index = int(at * RATE // it.block) - number
                if 0 <= index < _CHUNK:
                    frames[index:] += it.lost.get(at, 0)
                    times[index:] += it.lost.get(at, 0) / RATE + it.pauses.get(at, 0.0)
                    stamp_error[index] = it.outliers.get(at, 0.0)
            wake = np.abs(random.normal(0, spread, _CHUNK))
            wake += (random.random(_CHUNK) < rare) * random.exponential(long, _CHUNK)
            calls = np.maximum.accumulate(np.maximum(called_s, times - lead + wake))
            late = calls + lead - times
            if it.stamps == "exact":
                stamps = times
            elif it.stamps == "callback":
                stamps = calls + lead
            else:
                grain, noise = _STAMP_S[it.stamps]
                played = late * RATE * (1 + rate)
                seen = np.floor((frames % grain + played + phase * grain) / grain) * grain - phase * grain
                stamps = calls + lead - (seen + grain / 2 - frames % grain) / RATE
                stamps += random.normal(0, noise, _CHUNK)
            frame, called_s, number = int(frames[-1]) + it.block, float(calls[-1]), number + _CHUNK
            true_s = float(times[-1] + lasts[-1])
            columns = (frames, times, calls, self._local_ns(stamps + stamp_error), 1 / (1 + rate))
            yield from zip(*(column.tolist() for column in columns), strict=True)

    def _arrivals(self, random: np.random.Generator) -> Iterator[tuple[float, int, int]]:
        # True and local arrival time of a packet, and the index after its last frame.
        it = self.conditions
        packet, newest = 0, 0.0
        while True:
            sent = np.arange(packet + 1, packet + 1 + _CHUNK) * (it.packet / RATE)
            arrivals = sent + _PATH_S + random.gamma(1.0, it.jitter_s, _CHUNK)
            arrivals = np.maximum.accumulate(np.maximum(newest, arrivals))
            newest = float(arrivals[-1])
            there = np.flatnonzero(random.random(_CHUNK) >= it.loss)
            ends = FIRST + (packet + 1 + there) * it.packet
            for at, by in it.steps.items():
                ends[sent[there] >= at] += by
            yield from zip(
                arrivals[there].tolist(), self._local_ns(arrivals[there]).tolist(), ends.tolist(), strict=True
            )
            packet += _CHUNK

    def _estimates(self, random: np.random.Generator) -> Iterator[tuple[float, ClockEstimate]]:
        it = self.conditions
        keeps = math.exp(-it.clock_interval_s / 10.0)
        error = it.clock_noise_s * random.standard_normal()
        local = 1 + it.local_ppm * 1e-6
        regular, true_s, state = 0, 0.0, ClockState.LOCKED
        extra = sorted({*it.steps, *it.states})
        while True:
            passed = sum(at <= true_s for at in it.steps)
            for at in sorted(it.states):
                state = it.states[at] if at <= true_s else state
            elapsed_ns = round((true_s + error) * NS_PER_S) + self._shift(true_s) * NS_PER_S // RATE
            yield (
                true_s,
                ClockEstimate(
                    local_ns=LOCAL_NS + round(true_s * local * 1e9),
                    reference_ns=REFERENCE_NS + elapsed_ns,
                    rate_ppb=1e9 * (1 / local - 1),
                    sigma_ns=it.clock_noise_s * 1e9,
                    bound_ns=it.clock_noise_s * 6e9,
                    state=state,
                    timescale="ptp",
                    discontinuities=passed,
                ),
            )
            following = (regular + 1) * it.clock_interval_s
            if extra and extra[0] < following:
                true_s = extra.pop(0)
                continue
            regular, true_s = regular + 1, following
            error = keeps * error + it.clock_noise_s * math.sqrt(1 - keeps**2) * random.standard_normal()
