"""The ptp clock's estimators by the telecom yardstick: time error as ITU-T G.8260 defines it, computed by ntpstats.

    pip install ntpstats                                              # BSD; computes the figures
    python benchmarks/ptp_yardstick.py [--only kalman] [--seeds 3] [--seconds 1000]
    PHASEGRAPH_TRACES=folder python benchmarks/ptp_yardstick.py       # paths of recorded delays as well

Simulated, 8 Syncs and 8 Delay_Reqs a second, with the oscillator of `ptp_estimators.py`; the asymmetry of a path, which
cannot be measured, is left out of the error. A record begins when the clock is locked, or 60 s after that ("settled").
Figures are means over the seeds, in ns; the aim is class A of G.8273.2.

  max |TE|   the largest time error, unfiltered
  cTE        the constant time error: the mean over the record, without its sign
  MTIE       of dTE_L, the time error behind a low-pass of 0.1 Hz less cTE: the largest over all intervals
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import _ptp_traces
import numpy as np
from _table import markdown, number
from estimators.figures import Track, follow
from estimators.links import PATHS, US, stack
from estimators.links import Path as NetworkPath
from estimators.world import World

from phasegraph import ClockState
from phasegraph_ptp.estimators import ESTIMATORS, make_estimator

AIM = ("class A", "", "", "100", "50", "40")
WIRE = NetworkPath(stack(8 * US, 300), stack(8 * US, 300))
"""As stamps of the kernel on a veth pair: 8 us, and less than a microsecond of scatter."""
SETTLED_S = 60.0
INTERVAL_S = 0.125


def paths() -> Iterator[tuple[str, NetworkPath]]:
    """The paths, by name."""
    yield "wire", WIRE
    yield from ((name, PATHS[name]) for name in ("hardware", "quiet", "load"))
    if (folder := os.environ.get("PHASEGRAPH_TRACES")) is not None:
        yield from ((name, path) for name, path in _ptp_traces.paths(Path(folder)).items() if "user" not in name)


def figures(track: Track, after_lock_s: float) -> tuple[float, float, float]:
    """max |TE|, cTE and the MTIE of dTE_L in ns, of the record that begins a time after the first lock."""
    ntpstats, timeerror = import_module("ntpstats"), import_module("ntpstats.timeerror")
    at = np.array(track.at)
    locked = np.array([each.state is ClockState.LOCKED for each in track.estimates])
    begin = at[locked][0] + after_lock_s if locked.any() else np.inf
    kept = at >= begin
    if kept.sum() < 100:
        return (float("nan"),) * 3
    error_s = (np.array(track.error)[kept] + track.asymmetry_ns) / 1e9
    result: Any = timeerror.time_error(
        ntpstats.TimeSeries(at[kept], error_s), tau0=INTERVAL_S, input_is_te=True, cte_window=float(np.ptp(at[kept]))
    )
    return 1e9 * result.max_abs_te, 1e9 * abs(result.cte), 1e9 * float(np.max(result.mtie.dev))


def rows(names: Sequence[str], seeds: int, seconds: float) -> Iterator[list[str]]:
    """The rows of the table."""
    for name, path in paths():
        print(name, file=sys.stderr)
        for estimator in names:
            tracks = [
                follow(make_estimator(estimator), World(path, seed=seed, seconds=seconds + SETTLED_S).play())
                for seed in range(1, seeds + 1)
            ]
            for record, after_lock_s in (("from the lock on", 0.0), ("settled", SETTLED_S)):
                means = np.mean([figures(track, after_lock_s) for track in tracks], axis=0)
                yield [name, estimator, record, *(number(float(value), 0) for value in means)]


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="E,E", help=f"of {', '.join(ESTIMATORS)}")
    parser.add_argument("--seeds", type=int, default=3, help="worlds of each path, over which figures are averaged (3)")
    parser.add_argument("--seconds", type=float, default=1000.0, help="length of each, beside 60 s of settling (1000)")
    given = parser.parse_args()
    names = given.only.split(",") if given.only else list(ESTIMATORS)
    if unknown := [name for name in names if name not in ESTIMATORS]:
        parser.error(f"unknown in --only: {', '.join(unknown)}")
    if given.seeds < 1 or given.seconds < 60:
        parser.error("need --seeds of 1 or more and --seconds of 60 or more")
    head = ["path", "estimator", "record", "max abs TE ns", "cTE ns", "MTIE of dTE_L ns"]
    print(markdown(head, [list(AIM), *rows(names, given.seeds, given.seconds)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
