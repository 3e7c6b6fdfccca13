"""How well the filters of the airplay clock tell a leader's time, against the truth, on the same packets.

The leader behaves like a HomePod: uptime epoch, corrections of 0.1 to 110 ms, another port number in each kind of
message, bursts of four Syncs that stop unless answered, Follow_Ups 0.1 to 2 ms after their Syncs. All is simulated.
Errors count from ten seconds on, of all seeds together; with an asymmetric path half of the asymmetry is in every
filter's error, since it cannot be measured. "Locked max" is the worst error while the clock said that it was locked.
"Beyond" counts the looks at which the published bound did not cover the error, and "3 sigma" the share of errors
beyond three published sigmas.

With ``--before CHECKOUT`` the same conditions run with the clock of another checkout of this repository too, and each
cell has its figure and the present one. What a packet draws depends on its kind and its time alone, so both versions
get the same packets, even where one of them asks more often.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
from _table import markdown

from phasegraph import ClockState
from phasegraph_airplay_timing.filters import FILTERS

PLUGIN = pathlib.Path("plugins", "airplay_timing")
if not TYPE_CHECKING and importlib.util.find_spec("phasegraph_airplay_timing.simulation"):
    # A checkout whose plugin has its simulated group within.
    from phasegraph_airplay_timing.simulation import MS, Look, Path, S, SimGroup, SimLeader
else:
    # After PYTHONPATH: another checkout has a simulated group for its own clock.
    sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / PLUGIN / "tests"))

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
SLOT_NS = 125 * MS
"""Of a leader's Syncs."""
HEAD = ("condition", "filter", "median us", "p99 us", "max us", "locked max us", "bound us", "beyond", "3 sigma")


class SamePackets(SimGroup):
    """A group in which a packet's delay, loss and correction depend on its kind and its time alone."""

    def __init__(
        self, leaders: Sequence[SimLeader], condition: Condition, filter: str, *, ppm: float, seed: int
    ) -> None:
        super().__init__(leaders, here=condition.here, there=condition.there, ppm=ppm, seed=seed, filters=(filter,))
        self._seed = seed
        self._slots: dict[str, int] = {}
        self._numbers: dict[str, Random] = {}

    def draw_for(self, kind: str) -> None:
        """What is drawn next is for this kind of packet."""
        slot = self.now_ns // SLOT_NS
        if self._slots.get(kind) != slot:
            self._slots[kind], self._numbers[kind] = slot, Random(f"{self._seed} {kind} {slot}")
        self.random = self._numbers[kind]

    def to_follower(self, leader: SimLeader, message: Any) -> None:
        """A leader sends something."""
        self.draw_for(f"{leader.name} {type(message).__name__}")
        super().to_follower(leader, message)

    def _send(self, action: Any) -> None:
        self.draw_for("to the leader")
        super()._send(action)


class SamePacketsLeader(SimLeader):
    """A leader of that group."""

    def receive(self, message: Any, world: Any) -> None:
        """Something came from the follower."""
        world.draw_for(f"{self.name} answers")
        super().receive(message, world)

    def _sync(self, world: Any) -> None:
        world.draw_for(f"{self.name} leads")
        super()._sync(world)


def looks_of(condition: Condition, filter: str, seconds: float, seed: int) -> list[Look]:
    """What a filter's clock showed in the course of a run."""
    first, second = (
        SamePacketsLeader(
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
    group = SamePackets([first, second], condition, filter, ppm=18.0, seed=seed)
    group.run(seconds / 2)
    if condition.leaves:
        first.present, second.present = False, True
    group.run(seconds / 2)
    return group.looks[filter]


def rows(name: str, seconds: float, seeds: int) -> list[Sequence[str]]:
    """The rows of one condition."""
    found: list[Sequence[str]] = []
    for filter in FILTERS:
        runs = [looks_of(CONDITIONS[name], filter, seconds, seed) for seed in range(1, seeds + 1)]
        looks = [look for run in runs for look in run if look.true_ns >= 10 * S and look.error_ns is not None]
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


def rows_before(checkout: pathlib.Path, name: str, seconds: float, seeds: int) -> list[Sequence[str]]:
    """The rows of one condition, by the clock of another checkout."""
    folders = (checkout / "kernel" / "src", checkout / PLUGIN / "src", checkout / PLUGIN / "tests")
    command = [sys.executable, __file__, "--only", name, "--seconds", str(seconds), "--seeds", str(seeds), "--json"]
    path = os.pathsep.join(str(folder.resolve(strict=True)) for folder in folders)
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=list[Sequence[str]])


def compared(before: Sequence[str], now: Sequence[str]) -> tuple[str, ...]:
    """One row of both versions. The last cell names the errors that have become larger."""
    errors = slice(HEAD.index("median us"), HEAD.index("bound us"))
    worse = [
        head for head, was, shall in zip(HEAD[errors], before[errors], now[errors], strict=True) if _grew(was, shall)
    ]
    cells = (f"{was} -> {shall}" for was, shall in zip(before[2:], now[2:], strict=True))
    return now[0], now[1], *cells, ", ".join(worse) or "none"


def _grew(before: str, now: str) -> bool:
    # By more than the cells' rounding. A clock that is never locked, and so has no figure, is worse than one that is.
    if "-" in (before, now):
        return now == "-" != before
    return float(now.replace(",", "")) - float(before.replace(",", "")) > 0.15


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="simulated time of each run")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each condition")
    parser.add_argument("--only", choices=tuple(CONDITIONS), help="one condition")
    parser.add_argument("--before", type=pathlib.Path, metavar="CHECKOUT", help="compare with the clock of a checkout")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    names = [options.only] if options.only else list(CONDITIONS)
    found = [row for name in names for row in rows(name, options.seconds, options.seeds)]
    head: Sequence[str] = HEAD
    if options.before:
        earlier = [row for name in names for row in rows_before(options.before, name, options.seconds, options.seeds)]
        head, found = (*HEAD, "worse"), [compared(*pair) for pair in zip(earlier, found, strict=True)]
    print(msgspec.json.encode(found).decode() if options.json else markdown(head, found))


if __name__ == "__main__":
    main()
