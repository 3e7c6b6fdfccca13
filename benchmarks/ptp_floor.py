"""How much of the ptp clock's error cannot be known. Prints a Markdown table.

    sudo python benchmarks/ptp_floor.py [--conditions quiet,load,bulk] [--seconds 60]
    sudo python benchmarks/ptp_floor.py --conditions bulk --windows 10 --seconds 20    # beside chrony, window by window

The clock follows ptp4l as in ptp_accuracy.py, and writes down every sample that it takes. The true time is known, and
so is what each packet took. An estimator sees the sum of both directions, and half of their difference goes into its
error, whatever it does.

  error      of what the clock told, mean and p99 of its size, from 20 s on
  unseen     half of the difference of both directions' delays: of their earliest, tenths, quarters and middles
  chrony     p99 of the size of its error in the same window; "of chrony" is ours divided by it
  bound      the median of the bound that our clock published, and how much of the window its error was within it

A window "shows" that no follower could know better where every "unseen" is larger than half of chrony's p99: packets
that took the same time both ways, by which a clock could go, did not exist.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import _proc
import numpy as np
from _ptp_paths import CONDITIONS, netns
from _ptp_peers import Chrony, Errors, Ours
from _ptp_trial import Record, errors_side_by_side
from _table import markdown, number, percent
from numpy.typing import NDArray

WARM_S = 20.0
QUANTILES = (0, 10, 25, 50)
UNSEEN = [f"unseen: {each} % us" for each in QUANTILES]
HEAD = ["condition", "window", "samples", "error: mean us", "p99 us", "chrony p99 us", "of chrony", *UNSEEN]
HEAD += ["bound us", "within it", "shows"]
Array = NDArray[np.float64]


class Recorded(Ours):
    """Ours, with its samples in a file."""

    @property
    def samples(self) -> Path:
        """Where they are."""
        return self.folder / "samples.csv"

    def command(self) -> list[str]:
        """See `Ours.command`."""
        words = super().command()
        start = words.index("run")
        recorder = Path(__file__).with_name("_ptp_recorder.py")
        return self.network.far.command(sys.executable, recorder, self.samples, *words[start:])


def delays(record: Record) -> dict[str, tuple[Array, Array]]:
    """What the packets of each direction (S, D) took: CLOCK_REALTIME in ns, and us."""
    recorded = record.followers[Recorded.key]
    assert isinstance(recorded, Recorded)
    at: dict[str, list[int]] = {"S": [], "D": []}
    taken: dict[str, list[float]] = {"S": [], "D": []}
    for line in recorded.samples.read_text().splitlines():
        kind, local, reference, correction = line.split(",")
        true = record.truth.at(int(local))
        apart = true - int(reference)
        at[kind].append(true)
        taken[kind].append(((apart if kind == "S" else -apart) - int(correction) / 65536) / 1e3)
    return {kind: (np.array(at[kind], np.float64), np.array(taken[kind])) for kind in at}


def unseen_us(there: Array, back: Array) -> list[float]:
    """The error of a clock that goes by each of `QUANTILES` of both directions, us."""
    return [-(float(np.percentile(there, each)) - float(np.percentile(back, each))) / 2 for each in QUANTILES]


def p99_us(errors: Errors | None, begin_ns: float, end_ns: float) -> float | None:
    """Of the size of the error in a window; None without errors."""
    if errors is None:
        return None
    kept = (errors.at_ns >= begin_ns) & (errors.at_ns < end_ns)
    return float(np.percentile(np.abs(errors.error_ns[kept]), 99)) / 1e3 if kept.any() else None


def measure(name: str, windows: int, seconds: float) -> list[list[str]]:
    """The rows of a condition."""
    peers = () if windows == 1 or Chrony.missing() else (Chrony,)
    with _proc.Workshop() as shop:
        record = errors_side_by_side((Recorded, *peers), name, WARM_S + windows * seconds, 1, shop)
        taken = delays(record)
    ours = record.errors[Recorded.key]
    if ours is None or ours.bound_ns is None:
        return [[name, *([""] * (len(HEAD) - 1))]]
    rows = []
    for window in range(windows):
        begin_ns = record.start_ns + (WARM_S + window * seconds) * 1e9
        end_ns = begin_ns + seconds * 1e9
        there, back = (values[(at >= begin_ns) & (at < end_ns)] for at, values in taken.values())
        kept = (ours.at_ns >= begin_ns) & (ours.at_ns < end_ns)
        error = ours.error_ns[kept] / 1e3
        own, other = p99_us(ours, begin_ns, end_ns), p99_us(record.errors.get(Chrony.key), begin_ns, end_ns)
        unseen = unseen_us(there, back)
        rows.append(
            [
                *(name, str(window + 1), str(len(there) + len(back)), number(float(error.mean()), 2), number(own, 2)),
                *(number(other, 2), number(own / other if own and other else None, 2)),
                *(number(each, 2) for each in unseen),
                number(float(np.median(ours.bound_ns[kept])) / 1e3, 2),
                percent(float((np.abs(ours.error_ns[kept]) <= ours.bound_ns[kept]).mean())),
                "" if other is None else "yes" if min(map(abs, unseen)) > other / 2 else "no",
            ]
        )
    return rows


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conditions", default="quiet,load,bulk", help=f"of {', '.join(CONDITIONS)} (quiet,load,bulk)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each window, after 20 (60)")
    parser.add_argument("--windows", type=int, default=1, help="of each; with more than one chrony is measured too (1)")
    given = parser.parse_args()
    names = given.conditions.split(",")
    if unknown := [name for name in names if name not in CONDITIONS]:
        parser.error(f"unknown in --conditions: {', '.join(unknown)}")
    if given.windows < 1 or given.seconds < 10:
        parser.error("need --windows of 1 or more and --seconds of 10 or more")
    if reason := netns.unavailable():
        raise SystemExit(reason)
    print(markdown(HEAD, [row for name in names for row in measure(name, given.windows, given.seconds)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
