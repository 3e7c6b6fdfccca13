"""When a sound card asks for frames, when those truly sound, and the time that its driver predicts."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from .._core.clock import NS_PER_S
from .card_time import CardTime
from .local_clock import SimLocalClock
from .scenario_options import CardOptions

_BLOCKS = 512
"""Callbacks that are drawn at once."""


class Call(msgspec.Struct, frozen=True, gc=False):
    """One callback."""

    frame: int
    """The first frame of the block that it asks for."""
    called_ns: int
    """Local time at which it runs."""
    called_true_ns: int
    """True time of that."""
    sounds_ns: int
    """True time at which that frame sounds."""
    stamp_ns: int
    """Local time at which the driver predicts it."""
    lost: int
    """Frames lost just before it: they were due before the callback ran."""


class Callbacks:
    """The callbacks of one card, in order, without an end."""

    def __init__(
        self, time: CardTime, options: CardOptions, *, rate: int, local: SimLocalClock, random: np.random.Generator
    ) -> None:
        self._time = time
        self._options = options
        self._rate = rate
        self._local = local
        self._random = random
        self._pointer_phase = float(random.random()) * options.granularity

    def begin(self, true_ns: int) -> Iterator[Call]:
        """The callbacks of a card that starts at a true time; it asks for its first blocks at once."""
        self._time.begin(true_ns)
        block, frame, restart, called_ns, lost = self._options.block, 0, true_ns, true_ns, 0
        while True:
            frames = frame + block * np.arange(_BLOCKS, dtype=np.int64)
            sounds = self._time.times_of(frame, _BLOCKS, block, self._rate)
            called = self._called(frame, restart, called_ns)
            stamps = self._stamps(frames, called)
            late = np.flatnonzero(called > sounds)
            count = int(late[0]) if len(late) else _BLOCKS
            columns = (frames, self._local.at_array(called), called, sounds, stamps)
            for asked, call, true, sound, stamp in zip(*(column[:count].tolist() for column in columns), strict=True):
                yield Call(asked, call, true, sound, stamp, lost)
                lost = 0
            frame, called_ns = frame + block * count, int(called[min(count, _BLOCKS - 1)])
            if count < _BLOCKS:
                # An xrun: the card restarts with the first frame that is not overdue.
                restart = called_ns
                lost = max(1, math.ceil(self._time.at(restart) * self._rate / NS_PER_S) - frame)
                frame += lost

    def _called(self, frame: int, restart: int, called_ns: int) -> NDArray[np.int64]:
        # True times. ``restart`` is when the card (re)started, ``called_ns`` the previous callback.
        options, random = self._options, self._random
        due = self._time.times_of(frame - options.blocks * options.block, _BLOCKS, options.block, self._rate)
        wake = np.abs(random.normal(0.0, options.callback_jitter, _BLOCKS))
        rare = random.random(_BLOCKS) < options.late_callbacks
        wake += rare * random.exponential(options.late_by, _BLOCKS)
        called = np.where(due > restart, due + np.rint(wake).astype(np.int64), restart)
        for stall in options.stalls:
            called[(stall.at <= called) & (called < stall.at + stall.lasts)] = stall.at + stall.lasts
        result: NDArray[np.int64] = np.maximum.accumulate(np.maximum(called_ns, called))
        return result

    def _stamps(self, frames: NDArray[np.int64], called: NDArray[np.int64]) -> NDArray[np.int64]:
        # The driver's prediction from its hardware's pointer, which advances several frames at a time.
        grain, phase = self._options.granularity, self._pointer_phase
        shown = self._time.oscillator.elapsed_array(called) - self._time.elapsed_before
        pointer = shown * (self._rate / NS_PER_S)
        if grain:
            pointer = np.floor((pointer + phase) / grain) * grain - phase + grain / 2
        ahead = (frames - pointer) * (NS_PER_S / self._rate)
        ahead += self._random.normal(0.0, self._options.stamp_noise, _BLOCKS)
        return self._local.at_array(called) + np.rint(ahead).astype(np.int64)
