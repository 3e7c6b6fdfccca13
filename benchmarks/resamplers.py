"""Resamplers of a ratio that moves: distortion, latency, time. Prints Markdown tables.

    python benchmarks/resamplers.py [--quick]

Ours (`sinc`, and `soxr` behind the same hook) are asked for positions, as the kernel does; libsamplerate is fed blocks
and a ratio. A sine of -6 dBFS is read in blocks of 48 frames, in float32. THD+N is everything from 0 to half the rate
but the tone itself, against the tone: the tone is what lies within the notch, which is stated with every figure.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Protocol

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as small products wake no threads in the kernel

import numpy as np
from _table import markdown
from numpy.typing import NDArray

from phasegraph_compensation.resamplers import polyphase_bank, sinc, soxr

RATE = 48_000
BLOCK = 48
TONES = (997.0, 10_000.0, 18_000.0)
NOTCH_HZ = 20.0
"""Half the width of the notch. A ratio that moves by 40 ppm within 10 s keeps a tone of 18 kHz well within it."""
STARTING = 4800
"""Output frames that are not measured: filters fill, and soxr's have to settle."""
Signal = NDArray[np.float32]
Ratio = Callable[[int], float]
"""Input frames per output frame, by the number of the block."""


class Engine(Protocol):
    """A resampler at work on one stream."""

    name: str
    ahead: str
    """Frames that it waits for."""

    def play(self, signal: Signal, ratio: Ratio) -> Iterator[Signal]:
        """Reads all of a signal."""


class Ours:
    """A resampler of the kernel's hook."""

    def __init__(self, name: str, make: Callable[[], Any], ahead: int) -> None:
        self.name, self._make, self.ahead = name, make, str(ahead)

    def play(self, signal: Signal, ratio: Ratio) -> Iterator[Signal]:
        """See `Engine.play`."""
        resampler = self._make()
        locate = getattr(resampler, "locate", lambda first: None)
        whole, fraction, reach = resampler.reach, 0.0, resampler.reach
        number = 0
        while whole + 2 * BLOCK + reach < len(signal):
            now = ratio(number)
            out = np.empty((BLOCK, signal.shape[1]), np.float32)
            locate(whole - reach)
            rows = signal[whole - reach : whole + int(fraction + BLOCK * now) + 2 + reach]
            resampler.render(rows, reach + fraction, now, out)
            yield out
            moved = fraction + BLOCK * now
            whole, fraction, number = whole + int(moved), moved % 1.0, number + 1


class Libsamplerate:
    """libsamplerate's best converter, as the package ``samplerate`` brings it."""

    name = "libsamplerate sinc_best"

    def __init__(self) -> None:
        self._module = import_module("samplerate")
        made = sum(map(len, self.play(np.zeros((RATE, 1), np.float32), lambda number: 1.0)))
        self.ahead = str(RATE - made)

    def play(self, signal: Signal, ratio: Ratio) -> Iterator[Signal]:
        """See `Engine.play`."""
        converter = self._module.Resampler("sinc_best", channels=signal.shape[1])
        for number in range(len(signal) // BLOCK):
            block = signal[number * BLOCK : (number + 1) * BLOCK]
            yield converter.process(block, 1.0 / ratio(number)).reshape(-1, signal.shape[1])


def steady(ppm: float) -> Ratio:
    """A ratio that stays."""
    return lambda number: 1.0 + ppm * 1e-6


def crossing(number: int) -> float:
    """40 ppm to either side of one, once in ten seconds, in steps of a block."""
    return 1.0 + 40e-6 * math.sin(2 * math.pi * number * BLOCK / RATE / 10.0)


RATIOS: dict[str, Ratio] = {"+50 ppm": steady(50.0), "-50 ppm": steady(-50.0), "0 +-40 ppm": crossing}


def thd_n_db(engine: Engine, frequency: float, ratio: Ratio, frames: int) -> float:
    """Distortion and noise of a tone, within the notch of `NOTCH_HZ`."""
    count = np.arange(frames + 2 * STARTING + 2000)
    tone = (0.5 * np.sin(2 * np.pi * frequency / RATE * count)).astype(np.float32)[:, np.newaxis]
    heard = np.concatenate(list(engine.play(tone, ratio)))[STARTING:, 0].astype(float)
    heard = heard[:frames] * np.kaiser(min(frames, len(heard)), 38.0)  # side lobes below -300 dB
    power = np.abs(np.fft.rfft(heard)) ** 2
    bins = np.fft.rfftfreq(len(heard), 1 / RATE)
    inside = np.abs(bins - frequency) <= NOTCH_HZ
    return 10 * math.log10(power[~inside].sum() / power[inside].sum())


def block_us(engine: Engine, channels: int, blocks: int) -> tuple[float, float]:
    """Median and 99th percentile of the time for a block, in us."""
    signal = np.random.default_rng(1).uniform(-0.5, 0.5, ((blocks + 40) * BLOCK, channels)).astype(np.float32)
    times, playing = [], engine.play(signal, steady(50.0))
    while True:
        begin = time.perf_counter()
        if next(playing, None) is None:
            break
        times.append((time.perf_counter() - begin) * 1e6)
    return float(np.median(times[20:])), float(np.percentile(times[20:], 99))


def engines() -> Iterator[Engine]:
    """Those that are there; says why another is not."""
    yield Ours("sinc", sinc.SincResampler, polyphase_bank.TAPS // 2)
    for make in (lambda: Ours("soxr (variable)", soxr.SoxrResampler, soxr.AHEAD), Libsamplerate):
        try:
            engine = make()
            next(engine.play(np.zeros((4000, 1), np.float32), steady(0.0)))
        except Exception as error:
            print(f"left out: {error}\n")
        else:
            yield engine


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the frames and blocks")
    quick = parser.parse_args().quick
    frames, blocks = (1 << 16, 300) if quick else (1 << 19, 3000)
    there = list(engines())
    head = ["resampler", "frames ahead", *(f"{tone / 1000:g} kHz {name}" for name in RATIOS for tone in TONES)]
    rows = [
        [engine.name, engine.ahead]
        + [f"{thd_n_db(engine, tone, ratio, frames):.1f}" for ratio in RATIOS.values() for tone in TONES]
        for engine in there
    ]
    print(f"THD+N in dB, notch +-{NOTCH_HZ:g} Hz, {frames} frames\n\n{markdown(head, rows)}\n")
    rows = []
    for engine in there:
        times = [block_us(engine, channels, blocks) for channels in (2, 8, 64)]
        rows.append([engine.name, f"{BLOCK}", *(f"{median:.0f} ({late:.0f})" for median, late in times)])
    print("us a block, median (99th percentile)\n")
    print(markdown(["resampler", "frames", *(f"{channels} channels" for channels in (2, 8, 64))], rows))


if __name__ == "__main__":
    main()
