"""How near `combined` comes to what stamps and clocks allow: each aim, its figure, and the bound.

    python benchmarks/drift_limits.py [--hours 24] [--block 512] [--seeds 30] [--only ramps|start|wifi]

*Ramps*: a card whose rate wanders between -100 and +100 ppm by 1 ppm a minute and turns there, on a clock without an
error and on one with an error of 2 us that lasts for 10 s. The first minute does not count.

*Start*: an unknown card, for 20 s. The bound is that of Cramer and Rao for a line through the N stamps of T seconds,
each with an error of ``sigma``: ``sigma * sqrt(12) / (T * sqrt(N))``. A line knows the rate no better by then; a rate
that an earlier run has measured does.

*Wi-Fi*: ``examples/speakers.toml`` in the scenario ``office-wifi``, with a link offset of 150 ms. The path is lopsided
by 100 us, which nothing on this side of it can see, so the position is judged by its distance from its own mean.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _table import markdown

from phasegraph import NS_PER_S
from phasegraph._graph_file.validate import parse_graph
from phasegraph._plugins import loader
from phasegraph._run.logging import make_log
from phasegraph.simulation.compare.comparison import run_strategy
from phasegraph.simulation.drift_world import RATE, Stamps
from phasegraph.simulation.scenario import load_scenario
from phasegraph.testing import Conditions, DriftWorld, tracking_error_of
from phasegraph_compensation.combined import Combined
from phasegraph_compensation.feed_forward import FeedForwardConfig

GRAPH = Path(__file__).resolve().parent.parent / "examples" / "speakers.toml"
HEAD = ["aim", "figure", "reached"]
FRAME_S = 1.0 / RATE
STAMP_SIGMA_S: dict[Stamps, float] = {
    "alsa": math.hypot(FRAME_S / math.sqrt(12.0), 3e-6),
    "usb": math.hypot(6.0 * FRAME_S / math.sqrt(12.0), 10e-6),
}
"""A pointer that moves by 1 frame, or by 6, and the noise of reading it: see `DriftWorld`."""
SETTLED_S = 60.0
AT_S = 3.0
ACQUIRING_S = 20.0


def unknown_card(conditions: Conditions, seed: int) -> DriftWorld:
    """A world with `combined`, which knows nothing of the card."""
    return DriftWorld(Combined(FeedForwardConfig(), RATE), conditions, seed=seed)


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


def start_errors(stamps: Stamps, seeds: int) -> tuple[list[float], float]:
    """Error of the ratio at `AT_S`, in ppm, by seed; and the largest change of pitch until `ACQUIRING_S`, in ppm/s."""
    errors, slope = [], 0.0
    for seed in range(1, seeds + 1):
        trace = unknown_card(Conditions(stamps=stamps), seed).run(ACQUIRING_S)
        at = round(AT_S / trace.block_s)
        errors.append(float(trace.ratio[at] - trace.ideal[at]) * 1e6)
        slope = max(slope, tracking_error_of(trace).slope_acquiring)
    return errors, slope


def rate_bound(stamps: Stamps, seconds: float, block: int) -> float:
    """The least standard deviation of a rate in ppm, from the stamps of a number of seconds."""
    count = seconds * RATE / block
    return STAMP_SIGMA_S[stamps] * math.sqrt(12.0) / (seconds * math.sqrt(count)) * 1e6


def start(seeds: int) -> Iterator[list[str]]:
    """The rows of the start."""
    for stamps in STAMP_SIGMA_S:
        errors, slope = start_errors(stamps, seeds)
        rms = math.sqrt(sum(error * error for error in errors) / len(errors))
        bound = rate_bound(stamps, AT_S, Conditions().block)
        within = sum(abs(error) < 1.0 for error in errors)
        words = f"{rms:.2f} ppm rms, bound {bound:.2f}; {within} of {seeds} seeds"
        yield _row(f"{stamps} stamps: within 1 ppm after {AT_S:g} s", words, within >= 0.95 * seeds, 2.0 * bound <= 1.0)
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
    clock = (
        deployment.scenario.clock.noise / NS_PER_S * RATE
    )  # of the truth, and no filter of a minute averages 30 s away
    words += f"; the clock's own error is {clock:.1f} frames rms"
    yield _row(f"office-wifi, {minutes:g} min: 0.5 frames about its mean", words, half <= 0.5, 2.0 * clock <= 0.5)


def _row(aim: str, figure: str, reached: bool, possible: bool = True) -> list[str]:
    return [aim, figure, "yes" if reached else "no" if possible else "no: beyond the bound"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0, help="of the ramps (24)")
    parser.add_argument("--block", type=int, default=512, help="frames of a callback in the ramps (512)")
    parser.add_argument("--seeds", type=int, default=30, help="starts (30)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the Wi-Fi (10)")
    parser.add_argument("--only", choices=["ramps", "start", "wifi"], help="one part")
    given = parser.parse_args()
    parts = {
        "ramps": lambda: ramps(given.hours, given.block),
        "start": lambda: start(given.seeds),
        "wifi": lambda: wifi(given.minutes),
    }
    print(markdown(HEAD, [row for name, part in parts.items() if given.only in (None, name) for row in part()]))


if __name__ == "__main__":
    main()
