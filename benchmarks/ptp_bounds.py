"""What no follower undercuts by the telecom yardstick, whatever it computes: `kalman` beside two lines that know more.

    pip install ntpstats
    python benchmarks/ptp_bounds.py [--seeds 5] [--seconds 1000]

The path is the wire of `ptp_yardstick.py`, with 8 Syncs and 4 Delay_Reqs a second. Each line is the optimal linear
filter of rate, offset and delay, and it knows what no follower is told: how much this oscillator wanders, that the
delay never changes, and how packets scatter.

  packets as they are     goes by what `kalman` gets: each packet has the variance of the scatter (gamma, and the stamp)
  all that packets tell   the packets are drawn as normal ones with the Fisher information of that scatter: what the
                          shape of the scatter could add to its variance at most

Figures are those of `ptp_yardstick.py`, in ns, from 60 s on: medians over the seeds.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator

import _ptp_traces  # noqa: F401  finds the worlds of the estimators' tests
import numpy as np
from _table import markdown, number
from estimators.figures import follow
from estimators.world import BOOT_NS, STAMP_SD_NS, Oscillator, Play, World
from numpy.typing import NDArray
from ptp_yardstick import AIM, DELAY_S, HEAD, SETTLED_S, SYNC_S, WIRE, figures, judge

from phasegraph_ptp.estimators import make_estimator
from phasegraph_ptp.measurements import DelaySample, SyncSample

SCALE_NS = 300.0
"""Of the wire's scatter, a gamma of shape 2."""
WANDERS_PPB = (0.0, 0.1, 1.0)
UNKNOWN = np.diag([1e12, 1e10, 1e12])
Array = NDArray[np.float64]


class Line:
    """Filters (offset + delay, rate, delay) in ns, ppb and ns, on an oscillator whose wander is known."""

    def __init__(self, wander_ppb: float, at_s: float) -> None:
        self._state, self._covariance, self._at_s = np.zeros(3), UNKNOWN.copy(), at_s
        self._walk = wander_ppb**2

    def add(self, at_s: float, design: tuple[float, float, float], value_ns: float, variance: float) -> None:
        """Digest what a packet measures: ``design`` times the state."""
        t, self._at_s = at_s - self._at_s, at_s
        move = np.array([[1.0, t, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        self._state = move @ self._state
        self._covariance = move @ self._covariance @ move.T
        self._covariance[:2, :2] += self._walk * np.array([[t**3 / 3, t**2 / 2], [t**2 / 2, t]])
        row = np.array(design)
        seen = self._covariance @ row
        gain = seen / (row @ seen + variance)
        self._state = self._state + gain * (value_ns - row @ self._state)
        self._covariance -= np.outer(gain, seen)

    def offset_ns(self, at_s: float) -> float:
        """How far the local clock is ahead."""
        first, rate, delay = self._state
        return float(first + rate * (at_s - self._at_s) - delay)


def information(density: Callable[[Array], Array], grid: Array) -> float:
    """What one draw tells of where the density lies (Fisher), in 1/ns**2."""
    values = density(grid)
    values /= np.trapezoid(values, grid)
    slope = np.gradient(values, grid)
    there = values > 1e-12 * values.max()
    return float(np.trapezoid(np.where(there, slope**2 / np.where(there, values, 1.0), 0.0), grid))


def scatter(grid: Array) -> Array:
    """The density of a packet's scatter: its time on the wire, and the stamp's noise."""
    wire = np.where(grid > 0, grid * np.exp(-grid / SCALE_NS), 0.0)
    near = np.arange(-6 * STAMP_SD_NS, 6 * STAMP_SD_NS + 1)
    return np.convolve(wire, np.exp(-0.5 * (near / STAMP_SD_NS) ** 2), mode="same")


def errors(play: Play, wander_ppb: float, variance: float, random: np.random.Generator | None) -> tuple[Array, Array]:
    """Instants in s, and the line's errors there in ns; with ``random`` the packets are drawn, as normal ones."""
    line, base_ns, at, found = Line(wander_ppb, 0.0), 0, [], []  # an integer: this large a float counts by 256 ns
    for true_ns, sample in play.events:
        assert isinstance(sample, SyncSample | DelaySample)
        sync = isinstance(sample, SyncSample)
        sign = 1 if sync else -1
        base_ns = base_ns or sample.local_ns - sample.reference_ns
        local_s = (sample.local_ns - BOOT_NS) / 1e9
        value_ns = float(sign * (sample.local_ns - sample.reference_ns - base_ns))
        if random is not None:
            local_s = (play.local_ns(true_ns) - BOOT_NS) / 1e9
            ahead_ns = play.local_ns(true_ns) - play.reference_ns(true_ns, 0) - base_ns
            value_ns = sign * ahead_ns + random.normal(0.0, math.sqrt(variance))
        line.add(local_s, (1.0, 0.0, 0.0) if sync else (-1.0, 0.0, 2.0), value_ns, variance)
        if sync:
            look_ns = true_ns + play.sync_s * 5e8
            local_ns = play.local_ns(look_ns)
            truth_ns = local_ns - play.reference_ns(look_ns, 0) - base_ns
            at.append(look_ns / 1e9)
            found.append(line.offset_ns((local_ns - BOOT_NS) / 1e9) - truth_ns)
    return np.array(at), np.array(found)


def rows(seeds: int, seconds: float) -> Iterator[list[str]]:
    """The rows of the table."""
    variances = {
        "packets as they are": 2 * SCALE_NS**2 + STAMP_SD_NS**2,
        "all that packets tell": 1 / information(scatter, np.arange(-200.0, 8000.0)),
    }
    for wander_ppb in WANDERS_PPB:
        print(f"{wander_ppb:g} ppb", file=sys.stderr)
        oscillator = Oscillator(wander_ppb=wander_ppb, swing_ppm=0.0)
        worlds = [
            World(WIRE, oscillator, seed=seed, seconds=seconds + SETTLED_S, sync_s=SYNC_S, delay_s=DELAY_S)
            for seed in range(1, seeds + 1)
        ]
        found = {"kalman": [figures(follow(make_estimator("kalman"), world.play()), SETTLED_S) for world in worlds]}
        for name, variance in variances.items():
            found[name] = []
            for world in worlds:
                random = np.random.default_rng(world.seed) if name == "all that packets tell" else None
                at_s, error_ns = errors(world.play(), wander_ppb, variance, random)
                found[name].append(judge(at_s[at_s > SETTLED_S], error_ns[at_s > SETTLED_S]))
        for name, records in found.items():
            yield [f"{wander_ppb:g}", name, *(number(float(value), 0) for value in np.median(records, axis=0))]


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="worlds of each oscillator (5)")
    parser.add_argument("--seconds", type=float, default=1000.0, help="length of each, beside 60 s of settling (1000)")
    given = parser.parse_args()
    if given.seeds < 1 or given.seconds < 60:
        parser.error("need --seeds of 1 or more and --seconds of 60 or more")
    head = ["wander, ppb in a square root of a second", "who", *HEAD]
    print(markdown(head, [[AIM[0], "", *AIM[3:]], *rows(given.seeds, given.seconds)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
