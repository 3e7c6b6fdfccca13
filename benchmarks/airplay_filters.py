"""How well the filters of the airplay clock tell a leader's time, against the truth, on the same packets.

The leader behaves like a HomePod: uptime epoch, corrections of 0.1 to 110 ms, another port number in each kind of
message, bursts of four Syncs that stop unless answered, Follow_Ups 0.1 to 2 ms after their Syncs, and answers 0.1 to
1 ms after questions. All is simulated. Errors count from ten seconds on, of all seeds together; with an asymmetric path
they count from half of the asymmetry on, which cannot be measured from the ends of the path, so that no filter can be
without it. "Locked max" is the worst error while the clock said that it was locked, and "locked after" the median and
the worst of all runs. "Beyond" counts the looks at which the published bound did not cover the error (with the
asymmetry), and "3 sigma" the share of errors beyond three published sigmas.

With ``--before CHECKOUT`` the same conditions run with the clock of another checkout of this repository too, and each
cell has its figure and the present one. What a packet draws depends on its kind and its time alone, so both versions
get the same packets, even where one of them asks more often. "Both locked max" is the worst error of each at the looks
at which both were locked: a clock that is locked sooner has to show more in its own column. The last column names the
figures that have become worse.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
from _table import markdown

from phasegraph import ClockState
from phasegraph.ieee1588 import DelayResp
from phasegraph_airplay_timing.filters import FILTERS

PLUGIN = pathlib.Path("plugins", "airplay_timing")
if not TYPE_CHECKING and importlib.util.find_spec("phasegraph_airplay_timing.simulation"):
    # A checkout whose plugin has its simulated group within, whose leader answers at once.
    from phasegraph_airplay_timing.simulation import MS, Path, S, SimGroup, SimLeader

    AT_ONCE: dict[str, Any] = {}
else:
    # After PYTHONPATH: another checkout has a simulated group for its own clock.
    sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / PLUGIN / "tests"))

    from simulated_group import MS, Path, S, SimGroup, SimLeader

    AT_ONCE = {"answer_ns": (0, 0)}


class Condition(msgspec.Struct, frozen=True):
    """The way from the leader, and the way to it."""

    here: Path
    there: Path
    answers: bool = True
    leaves: bool = False
    """Halfway through the leader leaves, and another one takes over, whose clock shows something else."""
    swing_ppm: float = 0.0
    """By how much the leader's rate goes up and down in an hour."""

    @property
    def unseen_ns(self) -> int:
        """What is in the error of any clock that measures both ways: half of what they differ by."""
        return (self.there.delay_ns - self.here.delay_ns) // 2 if self.answers else 0


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
ANSWER_NS = MS // 10, MS
"""How long after a question the leader answers."""
HEAD = (
    "condition",
    "filter",
    "median us",
    "p99 us",
    "max us",
    "locked max us",
    "both locked max us",
    "locked after s",
    "bound us",
    "beyond",
    "3 sigma",
)
JUDGED = ("median us", "p99 us", "both locked max us", "locked after s", "beyond", "3 sigma")
"""Columns in which a larger figure is worse. The two other columns of worst errors begin with what each clock shows
first, at a time of its own."""
ROUNDING = {"locked after s": 0.055, "beyond": 0.0, "3 sigma": 0.27}
"""What makes no difference; a look is 50 ms, and a normal distribution has 0.27 % beyond three sigmas."""


class LookTaken(msgspec.Struct, frozen=True, array_like=True):
    """What a clock showed; times and errors in nanoseconds."""

    true_ns: int
    error_ns: int
    """Without `Condition.unseen_ns`."""
    locked: bool
    sigma_ns: float
    bound_ns: float
    beyond: bool
    """Whether the whole error was beyond the bound."""


Runs = list[list[LookTaken]]
"""Looks of each seed, without those at which no leader was known."""


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
        if not isinstance(message, DelayResp):
            self._send_to_follower(leader, message)
            return
        self.draw_for(f"{leader.name} takes its time")
        self.after(self.random.randint(*ANSWER_NS), lambda: self._send_to_follower(leader, message))

    def _send_to_follower(self, leader: SimLeader, message: Any) -> None:
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


def looks_of(condition: Condition, filter: str, seconds: float, seed: int) -> list[LookTaken]:
    """What a filter's clock showed in the course of a run."""
    first, second = (
        SamePacketsLeader(
            clock,
            f"10.0.0.{number}",
            epoch_ns=epoch_s * S,
            ppm=-12.0,
            swing_ppm=condition.swing_ppm,
            answers=condition.answers,
            **AT_ONCE,
        )
        for number, clock, epoch_s in ((1, 0x0499_B9B7_E0F1_0008, 1_173_601), (2, 0x5273_7EC2_E765_0008, 2_549_143))
    )
    second.present = False
    group = SamePackets([first, second], condition, filter, ppm=18.0, seed=seed)
    group.run(seconds / 2)
    if condition.leaves:
        first.present, second.present = False, True
    group.run(seconds / 2)
    return list(_taken(group, filter, condition.unseen_ns))


def _taken(group: SamePackets, filter: str, unseen_ns: int) -> Iterator[LookTaken]:
    for look in group.looks[filter]:
        if look.error_ns is not None:
            estimate = look.estimate
            yield LookTaken(
                look.true_ns,
                look.error_ns - unseen_ns,
                estimate.state is ClockState.LOCKED,
                estimate.sigma_ns,
                estimate.bound_ns,
                abs(look.error_ns) > estimate.bound_ns,
            )


def runs_of(name: str, seconds: float, seeds: Sequence[int]) -> dict[str, Runs]:
    """The looks of each filter."""
    return {filter: [looks_of(CONDITIONS[name], filter, seconds, seed) for seed in seeds] for filter in FILTERS}


def runs_before(checkout: pathlib.Path, name: str, seconds: float, seeds: Sequence[int]) -> dict[str, Runs]:
    """The same by the clock of another checkout."""
    folders = (checkout / "kernel" / "src", checkout / PLUGIN / "src", checkout / PLUGIN / "tests")
    command = [sys.executable, __file__, "--only", name, "--seconds", str(seconds), "--looks"]
    command += ["--seeds", str(len(seeds)), "--first-seed", str(seeds[0])]
    path = os.pathsep.join(str(folder.resolve(strict=True)) for folder in folders)
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=dict[str, Runs])


def figures(runs: Runs, beside: Runs) -> list[str]:
    """The cells of a row. ``beside`` are the runs of the other version, or the same."""
    looks = [look for run in runs for look in run if look.true_ns >= 10 * S]
    errors = sorted(abs(look.error_ns) for look in looks)
    others = [{look.true_ns for look in run if look.locked} for run in beside]
    locked = [[look for look in run if look.locked and look.true_ns >= 10 * S] for run in runs]
    both = [
        abs(look.error_ns) for run, other in zip(locked, others, strict=True) for look in run if look.true_ns in other
    ]
    after = sorted(next((look.true_ns / S for look in run if look.locked), float("inf")) for run in runs)
    bounds = sorted(look.bound_ns for look in looks)
    doubtful = sum(abs(look.error_ns) > 3 * look.sigma_ns for look in looks)
    alone = [abs(look.error_ns) for run in locked for look in run]
    microseconds = (
        errors[len(errors) // 2],
        errors[len(errors) * 99 // 100],
        errors[-1],
        max(alone, default=None),
        max(both, default=None),
    )
    return [
        *("-" if figure is None else f"{figure / 1000:,.1f}" for figure in microseconds),
        "never" if after[0] == float("inf") else f"{after[len(after) // 2]:.1f}, {after[-1]:.1f}",
        f"{bounds[len(bounds) // 2] / 1000:,.0f}",
        f"{sum(look.beyond for look in looks)} of {len(looks)}",
        f"{doubtful / len(looks):.2%}",
    ]


def compared(name: str, filter: str, before: Sequence[str], now: Sequence[str]) -> tuple[str, ...]:
    """One row of both versions. The last cell names the figures that have become worse."""
    cells = dict(zip(HEAD[2:], zip(before, now, strict=True), strict=True))
    worse = [head for head in JUDGED if _grew(head, *cells[head])]
    return name, filter, *(f"{was} -> {shall}" for was, shall in cells.values()), ", ".join(worse) or "none"


def _grew(head: str, before: str, now: str) -> bool:
    # By more than the cells' rounding. A clock that is never locked, and so has no figure, is worse than one that is.
    was, shall = _number(before), _number(now)
    if head == "both locked max us" and None in (was, shall):
        return False
    if was is None or shall is None:
        return shall is None and was is not None
    return shall - was > ROUNDING.get(head, 0.15)


def _number(cell: str) -> float | None:
    # The first one of a cell; None where there is none.
    first = cell.split()[0].rstrip(",%").replace(",", "")
    return None if first in ("-", "never", "inf") else float(first)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="simulated time of each run")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each condition")
    parser.add_argument("--only", choices=tuple(CONDITIONS), help="one condition")
    parser.add_argument("--before", type=pathlib.Path, metavar="CHECKOUT", help="compare with the clock of a checkout")
    parser.add_argument("--first-seed", type=int, default=1, help="of the runs")
    parser.add_argument("--looks", action="store_true", help="print all looks of one condition as JSON")
    options = parser.parse_args()
    names = [options.only] if options.only else list(CONDITIONS)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    rows: list[tuple[str, ...]] = []
    for name in names:
        runs = runs_of(name, options.seconds, seeds)
        if options.looks:
            print(msgspec.json.encode(runs).decode())
            return
        if options.before is None:
            rows += [(name, filter, *figures(each, each)) for filter, each in runs.items()]
            continue
        before = runs_before(options.before, name, options.seconds, seeds)
        for filter, each in runs.items():
            pair = figures(before[filter], each), figures(each, before[filter])
            rows.append(compared(name, filter, *pair))
    print(markdown(HEAD if options.before is None else (*HEAD, "worse"), rows))


if __name__ == "__main__":
    main()
