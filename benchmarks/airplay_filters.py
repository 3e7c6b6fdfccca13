"""How well the filters of the airplay clock tell a leader's time, against the truth, on the same packets.

The leader behaves like a HomePod: uptime epoch, corrections of 0.1 to 110 ms, another port number in each kind of
message, bursts of four Syncs that stop unless answered, Follow_Ups 0.1 to 2 ms after their Syncs. All is simulated.
Errors count from ten seconds on; with an asymmetric path half of the asymmetry is in every filter's error, for
nobody can see it. "Beyond" counts the looks at which the published bound did not cover the error.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from _table import markdown

from phasegraph_airplay_timing.simulation import MS, Path, S, SimGroup, SimLeader

WIFI = Path(delay_ns=1_500_000, jitter_ns=5 * MS, loss=0.1)
CONDITIONS: dict[str, tuple[Path, Path]] = {
    "quiet wire": (Path(delay_ns=100_000, jitter_ns=10_000), Path(delay_ns=100_000, jitter_ns=10_000)),
    "quiet Wi-Fi": (Path(delay_ns=800_000, jitter_ns=300_000), Path(delay_ns=800_000, jitter_ns=300_000)),
    "Wi-Fi, jitter 5 ms, loss 10 %": (WIFI, WIFI),
    "Wi-Fi, jitter 20 ms, loss 10 %": (
        Path(delay_ns=1_500_000, jitter_ns=20 * MS, loss=0.1),
        Path(delay_ns=1_500_000, jitter_ns=20 * MS, loss=0.1),
    ),
    "Wi-Fi, there 1 ms longer": (WIFI, Path(delay_ns=2_500_000, jitter_ns=5 * MS, loss=0.1)),
    "silent leader (one way)": (WIFI, Path(loss=1.0)),
}
HEAD = ("condition", "filter", "median us", "p99 us", "max us", "bound us", "beyond")


def rows(name: str, here: Path, there: Path, seconds: float, seed: int) -> list[Sequence[str]]:
    """The rows of one condition."""
    leader = SimLeader(0x0499_B9B7_E0F1_0008, "10.0.0.1", epoch_ns=1_173_601 * S, ppm=-12.0)
    group = SimGroup([leader], here=here, there=there, ppm=18.0, seed=seed)
    group.run(seconds)
    found: list[Sequence[str]] = []
    for filter, looks in group.looks.items():
        late = [look for look in looks if look.true_ns >= 10 * S and look.error_ns is not None]
        errors = sorted(abs(look.error_ns or 0) for look in late)
        bounds = sorted(look.estimate.bound_ns for look in late)
        beyond = sum(abs(look.error_ns or 0) > look.estimate.bound_ns for look in late)
        if not errors:
            found.append((name, filter, *["-"] * 5))
            continue
        figures = (errors[len(errors) // 2], errors[len(errors) * 99 // 100], errors[-1], bounds[len(bounds) // 2])
        found.append((name, filter, *(f"{figure / 1000:,.1f}" for figure in figures), f"{beyond} of {len(errors)}"))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="simulated time of each condition")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    table = [
        row
        for name, (here, there) in CONDITIONS.items()
        for row in rows(name, here, there, options.seconds, options.seed)
    ]
    print(markdown(HEAD, table))


if __name__ == "__main__":
    main()
