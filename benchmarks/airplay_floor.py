"""How well two rooms can agree after their start, from the stamps of an AirPlay leader alone.

An oracle gets the stamps of the rooms of `airplay_rooms.py` (eight Syncs a second, three questions for each, the losses
of the network) and knows what no follower knows: that delays are a least delay and an exponential one, and the mean of
that. It does not know the least delay, the offset, or the difference of the crystals' rates, of which it knows that its
standard deviation is 30 ppm. Its estimate is the mean of the posterior: no other has a smaller mean square error. It
uses Syncs and questions. A leader answers 0.1 to 1 ms after a question, and no stamp says how long it waited: "waits
known" is an oracle that is told, and uses the answers too, and "rate known" is that one with the rate given. "Ours" is
the filter `envelope` on the same stamps. Figures are the 99th percentile of the distance of two rooms at a time after
the start of both, and the share of pairs that are farther apart than 50 us.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import combinations
from random import Random
from typing import NamedTuple

import numpy as np
from _table import markdown
from airplay_rooms import ANSWER_NS, ASKED, NETWORKS, SYNCS_PER_WINDOW, Path, S

from phasegraph_airplay_timing.filters import DelayExchange, EnvelopeFilter, LeaderSync

HEAD = (
    "Wi-Fi of 1.5 ms",
    "after the start",
    "rate known: p99 us",
    "waits known: p99 us",
    "oracle: p99 us",
    "ours: p99 us",
)
SYNC_NS = S * 60 // SYNCS_PER_WINDOW
GAP_NS = S // 1000
"""From a Sync to the first question."""
RATE_SIGMA = 30e-6
AIM_US = 50.0
WIDTHS, RATES = (5 * RATE_SIGMA, 2e-6, 1e-7), 401
"""Half widths of the grids of rates: each is around the mean of the wider one, if the rate is known that well."""
SECONDS = 1.5, 3.0, 6.0, 10.0, 20.0


class Stamps(NamedTuple):
    """What a room has of a leader with the same epoch: the truth is offset 0 at rate ``rate``."""

    samples: list[LeaderSync | DelayExchange]
    lower: list[tuple[int, int]]
    """Local times of Syncs' arrivals, and the offset that each shows: at most the truth."""
    answers: list[tuple[int, int]]
    """The same of answers, if it is known how long each waited."""
    upper: list[tuple[int, int]]
    """The same of departures to the leader: at least the truth."""


def stamps_of(path: Path, rate: float, seconds: float, random: Random, asked: int = ASKED) -> Stamps:
    """The stamps of a room from its start on, in order of time, with ``asked`` questions for each Sync."""
    found = Stamps([], [], [], [])
    timed: list[tuple[int, int, LeaderSync | DelayExchange]] = []
    """When it was seen, how long the answer waited, and the sample."""
    for left_ns in range(random.randrange(SYNC_NS), round(seconds * S), SYNC_NS):
        here_ns = path.take(random)
        if here_ns is None:
            continue
        sync = LeaderSync(
            origin_ns=_leader_ns(left_ns, rate), arrived_ns=left_ns + here_ns, told_ns=left_ns + here_ns + GAP_NS
        )
        timed.append((sync.arrived_ns, 0, sync))
        for number in range(asked):
            asked_ns = sync.arrived_ns + GAP_NS + number * SYNC_NS // asked
            there_ns, back_ns, answer_ns = path.take(random), path.take(random), random.randint(*ANSWER_NS)
            if there_ns is None or back_ns is None:
                continue
            answered_ns = asked_ns + there_ns + answer_ns + back_ns
            reached_ns = _leader_ns(asked_ns + there_ns, rate)
            exchange = DelayExchange(
                sync=sync, asked_ns=asked_ns, reached_ns=reached_ns, answered_ns=answered_ns, spare=number > 0
            )
            timed.append((answered_ns, answer_ns, exchange))
    for seen_ns, waited_ns, sample in sorted(timed, key=lambda each: each[0]):
        if seen_ns > seconds * S:
            break
        found.samples.append(sample)
        if isinstance(sample, LeaderSync):
            found.lower.append((sample.arrived_ns, sample.departed_ns - sample.arrived_ns))
        else:
            found.upper.append((sample.asked_ns, sample.reached_ns - sample.asked_ns))
            found.answers.append((seen_ns, sample.reached_ns + waited_ns - seen_ns))
    return found


def _leader_ns(true_ns: int, rate: float) -> int:
    return true_ns + round(true_ns * rate)


def posterior_ns(stamps: Stamps, at_ns: int, jitter_ns: float, rates: np.ndarray) -> tuple[float, float, float]:
    """The mean offset at a time over these rates, and mean and deviation of the rate.

    With a rate given, the line of a direction is beyond its fastest packet by an exponential excess, whose mean is that
    of the delays divided by the number of packets. That gives the likelihood of the rate, and the mean offset.
    """
    edges, logarithm = [], -((rates / RATE_SIGMA) ** 2) / 2
    for sign, points in ((+1, stamps.lower), (-1, stamps.upper)):
        times, offsets = (np.array(column, dtype=float) for column in zip(*points, strict=True))
        beside = sign * (offsets[:, None] - (times[:, None] - at_ns) * rates[None, :])
        edge = beside.max(axis=0)
        logarithm = logarithm - (len(points) * edge - beside.sum(axis=0)) / jitter_ns
        edges.append(sign * (edge + jitter_ns / len(points)))
    weights = np.exp(logarithm - logarithm.max())
    weights /= weights.sum()
    rate = float(weights @ rates)
    return float(weights @ (edges[0] + edges[1])) / 2, rate, float(np.sqrt(weights @ (rates - rate) ** 2))


def oracle_ns(stamps: Stamps, at_ns: int, jitter_ns: float) -> float:
    """The oracle's offset: on a grid that is as fine as what is known of the rate."""
    centre = 0.0
    for width in WIDTHS:
        found, mean, sigma = posterior_ns(stamps, at_ns, jitter_ns, np.linspace(centre - width, centre + width, RATES))
        centre = mean
        if sigma > width / 50:
            break
    return found


def errors_of(path: Path, seconds: float, seed: int, asked: int = ASKED) -> tuple[float, ...] | None:
    """Errors of one room in the order of the columns; None where too few packets came."""
    random = Random(f"{seed} {seconds}")
    rate = max(-4 * RATE_SIGMA, min(4 * RATE_SIGMA, random.gauss(0.0, RATE_SIGMA)))
    stamps = stamps_of(path, rate, seconds, random, asked)
    if not stamps.lower or not stamps.upper:
        return None
    at_ns = round(seconds * S)
    truth_ns = at_ns * rate
    ours = EnvelopeFilter()
    for sample in stamps.samples:
        ours.add_sample(sample)
        if isinstance(sample, LeaderSync):
            ours.solve(sample.arrived_ns)
    solution = ours.solve(at_ns)
    if solution is None:
        return None
    told = stamps._replace(lower=stamps.lower + stamps.answers)
    known, _, _ = posterior_ns(told, at_ns, path.jitter_ns, np.array([rate]))
    found = known, oracle_ns(told, at_ns, path.jitter_ns), oracle_ns(stamps, at_ns, path.jitter_ns), solution.offset_ns
    return tuple(offset_ns - truth_ns for offset_ns in found)


def distances_us(errors: Sequence[float]) -> list[float]:
    """The distances of any two, in order of size."""
    return sorted(abs(one - other) / 1000 for one, other in combinations(errors, 2))


def p99_us(errors: Sequence[float]) -> float:
    """The 99th percentile of these distances."""
    distances = distances_us(errors)
    return distances[len(distances) * 99 // 100]


def beyond(errors: Sequence[float]) -> float:
    """The share of these distances that are larger than `AIM_US`."""
    distances = distances_us(errors)
    return sum(distance > AIM_US for distance in distances) / len(distances)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", type=int, default=200, help="rooms of each row, with random numbers of their own")
    parser.add_argument("--only", choices=tuple(NETWORKS), help="one network")
    parser.add_argument("--seconds", type=float, help="one time after the start")
    parser.add_argument("--asked", type=int, default=ASKED, help="questions for each Sync")
    options = parser.parse_args()
    rows = []
    for name in [options.only] if options.only else [name for name, path in NETWORKS.items() if not path.resent]:
        for seconds in [options.seconds] if options.seconds else SECONDS:
            found = [errors_of(NETWORKS[name], seconds, seed, options.asked) for seed in range(options.rooms)]
            columns = list(zip(*(each for each in found if each is not None), strict=True))
            shares = (f"{beyond(column):.1%}" for column in columns[-2:])
            rows.append((name, f"{seconds:g} s", *(f"{p99_us(column):,.0f}" for column in columns), *shares))
    print(markdown(HEAD, rows))


if __name__ == "__main__":
    main()
