"""How well the filters of the airplay clock tell a leader's time, against the truth, on the same packets.

The leader behaves like a HomePod: uptime epoch, corrections of 0.1 to 110 ms, another port number in each kind of
message, bursts of four Syncs that stop unless answered, Follow_Ups 0.1 to 2 ms after their Syncs. All is simulated.
Errors count from ten seconds on, of all seeds together; with an asymmetric path half of the asymmetry is in every
filter's error, since it cannot be measured. "Locked max" is the worst error while the clock said that it was locked.
"Beyond" counts the looks at which the published bound did not cover the error, and "3 sigma" the share of errors
beyond three published sigmas.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

import msgspec
from _table import markdown

from phasegraph import ClockState

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "plugins" / "airplay_timing" / "tests"))

from simulated_group import MS, Look, Path, S, SimGroup, SimLeader


class Condition(msgspec.Struct, frozen=True):
    """The way from the leader, and the way to it."""

    here: Path
    there: Path
    answers: bool = True
    leaves: bool = False
    """Halfway through the leader leaves, and another one takes over, whose clock shows something else."""
    swing_ppm: float = 0.0
    """By how much the leader's rate goes up and down in an hour."""


def _even(delay_us: int, jitter_us: int, loss: float = 0.0) -> tuple[Path, Path]:
    path = Path(delay_ns=delay_us * 1000, jitter_ns=jitter_us * 1000, loss=loss)
    return path, path


WIFI = _even(1_500, 5_000, 0.1)
LONGER = Path(delay_ns=2_500_000, jitter_ns=5 * MS, loss=0.1)
CONDITIONS = {
    "wire": Condition(*_even(100, 10)),
    "quiet Wi-Fi": Condition(*_even(800, 300)),
    "quiet Wi-Fi, rate swings by 3 ppm": Condition(*_even(800, 300), swing_ppm=3.0),
    "Wi-Fi, jitter 5 ms, loss 10 %": Condition(*WIFI),
    "Wi-Fi, another phone takes over": Condition(*WIFI, leaves=True),
    "Wi-Fi, jitter 20 ms, loss 10 %": Condition(*_even(1_500, 20_000, 0.1)),
    "Wi-Fi, there 1 ms longer": Condition(WIFI[0], LONGER),
    "Wi-Fi, no answers": Condition(*WIFI, answers=False),
}
HEAD = ("condition", "filter", "median us", "p99 us", "max us", "locked max us", "bound us", "beyond", "3 sigma")


def looks_of(condition: Condition, seconds: float, seed: int) -> dict[str, list[Look]]:
    """What each filter said in the course of a run."""
    first, second = (
        SimLeader(
            clock,
            f"10.0.0.{number}",
            epoch_ns=epoch_s * S,
            ppm=-12.0,
            swing_ppm=condition.swing_ppm,
            answers=condition.answers,
        )
        for number, clock, epoch_s in ((1, 0x0499_B9B7_E0F1_0008, 1_173_601), (2, 0x5273_7EC2_E765_0008, 2_549_143))
    )
    second.present = False
    group = SimGroup([first, second], here=condition.here, there=condition.there, ppm=18.0, seed=seed)
    group.run(seconds / 2)
    if condition.leaves:
        first.present, second.present = False, True
    group.run(seconds / 2)
    return group.looks


def rows(name: str, seconds: float, seeds: int) -> list[Sequence[str]]:
    """The rows of one condition."""
    runs = [looks_of(CONDITIONS[name], seconds, seed) for seed in range(1, seeds + 1)]
    found: list[Sequence[str]] = []
    for filter in runs[0]:
        looks = [look for run in runs for look in run[filter] if look.true_ns >= 10 * S and look.error_ns is not None]
        errors = sorted(abs(look.error_ns or 0) for look in looks)
        locked = [abs(look.error_ns or 0) for look in looks if look.estimate.state is ClockState.LOCKED]
        bounds = sorted(look.estimate.bound_ns for look in looks)
        beyond = sum(abs(look.error_ns or 0) > look.estimate.bound_ns for look in looks)
        doubtful = sum(abs(look.error_ns or 0) > 3 * look.estimate.sigma_ns for look in looks)
        figures = (errors[len(errors) // 2], errors[len(errors) * 99 // 100], errors[-1], max(locked, default=None))
        cells = [f"{figure / 1000:,.1f}" if figure is not None else "-" for figure in figures]
        cells += [f"{bounds[len(bounds) // 2] / 1000:,.0f}", f"{beyond} of {len(errors)}"]
        found.append((name, filter, *cells, f"{doubtful / len(errors):.1%}"))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="simulated time of each run")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each condition")
    parser.add_argument("--only", choices=tuple(CONDITIONS), help="one condition")
    options = parser.parse_args()
    names = [options.only] if options.only else list(CONDITIONS)
    print(markdown(HEAD, [row for name in names for row in rows(name, options.seconds, options.seeds)]))


if __name__ == "__main__":
    main()
