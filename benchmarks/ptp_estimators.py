"""What each of the ptp clock's estimators makes of what networks do to packets. Prints a Markdown table.

    python benchmarks/ptp_estimators.py [--only kalman] [--seeds 4] [--seconds 400]
    PHASEGRAPH_TRACES=folder python benchmarks/ptp_estimators.py     # recorded stamps as well
    python benchmarks/ptp_estimators.py --day                        # 24 h of it, and what that costs

Simulated: true offset and rate are known at every instant. The local oscillator is 18 ppm off, swings by 0.3 ppm in a
quarter of an hour and wanders by 1 ppb in a square root of a second; "good" and "bad" are others. Errors are of the
published clock, half an interval after each Sync, less the asymmetry, which cannot be measured; bias, sd, p99
and the rate's error from a time on, the rest from the very start.

  >3s, >bound    how often the error was beyond three of the sigmas, or beyond the bound, that were told
  converged      right within 20 us, or within its own three sigmas if those are more, and for 5 s
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import _ptp_traces
import numpy as np
from _table import markdown, number, percent
from estimators.figures import Figures, Story, follow
from estimators.links import PATHS
from estimators.links import Path as NetworkPath
from estimators.world import OSCILLATORS, Oscillator, World

from phasegraph_ptp.estimators import ESTIMATORS, make_estimator

HEAD = ["network", "Sync/Delay_Req, s", "estimator", "bias us", "sd us", "p99 us", "rate p99 ppm", "sigma us"]
HEAD += ["converged s", "locked s", ">3s", ">bound"]
RATES = ((0.125, 0.125), (0.125, 1.0), (1.0, 1.0))
DAY_S = 86_400.0
Case = tuple[str, str, list[Callable[[], Story]], float]


def cases(seeds: int, seconds: float) -> Iterator[Case]:
    """What is to be run: names, stories, and from when on it is measured."""
    folder = os.environ.get("PHASEGRAPH_TRACES")
    networks: list[tuple[str, NetworkPath, Oscillator]] = [
        (name, path, OSCILLATORS["ordinary"]) for name, path in PATHS.items()
    ]
    for other in ("good", "bad"):
        networks += [(f"{name}, {other} oscillator", PATHS[name], OSCILLATORS[other]) for name in ("quiet", "gaussian")]
    if folder is not None:
        for name, recorded in _ptp_traces.recordings(Path(folder)).items():
            yield name, "0.125/1", [lambda recorded=recorded: recorded], recorded.events[-1][0] / 3e9  # type: ignore[misc]
        networks += [(name, path, OSCILLATORS["ordinary"]) for name, path in _ptp_traces.paths(Path(folder)).items()]
    for name, path, oscillator in networks:
        for sync_s, delay_s in RATES:
            worlds = [
                World(path, oscillator, seed=seed, seconds=seconds, sync_s=sync_s, delay_s=delay_s)
                for seed in range(1, seeds + 1)
            ]
            yield name, f"{sync_s:g}/{delay_s:g}", [world.play for world in worlds], 0.4 * seconds


def row(name: str, rates: str, estimator: str, runs: list[Figures]) -> list[str]:
    """Means over the seeds."""

    def mean(of: Callable[[Figures], float]) -> float:
        return float(np.mean([of(run) for run in runs]))

    return [
        name,
        rates,
        estimator,
        number(mean(lambda run: run.bias_us), 2),
        number(mean(lambda run: run.sd_us), 2),
        number(mean(lambda run: run.p99_us), 2),
        number(mean(lambda run: run.rate_p99_ppm), 3),
        number(mean(lambda run: run.sigma_us), 2),
        number(mean(lambda run: run.converged_s), 1),
        number(mean(lambda run: run.locked_s), 1),
        percent(mean(lambda run: run.beyond_3_sigma), 2),
        percent(mean(lambda run: run.beyond_bound), 2),
    ]


def compare(names: list[str], seeds: int, seconds: float) -> None:
    """The table."""
    rows = []
    for name, rates, stories, warm_s in cases(seeds, seconds):
        print(f"{name} {rates}", file=sys.stderr)
        for estimator in names:
            runs = [follow(make_estimator(estimator), story()).figures(warm_s) for story in stories]
            rows.append(row(name, rates, estimator, runs))
    print(markdown(HEAD, rows))


def day(names: list[str]) -> None:
    """24 h at 8 Syncs and 8 Delay_Reqs a second: the error by quarter of the day, time and memory."""
    play = World(PATHS["quiet"], seed=1, seconds=DAY_S).play()
    looks = {round(position) for position in np.linspace(len(play.events) // 50, len(play.events) - 1, 4000)}
    rows = []
    for name in names:
        estimator = make_estimator(name)
        done = 0
        errors = np.full(len(looks), np.nan)  # here already, so as not to count as growth
        before = first_hour = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        spent = time.process_time()
        for count, (true_ns, sample) in enumerate(play.events):
            estimator.add_sample(sample)  # type: ignore[arg-type]
            if count == len(play.events) // 24:
                first_hour = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if count in looks:
                told = estimator.estimate(play.local_ns(true_ns)).reference_ns
                errors[done] = told - play.reference_ns(true_ns, 0)
                done += 1
        spent = time.process_time() - spent
        grown = [f"{first_hour - before:,}", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first_hour:,}"]
        quarters = [f"{part.mean() / 1e3:.2f}" for part in np.array_split(errors, 4)]
        worst = float(np.abs(errors).max()) / 1e3
        rows.append([name, str(len(play.events)), " ".join(quarters), f"{worst:.2f}", f"{spent:.1f}", *grown])
    head = ["estimator", "samples", "bias by quarter us", "worst us", "CPU s", "KiB in the first hour", "KiB after it"]
    print(markdown(head, rows))


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="E,E", help=f"of {', '.join(ESTIMATORS)}")
    parser.add_argument("--seeds", type=int, default=3, help="worlds of each kind, over which figures are averaged (3)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=400.0,
        help="length of each (400); measured from 40 % on, recordings from a third on",
    )
    parser.add_argument("--day", action="store_true", help="24 h of a quiet network instead")
    given = parser.parse_args()
    names = given.only.split(",") if given.only else list(ESTIMATORS)
    if unknown := [name for name in names if name not in ESTIMATORS]:
        parser.error(f"unknown in --only: {', '.join(unknown)}")
    if given.seeds < 1 or given.seconds < 60:
        parser.error("need --seeds of 1 or more and --seconds of 60 or more")
    if given.day:
        day(names)
    else:
        compare(names, given.seeds, given.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
