"""Silence, other grandmasters, steps, other paths: what is told meanwhile, and when the map jumps."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest

from phasegraph import ClockState
from phasegraph_ptp.estimators import ESTIMATORS, make_estimator

from .figures import Array, Track, each_with_oscillators, follow, kalman_in_quick_tests
from .links import MS, PATHS, US, Path, exponential, stack
from .world import OSCILLATORS, Change, Oscillator, World

LOCKED, HOLDOVER, UNLOCKED = ClockState.LOCKED, ClockState.HOLDOVER, ClockState.UNLOCKED


def states(track: Track, begin_s: float, end_s: float) -> set[ClockState]:
    return {each.state for at, each in zip(track.at, track.estimates, strict=True) if begin_s <= at < end_s}


def shares(track: Track) -> tuple[float, int]:
    """How often it was beyond three sigmas, and beyond the bound."""
    figures = track.figures()
    return figures.beyond_3_sigma, round(figures.beyond_bound * len(track.at))


@each_with_oscillators
def test_holdover_is_honest_and_ends_without_a_jump(name: str, oscillator: str) -> None:
    world = World(PATHS["quiet"], OSCILLATORS[oscillator], seed=6, seconds=110, silences=((40, 80),))
    track = follow(make_estimator(name), world.play(), every_s=1.0)
    assert states(track, 43, 80) == {HOLDOVER}
    assert states(track, 95, 110) == {LOCKED}
    assert track.estimates[-1].discontinuities == 0
    sigmas = [each.sigma_ns for at, each in zip(track.at, track.estimates, strict=True) if 43 <= at < 80]
    assert sigmas == sorted(sigmas)
    beyond_3_sigma, beyond_bound = shares(track)
    assert beyond_3_sigma <= (0.003 if name == "kalman" else 0.01)
    assert beyond_bound == 0


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
@pytest.mark.parametrize(
    "path", ["exponential", *(pytest.param(it, marks=pytest.mark.slow) for it in ("quiet", "wireless", "asymmetric"))]
)
def test_is_honest_through_losses_silence_and_other_grandmasters(path: str, seed: int) -> None:
    lossy = replace(PATHS[path], loss=0.05)
    changes = (Change(60, ahead_ns=20_000), Change(110, ahead_ns=-300_000), Change(150, ahead_ns=10**12))
    world = World(lossy, seed=seed, seconds=200, silences=((80, 100),), changes=changes)
    beyond_3_sigma, beyond_bound = shares(follow(make_estimator("kalman"), world.play()))
    assert beyond_3_sigma <= 0.003
    assert beyond_bound == 0


@pytest.mark.slow
def test_holdover_ends_when_the_doubt_is_too_large_and_locks_again() -> None:
    world = World(PATHS["quiet"], seed=6, seconds=560, silences=((60, 540),))
    track = follow(make_estimator("kalman"), world.play(), every_s=5.0)
    order = [each.state for at, each in zip(track.at, track.estimates, strict=True) if at > 50]
    changes = [after for before, after in itertools.pairwise(order) if before is not after]
    assert changes[0] is HOLDOVER
    assert changes[1] is UNLOCKED
    assert changes[-1] is LOCKED
    assert track.estimates[-1].discontinuities == 0
    assert shares(track) == (0, 0)


def test_nothing_is_known_without_syncs() -> None:
    estimate = make_estimator("kalman").estimate(5_000)
    assert estimate.state is UNLOCKED
    assert estimate.bound_ns >= 2**63


@pytest.mark.parametrize("name", ESTIMATORS)
def test_one_way_only_is_never_locked(name: str) -> None:
    world = World(PATHS["quiet"], seed=1, seconds=40, one_way=((0, 30),))
    track = follow(make_estimator(name), world.play())
    assert states(track, 5, 30) == {ClockState.ACQUIRING}
    early = [each for at, each in zip(track.at, track.estimates, strict=True) if at < 30]
    assert all(each.path_delay_ns is None and each.bound_ns >= 2**63 for each in early)
    assert abs(track.error[200]) < 60 * US  # by the delay that is not measured
    assert states(track, 39, 40) == {LOCKED}


@pytest.mark.slow
def test_a_path_whose_delay_is_measured_no_longer_stays_locked() -> None:
    track = follow(make_estimator("kalman"), World(PATHS["quiet"], seed=1, seconds=120, one_way=((30, 120),)).play())
    assert states(track, 30, 120) == {LOCKED}
    assert shares(track) == (0, 0)


@kalman_in_quick_tests
@pytest.mark.parametrize(("ahead_ns", "jumps"), [(-30_000, 0), (5_000_000, 1)])
@pytest.mark.slow
def test_another_grandmaster_of_the_same_timescale(name: str, ahead_ns: int, jumps: int) -> None:
    world = World(PATHS["quiet"], seed=3, seconds=70, changes=(Change(30, ahead_ns),))
    estimator = make_estimator(name)
    track = follow(estimator, world.play())
    assert HOLDOVER in states(track, 30, 30.4)
    assert HOLDOVER not in states(track, 33, 70)
    assert states(track, 40, 70) == {LOCKED}
    assert track.estimates[-1].discontinuities == jumps
    rates = [each.rate_ppb for at, each in zip(track.at, track.estimates, strict=True) if at > 20]
    assert max(rates) - min(rates) < 25_000  # the rate is kept, but for the slew
    assert shares(track)[0] <= 0.005
    assert shares(track)[1] == 0


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("ahead_ns", [1_000, pytest.param(-(10**18), marks=pytest.mark.slow)])
def test_another_timescale_is_always_a_jump(name: str, ahead_ns: int) -> None:
    world = World(PATHS["quiet"], seed=3, seconds=50, changes=(Change(25, ahead_ns, same_timescale=False),))
    track = follow(make_estimator(name), world.play())
    assert track.estimates[-1].discontinuities == 1
    assert states(track, 35, 50) == {LOCKED}
    assert shares(track)[0] <= 0.005


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("ahead_ns", [-5 * 10**9, pytest.param(5 * 10**9, marks=pytest.mark.slow)])
def test_a_reference_that_jumps_without_a_word_is_found_out(name: str, ahead_ns: int) -> None:
    world = World(PATHS["quiet"], seed=3, seconds=60, changes=(Change(30, ahead_ns, told=False),))
    track = follow(make_estimator(name), world.play())
    wrong = [at for at, error in zip(track.at, track.error, strict=True) if at > 30 and abs(error) > 1 * MS]
    assert wrong[-1] < 33
    assert states(track, 40, 60) == {LOCKED}


@pytest.mark.slow
def test_a_longer_path_is_taken_for_one() -> None:
    # Both ways longer by 300 us from the middle on: the offset must not follow.
    short, long = stack(20 * US, US), stack(320 * US, US)

    def way(random: np.random.Generator, at: np.ndarray) -> np.ndarray:
        return np.where(at < 60e9, short(random, at), long(random, at))

    track = follow(make_estimator("kalman"), World(Path(way, way), seed=2, seconds=120).play())
    assert track.figures(warm_s=80).p99_us < 2
    assert track.estimates[-1].discontinuities == 0
    assert track.estimates[-1].path_delay_ns == pytest.approx(321 * US, abs=3 * US)
    assert shares(track)[1] == 0


@dataclass(frozen=True)
class AwakenedOscillator(Oscillator):
    """Calm for 400 s; then its rate moves by this much each second, for 100 s."""

    ramp_ppb: float = 0.0

    def gain_ns(self, random: np.random.Generator, seconds: float) -> tuple[Array, Array]:
        at, calm = super().gain_ns(random, seconds)
        moved_s = np.clip(at / 1e9 - 400, 0, None)
        ramped_s = np.minimum(moved_s, 100)
        return at, calm + self.ramp_ppb * (ramped_s**2 / 2 + 100 * (moved_s - ramped_s))


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize(("ramp_ppb", "worst_ns"), [(2.0, 110), (10.0, 290)])
@pytest.mark.slow
def test_is_honest_when_a_calm_oscillator_begins_to_move(ramp_ppb: float, worst_ns: float, seed: int) -> None:
    calm = AwakenedOscillator(ppm=0.0, wander_ppb=0.02, swing_ppm=0.0, ramp_ppb=ramp_ppb)
    path = Path(exponential(50, 20), exponential(50, 20))
    track = follow(make_estimator("kalman"), World(path, calm, seed=seed, seconds=560).play())
    before, after = (np.array(track.at) < 400) & (np.array(track.at) > 200), np.array(track.at) > 400
    error = np.abs(np.array(track.error))
    sigma = np.array([each.sigma_ns for each in track.estimates])
    assert error[before].max() < 30  # and for that its sigma is small
    assert (error <= 3 * sigma)[before | after].all()
    assert shares(track)[1] == 0
    assert error[after].max() < worst_ns


def test_no_reference_any_more_is_holdover_at_once() -> None:
    world = World(PATHS["quiet"], seed=1, seconds=30)
    play = world.play()
    estimator = make_estimator("kalman")
    follow(estimator, play)
    now = play.local_ns(30e9)
    assert estimator.estimate(now).state is LOCKED
    estimator.reference_changed(now, same_timescale=True)
    assert not estimator.current
    assert estimator.estimate(now).state is HOLDOVER
    assert estimator.estimate(now + 10**9).reference_ns - estimator.estimate(now).reference_ns == pytest.approx(
        10**9, abs=10**5
    )
