"""The line through readings of a grandmaster's time: honest, without jumps, and not misled by single readings."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from phasegraph import ClockEstimate, ClockState, PublisherSettings
from phasegraph_ptp.ptp4l.phase_line import PhaseLine, ReadingSource

S = 1_000_000_000
EPOCH = 1_790_000_000 * S
GM = ReadingSource("A", "ptp")
Truth = Callable[[int], int]


def drifting(ppm: float, ahead_ns: int = 0) -> Truth:
    return lambda local_ns: EPOCH + ahead_ns + local_ns + round(local_ns * ppm / 1e6)


def make(**quality: Any) -> PhaseLine:
    line = PhaseLine(
        PublisherSettings(**{"settling_fixes": 1, "lock_within_ns": 20_000, "unlock_beyond_ns": 1_000_000, **quality})
    )
    line.set_source(GM)
    return line


def publish_each_second(
    line: PhaseLine, truth: Truth, seconds: range, *, noise: float = 1000.0, seed: int = 1, heard: bool = True
) -> Iterator[tuple[int, ClockEstimate]]:
    """One reading a second, and what was published."""
    drawn = random.Random(seed)
    for second in seconds:
        now = second * S
        if heard:
            line.add_reading(now - 50_000_000, truth(now - 50_000_000) + round(drawn.gauss(0, noise)))
        yield now, line.publish_at(now, interval_ns=S, silence_ns=3 * S, path_delay_ns=10_000)


def test_knows_nothing_at_first() -> None:
    line = make()
    truth = drifting(20)
    states = [estimate.state for _, estimate in publish_each_second(line, truth, range(1, 6))]
    assert states[:4] == [ClockState.UNLOCKED] * 4
    assert states[4] is ClockState.LOCKED


@pytest.mark.parametrize("ppm", [37.5, *(pytest.param(ppm, marks=pytest.mark.slow) for ppm in (-100.0, 0.0))])
@pytest.mark.parametrize("noise", [0.0, 30.0, 3000.0])
def test_sigma_and_bound_cover_the_truth(ppm: float, noise: float) -> None:
    truth, within, total = drifting(ppm), 0, 0
    for seed in range(40):
        for now, estimate in publish_each_second(make(), truth, range(1, 80), noise=noise, seed=seed):
            if estimate.state is ClockState.LOCKED:
                # The worst moment is just before the next reading.
                error = abs(estimate.reference_at(now + S) - truth(now + S))
                assert error <= estimate.bound_ns
                within += error <= 3 * estimate.sigma_ns + 2
                total += 1
    assert total > 1000
    assert within >= 0.997 * total


def test_noisy_readings_do_not_lock() -> None:
    *_, (_, last) = publish_each_second(make(lock_within_ns=1000), drifting(0), range(1, 60), noise=5000)
    assert last.state is ClockState.ACQUIRING


def test_a_few_readings_beside_the_line_are_ignored() -> None:
    line, truth = make(), drifting(10)
    list(publish_each_second(line, truth, range(1, 40)))
    before = line.estimate
    list(publish_each_second(line, drifting(10, ahead_ns=S), range(40, 43)))  # ptp4l has half a leap second
    *_, (now, after) = publish_each_second(line, truth, range(43, 50))
    assert line.rejected == 3
    assert abs(after.reference_at(now) - before.reference_at(now)) < 20_000
    assert after.discontinuities == 0


@pytest.mark.parametrize("jump", [S, -S, 5_000_000])
def test_a_lasting_jump_is_followed_and_counted(jump: int) -> None:
    line, moved = make(), drifting(10, ahead_ns=jump)
    list(publish_each_second(line, drifting(10), range(1, 40)))
    *_, (now, after) = publish_each_second(line, moved, range(40, 60))
    assert after.discontinuities == 1
    assert after.state is ClockState.LOCKED
    assert abs(after.reference_at(now) - moved(now)) <= after.bound_ns


def test_a_small_jump_is_slewed() -> None:
    line, moved = make(), drifting(10, ahead_ns=200_000)
    *_, (_, before) = publish_each_second(line, drifting(10), range(1, 40), noise=0)
    readings, last = [], before
    for now, estimate in publish_each_second(line, moved, range(40, 100), noise=0):
        assert abs(estimate.reference_at(now) - last.reference_at(now)) <= 1
        assert abs(estimate.rate_ppb - before.rate_ppb) < 21_000
        readings.append(abs(estimate.reference_at(now) - moved(now)))
        last = estimate
    assert last.discontinuities == 0
    assert readings[-1] < 100


def test_silence_is_holdover_and_the_bound_grows() -> None:
    line, truth = make(unlock_beyond_ns=200_000), drifting(10)
    *_, (_, locked) = publish_each_second(line, truth, range(1, 40))
    seen = list(publish_each_second(line, truth, range(40, 400), heard=False))
    states = [estimate.state for _, estimate in seen]
    assert states[0] is ClockState.LOCKED  # less than three seconds
    assert states[3] is ClockState.HOLDOVER
    assert states[-1] is ClockState.UNLOCKED
    assert states == sorted(states, key=[ClockState.LOCKED, ClockState.HOLDOVER, ClockState.UNLOCKED].index)
    bounds = [estimate.bound_ns for _, estimate in seen[4:]]
    assert bounds == sorted(bounds)
    for now, estimate in seen:
        assert abs(estimate.reference_at(now) - truth(now)) <= estimate.bound_ns
    *_, (now, back) = publish_each_second(line, truth, range(400, 420))
    assert back.state is ClockState.LOCKED
    assert back.discontinuities == locked.discontinuities


def test_another_grandmaster_of_the_same_time_keeps_the_rate() -> None:
    line, truth = make(), drifting(10)
    *_, (_, before) = publish_each_second(line, truth, range(1, 40), noise=0)
    assert line.set_source(ReadingSource("B", "ptp"))
    assert not line.set_source(ReadingSource("B", "ptp"))
    seen = list(publish_each_second(line, truth, range(40, 60), noise=0))
    assert [estimate.grandmaster for _, estimate in seen[:5]] == ["A"] * 4 + ["B"]
    assert seen[0][1].state is ClockState.HOLDOVER
    assert seen[-1][1].state is ClockState.LOCKED
    assert {estimate.discontinuities for _, estimate in seen} == {0}
    assert all(abs(estimate.rate_ppb - before.rate_ppb) < 100 for _, estimate in seen)


def test_another_timescale_is_a_discontinuity() -> None:
    line, arb = make(), drifting(10, ahead_ns=-EPOCH)
    list(publish_each_second(line, drifting(10), range(1, 40)))
    line.set_source(ReadingSource("A", "arb"))
    seen = list(publish_each_second(line, arb, range(40, 60)))
    assert [(estimate.timescale, estimate.discontinuities) for _, estimate in (seen[3], seen[4])] == [
        ("ptp", 0),
        ("arb", 1),
    ]
    now, last = seen[-1]
    assert abs(last.reference_at(now) - arb(now)) <= last.bound_ns
