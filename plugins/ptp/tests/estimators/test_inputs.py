"""What comes in: peer delays, corrections, kinds of stamps, and anything at all."""

from __future__ import annotations

import math
from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph import ClockState, StampKind
from phasegraph_ptp.estimators import ESTIMATORS, ClockEstimator, make_estimator
from phasegraph_ptp.measurements import DelaySample, PeerDelaySample, Sample, SyncSample

from .figures import follow, kalman_in_quick_tests
from .links import PATHS, US
from .world import BOOT_NS, EPOCH_NS, Play, World, with_stamp


@kalman_in_quick_tests
@pytest.mark.parametrize("path", ["quiet", "load"])
def test_peer_delays(name: str, path: str) -> None:
    world = World(PATHS[path], seed=2, seconds=80, delay_s=1.0, peer=True)
    track = follow(make_estimator(name), world.play())
    figures = track.figures(warm_s=40)
    assert figures.beyond_3_sigma <= 0.003
    assert figures.beyond_bound == 0
    if path == "quiet":
        assert figures.p99_us < 2
        assert figures.locked_s < 10
        assert track.estimates[-1].path_delay_ns == pytest.approx(21 * US, abs=2 * US)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_corrections_are_taken_off(name: str) -> None:
    # Half a millisecond there and a quarter back, each known to the transparent clocks.
    play, estimator = World(PATHS["quiet"], seed=1, seconds=60).play(), make_estimator(name)
    for _, sample in play.events:
        if isinstance(sample, SyncSample):
            estimator.add_sample(
                SyncSample(
                    reference_ns=sample.reference_ns - 500_000, local_ns=sample.local_ns, correction=500_000 << 16
                )
            )
        elif isinstance(sample, DelaySample):
            estimator.add_sample(
                DelaySample(
                    reference_ns=sample.reference_ns + 250_000, local_ns=sample.local_ns, correction=250_000 << 16
                )
            )
    true_ns = play.events[-1][0]
    estimate = estimator.estimate(play.local_ns(true_ns))
    assert abs(estimate.reference_ns - play.reference_ns(true_ns, 0)) < 3_000
    assert estimate.path_delay_ns == pytest.approx(21 * US, abs=2 * US)


def stamped(
    play: Play, estimator: ClockEstimator, until_s: float, lose: float, late_ns: int, begin_s: float = 0.0
) -> None:
    """Feed a play in which some Delay_Reqs, or all from a time on, have a stamp of this process, taken too early."""
    random = Random(1)
    for true_ns, sample in play.events:
        if not begin_s * 1e9 <= true_ns < until_s * 1e9:
            continue
        assert not isinstance(sample, (PeerDelaySample, type(None)))
        if isinstance(sample, DelaySample) and random.random() < lose:
            sample = with_stamp(sample, StampKind.USER, round(-late_ns * random.uniform(0.8, 1.2)))
        estimator.add_sample(sample)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_lost_stamp_now_and_then_harms_nothing(name: str) -> None:
    play, estimator = World(PATHS["quiet"], seed=1, seconds=60).play(), make_estimator(name)
    stamped(play, estimator, 60, lose=0.3, late_ns=60_000)
    estimate = estimator.estimate(play.local_ns(60e9))
    assert abs(estimate.reference_ns - play.reference_ns(60e9, 0)) < 2_000
    metrics = estimator.metrics()
    assert 100 < metrics["samples_dropped_worse_stamp"] <= metrics["samples_user"]
    assert metrics["stamp_bias_delay_user_ns"] == pytest.approx(60_000, rel=0.05)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_bias_of_a_kind_is_learnt_beside_a_better_one_and_taken_off_when_that_ceases(name: str) -> None:
    play, estimator = World(PATHS["quiet"], seed=1, seconds=100).play(), make_estimator(name)
    stamped(play, estimator, 60, lose=0.3, late_ns=60_000)
    stamped(play, estimator, 100, lose=1.0, late_ns=60_000, begin_s=60)
    estimate = estimator.estimate(play.local_ns(100e9))
    error = abs(estimate.reference_ns - play.reference_ns(100e9, 0))
    assert error < 10_000  # else 30 us
    assert error < 3 * estimate.sigma_ns
    assert estimate.state is ClockState.LOCKED
    assert estimate.discontinuities == 0


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_unknown_bias_is_like_asymmetry_within_the_bound(name: str) -> None:
    play, estimator = World(PATHS["quiet"], seed=1, seconds=60).play(), make_estimator(name)
    stamped(play, estimator, 60, lose=1.0, late_ns=60_000)
    estimate = estimator.estimate(play.local_ns(60e9))
    error = abs(estimate.reference_ns - play.reference_ns(60e9, 0))
    assert 20_000 < error < estimate.bound_ns


NS = st.integers(-(2**70), 2**80) | st.integers(0, 2**63) | st.integers(EPOCH_NS, EPOCH_NS + 10**10)
LOCAL = st.integers(BOOT_NS, BOOT_NS + 10**11) | st.integers(-(2**66), 2**66)
KIND = st.sampled_from(StampKind)
CORRECTION = st.integers(-(2**63), 2**63) | st.just(0)
HOSTILE = (
    st.builds(SyncSample, reference_ns=NS, local_ns=LOCAL, correction=CORRECTION, stamp=KIND)
    | st.builds(DelaySample, reference_ns=NS, local_ns=LOCAL, correction=CORRECTION, stamp=KIND)
    | st.builds(PeerDelaySample, local_ns=LOCAL, delay_ns=st.floats(), stamp=KIND)
)


def sane(estimator: ClockEstimator, now_ns: int) -> None:
    estimate = estimator.estimate(now_ns)
    for value in (estimate.rate_ppb, estimate.sigma_ns, estimate.bound_ns, estimate.path_delay_ns or 0.0):
        assert math.isfinite(value)
    assert estimate.local_ns == now_ns
    assert isinstance(estimate.reference_ns, int)
    assert 0 <= estimate.sigma_ns <= estimate.bound_ns
    assert abs(estimate.rate_ppb) < 2e7
    for value in estimator.metrics().values():
        assert math.isfinite(value)


@pytest.mark.parametrize("name", ESTIMATORS)
@settings(max_examples=25, deadline=None)
@given(samples=st.lists(HOSTILE, max_size=60), seed=st.integers(0, 3))
def test_anything_at_all_is_survived(name: str, samples: list[Sample], seed: int) -> None:
    estimator = make_estimator(name)
    sane(estimator, BOOT_NS)
    for sample in samples:
        estimator.add_sample(sample)
        sane(estimator, max(BOOT_NS, min(sample.local_ns, 2**62)))
    estimator.reference_changed(BOOT_NS, same_timescale=bool(seed & 1))
    sane(estimator, BOOT_NS + 10**12)


@kalman_in_quick_tests
@settings(max_examples=8, deadline=None)
@given(data=st.data())
@pytest.mark.slow
def test_hostile_packets_among_good_ones_are_survived_and_the_map_runs_on(name: str, data: st.DataObject) -> None:
    play, estimator = World(PATHS["quiet"], seed=data.draw(st.integers(0, 50)), seconds=12).play(), make_estimator(name)
    step = data.draw(st.integers(10, 60))
    before = None
    for number, (true_ns, sample) in enumerate(play.events):
        assert isinstance(sample, SyncSample | DelaySample)
        now_ns = play.local_ns(true_ns)
        if before is not None:
            told = before.reference_at(now_ns)
        estimator.add_sample(sample)
        if number % step == 0:  # what others send may be anything; the local stamp is our own
            estimator.add_sample(msgspec.structs.replace(data.draw(HOSTILE), local_ns=now_ns))
        estimate = estimator.estimate(now_ns)
        if before is not None and not estimate.jumped_since(before):
            # Continuous: a new fix bends the line, and never moves it; it runs forwards.
            assert abs(estimate.reference_ns - told) < 1_000 + 2e-2 * (now_ns - before.local_ns)
            assert estimate.reference_ns >= before.reference_ns
        before = estimate
        sane(estimator, now_ns)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_times_that_leave_no_room_in_64_bits_are_refused_and_a_clock_near_them_runs_on(name: str) -> None:
    estimator, first_ns, second_ns = make_estimator(name), 2**62 - 4 * 10**9, 10**9
    for eighth in range(80):
        local_ns, passed_ns = BOOT_NS + eighth * second_ns // 8, eighth * second_ns // 8
        estimator.add_sample(
            SyncSample(reference_ns=first_ns + passed_ns, local_ns=local_ns, interval_ns=second_ns // 8)
        )
        estimator.add_sample(DelaySample(reference_ns=first_ns + passed_ns + 1000, local_ns=local_ns + 500))
    estimate = estimator.estimate(BOOT_NS + 40 * second_ns)
    assert estimator.metrics()["samples_dropped_out_of_range"] > 70
    later = np.array([BOOT_NS + 3600 * second_ns])
    assert int(estimate.references_at(later)[0]) == pytest.approx(first_ns + 3600 * second_ns, abs=10 * second_ns)
