"""How well six rooms agree that follow one AirPlay leader over Wi-Fi, and how soon a room is in line that starts again.

All is simulated, by the protocol and the filter of the `airplay` clock: each room has a path, an oscillator and random
numbers of its own; the leader behaves like a HomePod. The distance of two rooms counts from when both are locked, ten
times a second. "p99" and "max" are those of the pair that is worst. A room that starts again knows nothing: "in line"
is the time until it stays within 250 us of the room beside it, median and worst, and the share of restarts that are in
line within 1.5 s. "Settled" counts from 30 s after the start. "Floor" is the p99 of rooms that know their rate, so
that only the fastest packets of both directions within a minute are in the way; "floor: within 1.5 s" is the share of
such rooms in line by all packets of their first 1.5 s.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from itertools import combinations
from random import Random

from _table import markdown

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "plugins" / "airplay_timing" / "tests"))

from simulated_group import MS, Path, S, SimRooms

HEAD = (
    "Wi-Fi of 1.5 ms",
    "median us",
    "p99 us",
    "max us",
    "settled: p99 us",
    "max us",
    "floor: p99 us",
    "all locked after",
    "in line after",
    "within 1.5 s",
    "floor: within 1.5 s",
)
NETWORKS = {
    "jitter 0.2 ms, 10 % sent again, loss 2 %": Path(delay_ns=1_500_000, jitter_ns=200_000, resent=0.1, loss=0.02),
    "jitter 0.3 ms, loss 5 %": Path(delay_ns=1_500_000, jitter_ns=300_000, loss=0.05),
    "jitter 0.5 ms, loss 5 %": Path(delay_ns=1_500_000, jitter_ns=500_000, loss=0.05),
    "jitter 1 ms, loss 5 %": Path(delay_ns=1_500_000, jitter_ns=MS, loss=0.05),
    "jitter 2 ms, loss 5 %": Path(delay_ns=1_500_000, jitter_ns=2 * MS, loss=0.05),
    "jitter 5 ms, loss 10 %": Path(delay_ns=1_500_000, jitter_ns=5 * MS, loss=0.1),
}
STEP_S = 0.1
IN_LINE_NS = 250_000
SETTLED_S = 30.0
SYNCS_PER_WINDOW = 480
"""Of the filter's minute; and as many questions."""
FIRST_SYNCS, ASKED = 12, 3
"""Syncs of the first 1.5 s, and questions for each."""
ANSWER_NS = MS // 10, MS
"""How long after a question a leader answers."""
ROOMS = range(6)


Distances = dict[tuple[int, int], list[int]]


def distances_of(path: Path, seconds: float, seed: int) -> tuple[Distances, Distances, float | None]:
    """The distances of each pair while both are locked, those once settled, and when all were locked at first."""
    rooms = SimRooms(path, seed=seed)
    apart: Distances = {pair: [] for pair in combinations(ROOMS, 2)}
    settled: Distances = {pair: [] for pair in apart}
    locked_s = None
    for step in range(1, round(seconds / STEP_S) + 1):
        rooms.run(STEP_S)
        errors = [rooms.error_ns(each) if rooms.locked(each) else None for each in ROOMS]
        if locked_s is None and None not in errors:
            locked_s = step * STEP_S
        for pair, distances in apart.items():
            one, other = (errors[each] for each in pair)
            if one is not None and other is not None:
                distances.append(abs(one - other))
                if step * STEP_S > SETTLED_S:
                    settled[pair].append(abs(one - other))
    return apart, settled, locked_s


def floor_ns(path: Path, seed: int, draws: int = 4000) -> float:
    """The 99th percentile of the distance of two rooms that know all but their offset; see the module."""
    random = Random(seed)

    def fastest_ns() -> int:
        taken = (path.take(random) for _ in range(SYNCS_PER_WINDOW))
        return min(delay_ns for delay_ns in taken if delay_ns is not None)

    errors = [(fastest_ns() - fastest_ns()) / 2 for _ in range(draws)]
    distances = sorted(abs(one - other) for one, other in zip(errors[::2], errors[1::2], strict=True))
    return distances[len(distances) * 99 // 100]


def floor_in_line(path: Path, seed: int, draws: int = 4000) -> float:
    """The share of rooms in line 1.5 s after their start that know all but their offset; see the module."""
    random = Random(seed)

    def fastest_ns(packets: int, waits: bool = False) -> int:
        taken = ((path.take(random), random.randint(*ANSWER_NS) if waits else 0) for _ in range(packets))
        return min((delay_ns + wait_ns for delay_ns, wait_ns in taken if delay_ns is not None), default=S)

    def error_ns() -> float:
        here_ns = min(fastest_ns(FIRST_SYNCS), fastest_ns(FIRST_SYNCS * ASKED, waits=True))
        return (fastest_ns(FIRST_SYNCS * ASKED) - here_ns) / 2

    return sum(abs(error_ns()) < IN_LINE_NS for _ in range(draws)) / draws


def restarts_of(path: Path, seed: int) -> list[float]:
    """When each room was in line after its start, one room after the other; 9.9 s where it was not."""
    rooms = SimRooms(path, seed=seed)
    rooms.run(30)
    found = []
    for number in ROOMS:
        rooms.restart(number)
        since_s: float | None = None
        for step in range(1, 101):
            rooms.run(0.05)
            error, beside = rooms.error_ns(number), rooms.error_ns(number - 1 if number else 5)
            good = error is not None and beside is not None and abs(error - beside) < IN_LINE_NS
            since_s = (since_s or step * 0.05) if good else None
        found.append(9.9 if since_s is None else since_s)
    return found


def worst(pairs: list[list[int]], share: float) -> int:
    """A quantile of the pair that has the largest; each is sorted."""
    return max((pair[min(len(pair) - 1, int(share * len(pair)))] for pair in pairs), default=0)


def row(name: str, seconds: float, seeds: int) -> tuple[str, ...]:
    """The figures of a network, of all seeds."""
    path = NETWORKS[name]
    runs = [distances_of(path, seconds, seed) for seed in range(1, seeds + 1)]
    pairs = [sorted(distances) for apart, _, _ in runs for distances in apart.values() if distances]
    settled = [sorted(distances) for _, late, _ in runs for distances in late.values() if distances]
    figures = [
        *(worst(pairs, share) for share in (0.5, 0.99, 1.0)),
        *(worst(settled, share) for share in (0.99, 1.0)),
        floor_ns(path, seeds),
    ]
    locked = [after for _, _, after in runs if after is not None]
    restarts = sorted(after for seed in range(1, seeds + 1) for after in restarts_of(path, seed))
    soon = sum(after <= 1.5 for after in restarts)
    last = "never" if restarts[-1] == 9.9 else f"{restarts[-1]:.2f} s"
    return (
        name,
        *(f"{figure / 1000:,.0f}" for figure in figures),
        f"{max(locked):.1f} s" if len(locked) == len(runs) else "not all",
        f"{restarts[len(restarts) // 2]:.2f}, {last}",
        f"{soon} of {len(restarts)}",
        f"{floor_in_line(path, seeds):.1%}",
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="simulated time of each run")
    parser.add_argument("--seeds", type=int, default=3, help="runs on each network")
    parser.add_argument("--only", choices=tuple(NETWORKS), help="one network")
    options = parser.parse_args()
    names = [options.only] if options.only else list(NETWORKS)
    print(markdown(HEAD, [row(name, options.seconds, options.seeds) for name in names]))


if __name__ == "__main__":
    main()
