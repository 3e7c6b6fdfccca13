"""How near `combined` comes to what stamps and clocks allow: each aim, its figure, and the bound.

    python benchmarks/drift_limits.py [--hours 24] [--block 512] [--seeds 30] [--only ramps|start|wifi]

*Ramps*: a card whose rate wanders between -100 and +100 ppm by 1 ppm a minute and turns there, on a clock without an
error and on one with an error of 2 us that lasts for 10 s. The first minute does not count.

*Start*: an unknown card, for 20 s. The bound is that of Cramer and Rao for a line through the N stamps of T seconds,
each with an error of ``sigma``: ``sigma * sqrt(12) / (T * sqrt(N))``. A line knows the rate no better by then; a rate
that an earlier run has measured does.

A card is *in tune* from when the ratio, averaged over the 5 s before, stays within 1 ppm. Beside it stands the line
itself: the ratio of the least squares through all stamps so far, without a limit of its slope, from the same start on.
The position is *aligned* from when it stays within a frame. Beside it stands `combined` when it is made to sound after
1 s, and how fast it then changes the pitch.

*Wi-Fi*: ``examples/speakers.toml`` in the scenario ``office-wifi``, with a link offset of 150 ms. The path is lopsided
by 100 us, which nothing on this side of it can see, so the position is judged by its distance from its own mean.
The bound is what the clock moves within its first minute and is unknown at the end of it. The clock's error has the
deviation ``s`` and the time constant ``u``, the rate that it publishes ``s / u`` and the same. Against a counter whose
rate is constant, and a card that is known, the information on the rate after T seconds is
``(T^3 / 24u + T^2 / 4 + uT + u^2) / s^2``. Packets add a tenth to it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _table import markdown
from numpy.typing import NDArray

from phasegraph import NS_PER_S
from phasegraph._graph_file.validate import parse_graph
from phasegraph._plugins import loader
from phasegraph._run.logging import make_log
from phasegraph.simulation.compare.comparison import run_strategy
from phasegraph.simulation.drift_world import RATE, Stamps
from phasegraph.simulation.scenario import load_scenario
from phasegraph.testing import Conditions, DriftWorld, tracking_error_of
from phasegraph_compensation.combined import Combined, CombinedGains
from phasegraph_compensation.feed_forward import FeedForwardConfig

GRAPH = Path(__file__).resolve().parent.parent / "examples" / "speakers.toml"
HEAD = ["aim", "figure", "reached"]
FRAME_S = 1.0 / RATE
_STAMP_S: dict[Stamps, tuple[int, float]] = {"alsa": (1, 3e-6), "usb": (6, 10e-6)}
"""A pointer that moves by 1 frame, or by 6, and the noise of reading it: see `DriftWorld`."""
STAMP_SIGMA_S = {
    stamps: math.hypot(grain * FRAME_S / math.sqrt(12.0), noise_s) for stamps, (grain, noise_s) in _STAMP_S.items()
}
IN_TUNE_S: dict[Stamps, float] = {"alsa": 3.0, "usb": 5.0}
Floats = NDArray[np.float64]
SETTLED_S = 60.0
AT_S = 3.0
ACQUIRING_S = 20.0
IN_TUNE_PPM, AVERAGE_S = 1.0, 5.0
UNSETTLED_S = 60.0


class Prompt(Combined):
    """Sounds after 1 s, however little the stamps have shown by then."""

    gains = CombinedGains(latest_start_s=CombinedGains().start_s)


def unknown_card(conditions: Conditions, seed: int, strategy: type[Combined] = Combined) -> DriftWorld:
    """A world with `combined`, which knows nothing of the card."""
    return DriftWorld(strategy(FeedForwardConfig(), RATE), conditions, seed=seed)


def ramp_error(hours: float, block: int, clock_noise_s: float, *, ramp_ppm: float = 100.0) -> tuple[float, float]:
    """Largest error of the position, and its span from end to end, in frames."""
    conditions = Conditions(
        card_ppm=0.0,
        warm_ppm=0.0,
        ramp_ppm=ramp_ppm,
        clock_noise_s=clock_noise_s,
        block=block,
        packet=block,
        link_offset_s=0.02 + 4 * block / RATE,
    )
    trace = unknown_card(conditions, 1).run(3600.0 * hours)
    error = trace.error[round(SETTLED_S / trace.block_s) :]
    return float(np.abs(error).max()), float(np.ptp(error))


def ramps(hours: float, block: int) -> Iterator[list[str]]:
    """The rows of the ramps."""
    most, _ = ramp_error(hours, block, 0.0)
    yield _row(f"ideal clock, {hours:g} h of 1 ppm/min: 0.1 frames at most", f"{most:.3f} frames", most <= 0.1)
    _, span = ramp_error(hours, block, 2e-6)
    yield _row("the same with 2 us of PTP noise: 0.4 frames from end to end", f"{span:.2f} frames", span <= 0.4)


def in_tune_s(off_ppm: Floats, begin: int, block_s: float) -> float:
    """When the error of a ratio, of which block ``begin`` is the first that is heard, stays within `IN_TUNE_PPM`."""
    total = np.concatenate(([0.0], np.cumsum(off_ppm[begin:])))
    at = np.arange(1, len(total))
    before = np.maximum(at - round(AVERAGE_S / block_s), 0)
    outside = np.flatnonzero(np.abs(total[at] - total[before]) >= IN_TUNE_PPM * (at - before))
    return (begin + (int(outside[-1]) + 1 if len(outside) else 0)) * block_s


def line_errors(stamps: Stamps, count: int, block_s: float, seed: int) -> Floats:
    """Error in ppm of the line through the first 2, 3, .. of ``count`` stamps."""
    (grain, noise_s), random = _STAMP_S[stamps], np.random.default_rng(seed)
    error_s = random.uniform(-grain / 2, grain / 2, count) * FRAME_S + random.normal(0.0, noise_s, count)
    number, seconds = np.arange(1.0, count + 1), block_s * np.arange(count)
    first, second = np.cumsum(seconds), np.cumsum(seconds**2)
    spread = np.maximum(number * second - first**2, block_s**2)
    result: Floats = (number * np.cumsum(seconds * error_s) - first * np.cumsum(error_s)) / spread * 1e6
    return result


class Starts(NamedTuple):
    """What the starts with several seeds have shown."""

    errors_ppm: list[float]
    """Error of the ratio at `AT_S`."""
    slope: float
    """Largest change of pitch until `ACQUIRING_S`, in ppm/s."""
    aligned_s: float
    """Median of when the position begins to stay within a frame."""
    in_tune_s: float
    line_in_tune_s: float
    """Medians, of the strategy and of a line that is heard from the same block on."""


def measure_starts(stamps: Stamps, seeds: int, block: int, strategy: type[Combined] = Combined) -> Starts:
    """Start with an unknown card."""
    errors, slope, aligned, ours, lines = [], 0.0, [], [], []
    for seed in range(1, seeds + 1):
        trace = unknown_card(Conditions(stamps=stamps, block=block), seed, strategy).run(ACQUIRING_S)
        off = (trace.ratio - trace.ideal) * 1e6
        begin = int(np.argmin(trace.silent))
        errors.append(float(off[round(AT_S / trace.block_s)]))
        figures = tracking_error_of(trace)
        slope = max(slope, figures.slope_acquiring)
        aligned.append(max(figures.place_s, begin * trace.block_s))
        ours.append(in_tune_s(off, begin, trace.block_s))
        lines.append(in_tune_s(line_errors(stamps, len(off), trace.block_s, seed), begin, trace.block_s))
    return Starts(errors, slope, *(float(np.median(each)) for each in (aligned, ours, lines)))


def rate_bound(stamps: Stamps, seconds: float, block: int) -> float:
    """The least standard deviation of a rate in ppm, from the stamps of a number of seconds."""
    count = seconds * RATE / block
    return STAMP_SIGMA_S[stamps] * math.sqrt(12.0) / (seconds * math.sqrt(count)) * 1e6


def start(seeds: int, block: int) -> Iterator[list[str]]:
    """The rows of the start."""
    for stamps in STAMP_SIGMA_S:
        errors, slope, aligned_s, tuned_s, line_s = measure_starts(stamps, seeds, block)
        prompt = measure_starts(stamps, seeds, block, Prompt)
        rms = math.sqrt(sum(error * error for error in errors) / len(errors))
        bound = rate_bound(stamps, AT_S, block)
        within = sum(abs(error) < 1.0 for error in errors)
        words = f"{rms:.2f} ppm rms, bound {bound:.2f}; {within} of {seeds} seeds"
        yield _row(f"{stamps} stamps: within 1 ppm after {AT_S:g} s", words, within >= 0.95 * seeds, 2.0 * bound <= 1.0)
        aim_s = IN_TUNE_S[stamps]
        words = f"{aligned_s:.1f} s, median; a start after 1 s: {prompt.aligned_s:.1f} s, {prompt.slope:.1f} ppm/s"
        yield _row(f"{stamps} stamps: aligned within 1 s", words, aligned_s <= 1.0, prompt.aligned_s <= 1.0)
        words = f"{tuned_s:.1f} s, median; the line itself {line_s:.1f} s"
        yield _row(f"{stamps} stamps: in tune within {aim_s:g} s", words, tuned_s <= aim_s, line_s <= aim_s)
        yield _row(f"{stamps} stamps: at most 5 ppm/s while acquiring", f"{slope:.2f} ppm/s", slope < 5.01)


def wifi(minutes: float) -> Iterator[list[str]]:
    """The row of the Wi-Fi."""
    registry = loader.load()
    overrides = ("sources.stage.link-offset=150ms",)
    graph = parse_graph(GRAPH.read_text(), registry, GRAPH.parent, overrides=overrides, cwd=GRAPH.parent)
    deployment = load_scenario("office-wifi")
    result = run_strategy(
        graph,
        registry,
        deployment,
        "combined",
        for_ns=round(60 * minutes) * NS_PER_S,
        seed=0,
        log=make_log(level="error"),
    )
    half = result.wander_pp_frames / 2.0
    words = f"{half:.2f} frames on either side, {result.wander_rms_frames:.2f} rms; {result.underruns} underruns"
    clock = deployment.scenario.clock
    bound = unknown_move_s(clock.noise / NS_PER_S, clock.noise_time / NS_PER_S, UNSETTLED_S) * RATE
    words += f"; {bound:.1f} frames rms of the first minute cannot be known"
    yield _row(f"office-wifi, {minutes:g} min: 0.5 frames about its mean", words, half <= 0.5, 2.0 * bound <= 0.5)


def unknown_move_s(sigma_s: float, lasts_s: float, seconds: float) -> float:
    """What a clock moves against a steady counter in ``seconds`` and its estimates by then cannot tell."""
    u, t = lasts_s, seconds
    return sigma_s * t / math.sqrt(t**3 / (24.0 * u) + t**2 / 4.0 + u * t + u**2)


def _row(aim: str, figure: str, reached: bool, possible: bool = True) -> list[str]:
    return [aim, figure, "yes" if reached else "no" if possible else "no: beyond the bound"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0, help="of the ramps (24)")
    parser.add_argument("--block", type=int, default=512, help="frames of a callback (512)")
    parser.add_argument("--seeds", type=int, default=30, help="starts (30)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the Wi-Fi (10)")
    parser.add_argument("--only", choices=["ramps", "start", "wifi"], help="one part")
    given = parser.parse_args()
    parts = {
        "ramps": ramps(given.hours, given.block),
        "start": start(given.seeds, given.block),
        "wifi": wifi(given.minutes),
    }
    print(markdown(HEAD, [row for name, part in parts.items() if given.only in (None, name) for row in part]))


if __name__ == "__main__":
    main()
