"""PTP followers by the telecom yardstick: time error as ITU-T G.8260 defines it, computed by ntpstats.

    pip install ntpstats                                              # BSD; computes the figures
    python benchmarks/ptp_yardstick.py [--only kalman] [--seeds 5] [--seconds 1000]
    PHASEGRAPH_TRACES=folder python benchmarks/ptp_yardstick.py       # paths of recorded delays as well
    sudo python benchmarks/ptp_yardstick.py --measured quiet,load     # real packets, beside ptp4l, chrony; 36 minutes

Simulated, 8 Syncs and 4 Delay_Reqs a second, as a locked clock sends them; figures are medians over the seeds. The
oscillators are those of `ptp_estimators.py`, and "one": both ends count by one oscillator, as on a path inside of a
machine. The asymmetry of a path, which cannot be measured, is left out of the error.

Measured, the ends are network namespaces of this machine, as in `ptp_accuracy.py`, which says how each program's error
is read. All programs run at once; their errors are taken at the same instants, 8 a second, each as the program's newest
word at that instant. "unseen" is the error of a clock that knows afterwards what the packets of 20 s around each
instant took, by the medians of both directions: half of their difference. No follower sees it, whatever it computes.

A record begins when the clock is locked, or 60 s after that ("settled"). Figures are in ns; the aim is class A of
G.8273.2.

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

import _proc
import _ptp_traces
import numpy as np
from _ptp_paths import CONDITIONS, netns
from _ptp_peers import Chrony, Errors, Follower, OursLinear, Ptp4l
from _ptp_trial import Record, errors_side_by_side
from _table import markdown, number
from estimators.figures import Track, follow
from estimators.links import PATHS, US, stack
from estimators.links import Path as NetworkPath
from estimators.world import OSCILLATORS, Oscillator, World
from numpy.typing import NDArray
from ptp_floor import Recorded, delays

from phasegraph import ClockState
from phasegraph_ptp.estimators import ESTIMATORS, make_estimator

AIM = ("class A", "", "", "100", "50", "40")
HEAD = ["max abs TE ns", "cTE ns", "MTIE of dTE_L ns"]
WIRE = NetworkPath(stack(8 * US, 300), stack(8 * US, 300))
"""As stamps of the kernel on a veth pair: 8 us, and less than a microsecond of scatter."""
ONE = Oscillator(wander_ppb=0.0, swing_ppm=0.0)
SETTLED_S = 60.0
START_S = 20.0
"""For programs to start and to lock, beside `SETTLED_S`."""
SYNC_S, DELAY_S = 0.125, 0.25
HALF_S = 10.0
"""Of the time around an instant by which "unseen" goes."""
Array = NDArray[np.float64]


def paths() -> Iterator[tuple[str, NetworkPath, Oscillator]]:
    """The paths, by name."""
    yield "wire, one oscillator", WIRE, ONE
    yield from ((f"wire, {name} oscillator", WIRE, OSCILLATORS[name]) for name in ("good", "ordinary"))
    yield from ((name, PATHS[name], OSCILLATORS["ordinary"]) for name in ("hardware", "quiet", "load"))
    if (folder := os.environ.get("PHASEGRAPH_TRACES")) is not None:
        found = _ptp_traces.paths(Path(folder))
        yield from ((f"{name}, one oscillator", path, ONE) for name, path in found.items() if "user" not in name)


def judge(at_s: Array, error_ns: Array) -> tuple[float, float, float]:
    """max |TE|, cTE and the MTIE of dTE_L in ns, of a record; NaN where it is too short."""
    if len(at_s) < 100:
        return (float("nan"),) * 3
    ntpstats, timeerror = import_module("ntpstats"), import_module("ntpstats.timeerror")
    result: Any = timeerror.time_error(
        ntpstats.TimeSeries(at_s, error_ns / 1e9), tau0=SYNC_S, input_is_te=True, cte_window=float(np.ptp(at_s))
    )
    return 1e9 * result.max_abs_te, 1e9 * abs(result.cte), 1e9 * float(np.max(result.mtie.dev))


def figures(track: Track, after_lock_s: float) -> tuple[float, float, float]:
    """`judge` of the record that begins a time after the first lock."""
    at = np.array(track.at)
    locked = np.array([each.state is ClockState.LOCKED for each in track.estimates])
    kept = at >= (at[locked][0] + after_lock_s if locked.any() else np.inf)
    return judge(at[kept], np.array(track.error)[kept] + track.asymmetry_ns)


def simulated(names: Sequence[str], seeds: int, seconds: float) -> Iterator[list[str]]:
    """The rows of the table of simulated paths."""
    for name, path, oscillator in paths():
        print(name, file=sys.stderr)
        for estimator in names:
            worlds = (
                World(path, oscillator, seed=seed, seconds=seconds + SETTLED_S, sync_s=SYNC_S, delay_s=DELAY_S)
                for seed in range(1, seeds + 1)
            )
            tracks = [follow(make_estimator(estimator), world.play()) for world in worlds]
            for record, after_lock_s in (("from the lock on", 0.0), ("settled", SETTLED_S)):
                medians = np.median([figures(track, after_lock_s) for track in tracks], axis=0)
                yield [name, estimator, record, *(number(float(value), 0) for value in medians)]


def at_instants(errors: Errors, instants_ns: Array) -> Array:
    """The newest error at each instant, ns; NaN where there is none of the last 2 s."""
    newest = np.searchsorted(errors.at_ns, instants_ns, side="right") - 1
    found = errors.error_ns[np.maximum(newest, 0)].astype(float)
    stale = (newest < 0) | (instants_ns - errors.at_ns[np.maximum(newest, 0)] > 2e9)
    found[stale] = np.nan
    return found


def unseen(record: Record, instants_ns: Array) -> Array:
    """The error that half of the difference of both directions makes, at each instant, ns."""
    middles = []
    for at, taken in delays(record).values():
        first = np.searchsorted(at, instants_ns - HALF_S * 1e9)
        last = np.searchsorted(at, instants_ns + HALF_S * 1e9)
        middles.append(np.array([np.median(taken[a:b]) if b > a else np.nan for a, b in zip(first, last, strict=True)]))
    result: Array = -1e3 * (middles[0] - middles[1]) / 2
    return result


def measured(name: str, seconds: float) -> Iterator[list[str]]:
    """The rows of a condition with real packets."""
    kinds: list[type[Follower]] = [Recorded, OursLinear, Ptp4l]
    kinds += [] if Chrony.missing() else [Chrony]
    print(name, file=sys.stderr)
    with _proc.Workshop() as shop:
        record = errors_side_by_side(kinds, name, START_S + SETTLED_S + seconds, 1, shop)
        since_s = np.arange(0.0, seconds, SYNC_S)
        for when, begin_s in (("from the start on", START_S), ("settled", START_S + SETTLED_S)):
            instants = record.start_ns + (begin_s + since_s) * 1e9
            for kind in kinds:
                errors = record.errors[kind.key]
                error_ns = np.full(len(instants), np.nan) if errors is None else at_instants(errors, instants)
                kept = np.isfinite(error_ns)
                yield [name, kind.label, when, *(number(each, 0) for each in judge(since_s[kept], error_ns[kept]))]
            error_ns = unseen(record, instants)
            kept = np.isfinite(error_ns)
            yield [name, "unseen", when, *(number(each, 0) for each in judge(since_s[kept], error_ns[kept]))]


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="E,E", help=f"simulated: of {', '.join(ESTIMATORS)}")
    parser.add_argument("--seeds", type=int, default=5, help="worlds of each path, over which figures are taken (5)")
    parser.add_argument("--seconds", type=float, default=1000.0, help="length of each, beside 60 s of settling (1000)")
    parser.add_argument("--measured", metavar="C,C", help=f"real packets instead: of {', '.join(CONDITIONS)}")
    given = parser.parse_args()
    names = given.only.split(",") if given.only else list(ESTIMATORS)
    conditions = given.measured.split(",") if given.measured else []
    if unknown := [name for name in names if name not in ESTIMATORS]:
        parser.error(f"unknown in --only: {', '.join(unknown)}")
    if unknown := [name for name in conditions if name not in CONDITIONS]:
        parser.error(f"unknown in --measured: {', '.join(unknown)}")
    if given.seeds < 1 or given.seconds < 60:
        parser.error("need --seeds of 1 or more and --seconds of 60 or more")
    if not conditions:
        head = ["path", "estimator", "record", *HEAD]
        print(markdown(head, [list(AIM), *simulated(names, given.seeds, given.seconds)]))
        return 0
    if reason := netns.unavailable() or Ptp4l.missing():
        raise SystemExit(reason)
    head = ["condition", "program", "record", *HEAD]
    print(markdown(head, [list(AIM), *(row for name in conditions for row in measured(name, given.seconds))]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
