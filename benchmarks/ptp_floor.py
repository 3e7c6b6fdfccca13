"""How much of the ptp clock's error cannot be known. Prints a Markdown table.

    sudo python benchmarks/ptp_floor.py [--conditions quiet,load,bulk] [--seconds 60]

The clock follows ptp4l as in ptp_accuracy.py, and writes down every sample that it takes. The true time is known, and
so is what each packet took. An estimator sees the sum of both directions, and half of their difference goes into its
error, whatever it does.

  error      of what the clock told, mean and p99 of its size, from 20 s on
  unseen     half of the difference of both directions' delays: of their tenths, quarters and middles
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import _proc
import _ptp_paths
import numpy as np
from _ptp_paths import CONDITIONS, netns
from _ptp_peers import PERIOD_S, Ours
from _ptp_trial import END_S, serve
from _table import markdown, number
from numpy.typing import NDArray
from tests.support.truth import Truth

WARM_S = 20.0
QUANTILES = (10, 25, 50)
HEAD = ["condition", "samples", "error: mean us", "p99 us", *(f"unseen: {each} % us" for each in QUANTILES)]
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


def delays(file: Path, truth: Truth, since_ns: int) -> tuple[Array, Array]:
    """What the packets of each direction took, in us."""
    taken: dict[str, list[float]] = {"S": [], "D": []}
    for line in file.read_text().splitlines():
        kind, local, reference, correction = line.split(",")
        if int(local) >= since_ns:
            apart = truth.at(int(local)) - int(reference)
            taken[kind].append(((apart if kind == "S" else -apart) - int(correction) / 65536) / 1e3)
    return np.array(taken["S"]), np.array(taken["D"])


def measure(name: str, seconds: float) -> list[str]:
    """A row."""
    condition = CONDITIONS[name]
    with _proc.Workshop() as shop, _ptp_paths.path(condition, shop, 1) as network:
        ours = Recorded(network, shop.folder)
        serve(ours, shop)
        _ptp_paths.start_traffic(condition, [network], shop, 1)
        truth, began = Truth(), time.monotonic()
        start_ns, start_raw_ns = time.time_ns(), time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        child = shop.start(ours.command(), ours.key)
        while time.monotonic() < began + WARM_S + seconds:
            truth.sample()
            time.sleep(PERIOD_S)
        child.stop(patience=END_S)
        truth.sample()
        errors = ours.errors(child.text(), truth)
        there, back = delays(ours.samples, truth, start_raw_ns + round(WARM_S * 1e9))
    error = errors.error_ns[errors.at_ns >= start_ns + WARM_S * 1e9] / 1e3
    unseen = [-(float(np.percentile(there, each)) - float(np.percentile(back, each))) / 2 for each in QUANTILES]
    figures = (float(error.mean()), float(np.percentile(np.abs(error), 99)), *unseen)
    return [name, str(len(there) + len(back)), *(number(each, 2) for each in figures)]


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conditions", default="quiet,load,bulk", help=f"of {', '.join(CONDITIONS)} (quiet,load,bulk)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each, after 20 (60)")
    given = parser.parse_args()
    names = given.conditions.split(",")
    if unknown := [name for name in names if name not in CONDITIONS]:
        parser.error(f"unknown in --conditions: {', '.join(unknown)}")
    if reason := netns.unavailable():
        raise SystemExit(reason)
    print(markdown(HEAD, [measure(name, given.seconds) for name in names]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
