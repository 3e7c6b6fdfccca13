"""How soon an AirPlay leader's time can be used, by the bound that the clock itself publishes, against the truth.

All is simulated: the leader behaves like a HomePod, and the follower is the `airplay` clock with the filter `envelope`.
Times count from the leader's first packet; two figures are the median and the worst of all runs. The bound contains
half of the round trip, since a path's asymmetry cannot be measured from its ends: where that alone is larger than a
limit, the bound never falls below the limit. "Beyond" counts the looks, twenty a second, at which the bound did not
cover the error.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

from _table import markdown

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "plugins" / "airplay_timing" / "tests"))

from simulated_group import MS, Look, Path, S, SimGroup, SimLeader

HEAD = ("network", "below 1 ms", "below 100 us", "bound at 3 s", "error at 1 s", "error at 3 s", "beyond")
NETWORKS = {
    "wire: 0.04 ms, jitter 10 us": Path(delay_ns=40_000, jitter_ns=10_000),
    "wire: 0.1 ms, jitter 10 us": Path(delay_ns=100_000, jitter_ns=10_000),
    "quiet Wi-Fi: 0.5 ms, jitter 0.1 ms": Path(delay_ns=500_000, jitter_ns=100_000),
    "quiet Wi-Fi: 0.8 ms, jitter 0.3 ms": Path(delay_ns=800_000, jitter_ns=300_000),
    "Wi-Fi: 1.5 ms, jitter 0.5 ms, loss 5 %": Path(delay_ns=1_500_000, jitter_ns=500_000, loss=0.05),
}
STEP_S = 0.01


def looks_of(path: Path, seed: int) -> list[Look]:
    """What the clock showed in the six seconds after the first packet; times count from it."""
    leader = SimLeader(0x0499_B9B7_E0F1_0008, "10.0.0.1", epoch_ns=1_173_601 * S, ppm=-12.0)
    group = SimGroup([leader], here=path, there=path, ppm=18.0, seed=seed, filters=("envelope",))
    while not group.engine.candidates and not group.engine.counters:
        group.run(STEP_S)
    first_ns = group.now_ns
    group.run(6)
    looks = group.looks["envelope"]
    return [Look(look.true_ns - first_ns, look.estimate, look.error_ns) for look in looks if look.true_ns >= first_ns]


def row(name: str, seeds: int) -> tuple[str, ...]:
    """The figures of a network: median and worst of all seeds."""
    runs = [looks_of(NETWORKS[name], seed) for seed in range(1, seeds + 1)]
    cells = [_times(runs, MS), _times(runs, MS // 10)]
    at_three = [_at(run, 3.0) for run in runs]
    cells.append(f"{_median([look.estimate.bound_ns for look in at_three]) / 1000:,.0f} us")
    for at_s in (1.0, 3.0):
        errors = [abs(look.error_ns) for look in (_at(run, at_s) for run in runs) if look.error_ns is not None]
        cells.append(f"{_median(errors) / 1000:,.1f}, {max(errors) / 1000:,.1f} us" if errors else "-")
    known = [look for run in runs for look in run if look.error_ns is not None]
    beyond = sum(abs(look.error_ns or 0) > look.estimate.bound_ns for look in known)
    return name, *cells, f"{beyond} of {len(known)}"


def _times(runs: list[list[Look]], limit_ns: int) -> str:
    found = [next((look.true_ns / S for look in run if look.estimate.bound_ns < limit_ns), None) for run in runs]
    reached = [time for time in found if time is not None]
    if len(reached) < len(runs):
        return f"{len(reached)} of {len(runs)} runs" if reached else "never"
    return f"{_median(reached):.2f}, {max(reached):.2f} s"


def _at(run: list[Look], seconds: float) -> Look:
    return next(look for look in run if look.true_ns >= seconds * S)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50, help="runs on each network")
    options = parser.parse_args()
    print(markdown(HEAD, [row(name, options.seeds) for name in NETWORKS]))


if __name__ == "__main__":
    main()
