"""The parts: order statistics, regression, filter bank, line, registry."""

from __future__ import annotations

import math

import numpy as np
import pytest

from phasegraph import ClockState
from phasegraph_ptp.estimators import ESTIMATORS, make_estimator
from phasegraph_ptp.estimators.kalman_bank import KalmanBank
from phasegraph_ptp.estimators.offset_estimate import Direction, PathObservation
from phasegraph_ptp.estimators.order_statistics import EARLIEST, FLOOR, MIDDLE, PACKETS, OrderStatistics
from phasegraph_ptp.estimators.regression import Regression
from phasegraph_ptp.estimators.statistic_weighting import Scatter, weigh_statistics

from .figures import follow
from .links import PATHS
from .world import World


@pytest.mark.slow
def test_the_extrapolated_floor_of_queues_is_the_floor() -> None:
    random = np.random.default_rng(1)
    statistics = OrderStatistics(8)
    times = np.arange(PACKETS) / 8
    for queues in (random.uniform(0, 100, (4000, PACKETS)), random.exponential(100, (4000, PACKETS))):
        found = np.array([statistics.compute(50 + each, times, 0.0)[0] for each in queues]).mean(axis=0)
        assert found[FLOOR] == pytest.approx(50, abs=0.7)
        assert found[EARLIEST] > 54
        assert np.all(np.diff(found) > 0)


def test_statistics_are_about_the_middle_of_their_window_whatever_the_rate() -> None:
    statistics = OrderStatistics(4)
    times = 7.0 + np.arange(PACKETS, dtype=float)
    where, when = statistics.compute(20_000 * times + 5, times, 20_000.0)
    assert where == pytest.approx(20_000 * when + 5)
    assert when[MIDDLE] == times[-4:].mean()
    assert when[FLOOR] == times.mean()


@pytest.mark.parametrize("hop", [2, 8, 16])
def test_a_packet_that_took_a_short_cut_is_not_in_the_middle(hop: int) -> None:
    values = np.full(PACKETS, 15_000.0)
    values[-1] -= 11_000
    assert OrderStatistics(hop).compute(values, np.arange(float(PACKETS)), 0.0)[0][MIDDLE] == 15_000


@pytest.mark.parametrize("epoch_ns", [0, 2**62])
def test_regression_is_exact_without_noise_whatever_the_epochs(epoch_ns: int) -> None:
    regression = Regression()
    for second in range(20):
        local_ns = 10**13 + second * 10**9
        offset_ns = 10**13 - epoch_ns + 40_000 * second
        regression.add_packet(PathObservation(Direction.SYNC, local_ns, offset_ns + 7_000))
        regression.add_packet(PathObservation(Direction.DELAY, local_ns, 7_000 - offset_ns))
    line = regression.fit()
    assert line is not None
    fix = line.offset_estimate(settled=True, generation=0)
    assert fix.base_ns + fix.offset_ns == pytest.approx(offset_ns, abs=1)
    assert fix.rate_ppb == pytest.approx(40_000, abs=20)  # drawn towards 0 by what oscillators are like
    assert fix.delay_ns == pytest.approx(7_000, abs=1)


def test_regression_leaves_outliers_out() -> None:
    random = np.random.default_rng(3)
    regression = Regression()
    for number in range(32):
        local_ns = number * 125_000_000
        late = 40_000_000 if number % 8 == 1 else 0
        regression.add_packet(PathObservation(Direction.SYNC, local_ns, round(20_000 + random.normal(0, 1_000)) + late))
        regression.add_packet(PathObservation(Direction.DELAY, local_ns, round(20_000 + random.normal(0, 1_000))))
    line = regression.fit()
    assert line is not None
    fix = line.offset_estimate(settled=True, generation=0)
    assert abs(fix.base_ns + fix.offset_ns) < 5_000
    assert fix.delay_ns == pytest.approx(20_000, abs=3_000)


def test_regression_goes_by_the_early_packets_where_one_direction_queues() -> None:
    random = np.random.default_rng(5)
    regression = Regression(early=True)
    for number in range(16):
        local_ns = number * 125_000_000
        queue = random.exponential(1e6) if number % 2 else 0.0
        regression.add_packet(
            PathObservation(Direction.SYNC, local_ns, round(500_000 + 20_000 + queue + random.normal(0, 1e3)))
        )
        regression.add_packet(
            PathObservation(Direction.DELAY, local_ns, round(20_000 - 500_000 + random.normal(0, 1e3)))
        )
    line = regression.fit()
    assert line is not None
    fix = line.offset_estimate(settled=True, generation=0)
    assert fix.base_ns + fix.offset_ns == pytest.approx(500_000, abs=5_000)
    assert fix.delay_ns == pytest.approx(20_000, abs=5_000)
    assert abs(fix.base_ns + fix.offset_ns - 500_000) < 3 * math.sqrt(fix.variance)


def test_regression_keeps_to_the_middle_where_noise_is_even() -> None:
    random = np.random.default_rng(6)
    regressions = Regression(early=True), Regression()
    for number in range(16):
        for way, value in ((Direction.SYNC, 40_000), (Direction.DELAY, 0)):
            seen = PathObservation(way, number * 125_000_000, round(value + random.normal(0, 1e4)))
            for regression in regressions:
                regression.add_packet(seen)
    early, plain = (regression.fit() for regression in regressions)
    assert early is not None
    assert plain is not None
    assert early.state == pytest.approx(plain.state)


def test_the_scatter_of_blocks_is_found_while_the_rate_moves() -> None:
    random = np.random.default_rng(2)
    scatter = Scatter(np.full(4, 5_000.0), (2, 2, 1, 1))
    for block in range(100):
        scatter.add_block(random.normal(0, 300, 4) + 18_000.0 * block, np.full(4, float(block)), 18_000.0)
    assert scatter.sd == pytest.approx(np.full(4, 300), rel=0.6)


def settled_bank(biased: float) -> KalmanBank:
    """A bank that has seen blocks in which the middle of the Syncs is late by this much."""
    random = np.random.default_rng(1)
    start = np.array([np.full(4, 20_000.0), np.zeros(4), np.full(4, 20_000.0)])
    bank = KalmanBank(start, np.repeat(np.diag([1e8, 1e6, 1e8])[:, :, None], 4, axis=2), 200.0)
    sd = np.array([900.0, 600.0, 500.0, 400.0])
    for _ in range(200):
        bank.predict(1.0, 1e5 * np.ones(4))
        late = np.array([0.0, 0.0, 0.3, 1.0]) * biased
        ones = np.ones(4)
        bank.update_with_block(Direction.SYNC, 0.5 * ones, 20_000 + late + random.normal(0, sd), sd**2, ones)
        bank.update_with_block(Direction.DELAY, 0.5 * ones, 20_000 + random.normal(0, sd), sd**2, ones)
    return bank


def test_the_bank_finds_offset_rate_and_delay_and_knows_how_well() -> None:
    known = settled_bank(0.0).mixture()
    assert np.all(np.abs(known.offset) < 4 * np.sqrt(known.variance))
    assert np.all(np.sqrt(known.variance) < 300)
    assert np.all(np.abs(known.state[1]) < 4 * np.sqrt(known.rate_variance))
    assert known.state[2] == pytest.approx(np.full(4, 20_000), abs=300)


@pytest.mark.slow
def test_choice_trusts_the_precise_unless_it_is_biased() -> None:
    scatter = np.array([9.0, 4.0, 3.0, 2.0])
    even = weigh_statistics(settled_bank(0.0).mixture(), scatter)
    late = weigh_statistics(settled_bank(6_000.0).mixture(), scatter)
    assert even.weight[MIDDLE] > 0.3
    assert late.weight[MIDDLE] < 0.01
    assert even.weight.sum() == pytest.approx(1)
    # Where the floor is made of a few short cuts, it is no better judge, but the doubt is told.
    blunt = weigh_statistics(settled_bank(6_000.0).mixture(), np.array([9e4, 4e4, 3.0, 2.0]))
    assert blunt.weight[MIDDLE] > 0.3
    assert math.sqrt(blunt.variance) > 1_000


def test_registry() -> None:
    assert list(ESTIMATORS) == ["kalman", "linear-regression", "median"]
    with pytest.raises(KeyError):
        make_estimator("pi")
    with pytest.raises(TypeError, match="delay_memory"):
        make_estimator("median", delay_memory=1)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_same_packets_give_the_same_clock(name: str) -> None:
    play = World(PATHS["wireless"], seed=8, seconds=20).play()
    first, second = (follow(make_estimator(name), play).estimates for _ in range(2))
    assert first == second


@pytest.mark.parametrize("minutes", [10, 20, 40])
@pytest.mark.slow
def test_it_neither_grows_nor_drifts(minutes: int) -> None:
    # Memory that does not grow, and a line that does not drift from the truth: minutes in which both clocks wander.
    estimator = make_estimator("kalman")
    play = World(PATHS["quiet"], seed=1, seconds=60.0 * minutes, delay_s=1.0).play()
    track = follow(estimator, play)
    quarters = np.array_split(np.array(track.error)[400:], 4)
    assert max(abs(quarter.mean()) for quarter in quarters) < 150
    assert max(np.quantile(np.abs(quarter), 0.99) for quarter in quarters) < 560
    assert {each.state for each in track.estimates[400:]} == {ClockState.LOCKED}
    assert track.estimates[-1].discontinuities == 0
    assert estimator.metrics()["restarts"] == 0
