"""How soon a PTP follower's time can be used, by the bound that the clock itself publishes, against the truth.

    python benchmarks/ptp_first_time.py [--seeds 50] [--only kalman]

All is simulated: a grandmaster with 8 Syncs and one Announce a second, and a follower with the default settings, whose
crystals are up to 50 ppm off each; two-step, with stamps of hardware. Times count from the first Announce that reaches
the follower; two figures are the median and the worst of all runs. The bound contains half of the round trip, since a
path's asymmetry cannot be measured from its ends: where that alone is larger than a limit, the bound never falls
below the limit. Looks are 50 a second, for six seconds; ">3s" and ">bound" count those at which the error was beyond
three of the sigmas, or beyond the bound, that were published.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median

import msgspec
from _table import markdown

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins" / "ptp" / "tests"))

from world.followed_clock import FollowedClock
from world.links import Link
from world.node import S
from world.world import World

from phasegraph import ClockState
from phasegraph_ptp.estimators import ESTIMATORS, make_estimator
from phasegraph_ptp.options import PtpConfig
from phasegraph_ptp.protocol import PortRole
from phasegraph_ptp.settings_from_config import settings_from_config

HEAD = ("network", "estimator", "bound below 1 ms, s", "below 20 us, s", "locked, s", "error at 1 s, us")
HEAD += ("bound at 1 s, us", ">3s", ">bound")
NETWORKS = {
    "wire: 1 us": Link(delay_ns=1_000, jitter_ns=100),
    "one switch: 8 us, jitter 1 us": Link(delay_ns=8_000, jitter_ns=1_000),
    "three switches: 12 us, jitter 4 us": Link(delay_ns=12_000, jitter_ns=4_000),
    "busy switches: 100 us, jitter 50 us": Link(delay_ns=100_000, jitter_ns=50_000, exponential=True),
    "busy one way: 8 us, jitter 1 us and 300 us": Link(delay_ns=8_000, jitter_ns=1_000),
}
BUSY = Link(delay_ns=8_000, jitter_ns=300_000, exponential=True)
STEP_S = 0.02
LONG_S = 6.0


class Look(msgspec.Struct, frozen=True):
    """What the clock showed, and its error."""

    since_s: float
    state: ClockState
    sigma_ns: float
    bound_ns: float
    error_ns: float


def looks_of(name: str, estimator: str, seed: int) -> list[Look]:
    """What the clock showed in the first seconds after the first Announce, from its first estimate on."""
    random = Random(seed)
    settings = settings_from_config(PtpConfig(interface="eth0", log_announce_interval=0))
    world = World(seed, link=NETWORKS[name], through_codec=False)
    grandmaster = world.add(msgspec.structs.replace(settings, role=PortRole.GRANDMASTER), ppm=random.uniform(-50, 50))
    world.run(10 + 2 * random.random())  # the follower starts anywhere between two Announces
    follower = world.add(settings, ppm=random.uniform(-50, 50))
    if "one way" in name:
        world.connect(grandmaster, follower, BUSY)
    clock = FollowedClock(world, grandmaster, follower, make_estimator(estimator))
    while clock.announced_ns is None:
        world.run(STEP_S / 4)
    looks = []
    while world.now_ns - clock.announced_ns < LONG_S * S:
        world.run(STEP_S)
        estimate, error_ns = clock.look()
        if estimate.state is not ClockState.UNLOCKED:
            since_s = (world.now_ns - clock.announced_ns) / S
            looks.append(Look(since_s, estimate.state, estimate.sigma_ns, estimate.bound_ns, error_ns))
    return looks


def row(name: str, estimator: str, seeds: int) -> tuple[str, ...]:
    """The figures of a network: median and worst of all seeds."""
    runs = [looks_of(name, estimator, seed) for seed in range(1, seeds + 1)]
    every = [look for run in runs for look in run]
    at_one = [next(look for look in run if look.since_s >= 1.0) for run in runs]
    errors, bounds = [abs(look.error_ns) for look in at_one], [look.bound_ns for look in at_one]
    return (
        name,
        estimator,
        _first(runs, lambda look: look.bound_ns < 1_000_000),
        _first(runs, lambda look: look.bound_ns < 20_000),
        _first(runs, lambda look: look.state is ClockState.LOCKED),
        f"{median(errors) / 1e3:.1f}, {max(errors) / 1e3:.1f}",
        f"{median(bounds) / 1e3:.0f}, {max(bounds) / 1e3:.0f}",
        f"{sum(abs(look.error_ns) > 3 * look.sigma_ns for look in every)} of {len(every)}",
        f"{sum(abs(look.error_ns) > look.bound_ns for look in every)} of {len(every)}",
    )


def _first(runs: list[list[Look]], good: Callable[[Look], bool]) -> str:
    found = [next((look.since_s for look in run if good(look)), None) for run in runs]
    reached = [each for each in found if each is not None]
    if len(reached) < len(found):
        return f"{len(found) - len(reached)} of {len(found)} never"
    return f"{median(reached):.2f}, {max(reached):.2f}"


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50, help="runs of each network (50)")
    parser.add_argument("--only", default="kalman", help=f"estimators, of {', '.join(ESTIMATORS)}")
    options = parser.parse_args()
    rows = [row(name, each, options.seeds) for name in NETWORKS for each in options.only.split(",")]
    print(markdown(HEAD, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
