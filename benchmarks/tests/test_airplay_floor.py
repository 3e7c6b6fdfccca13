"""The oracle of the rooms: what it knows, it finds."""

from __future__ import annotations

import pathlib
import sys
from random import Random

import numpy as np
import pytest

pytest.importorskip("phasegraph_airplay_timing")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from airplay_floor import errors_of, oracle_ns, p99_us, posterior_ns, stamps_of
from airplay_rooms import Path


def test_without_jitter_the_oracle_finds_the_offset() -> None:
    path = Path(delay_ns=1_500_000, jitter_ns=1_000)
    stamps = stamps_of(path, 25e-6, 3.0, Random(1))
    assert oracle_ns(stamps, 3_000_000_000, path.jitter_ns) == pytest.approx(75_000, abs=1_000)


@pytest.mark.slow
def test_what_more_an_oracle_knows_makes_it_better() -> None:
    path = Path(delay_ns=1_500_000, jitter_ns=2_000_000, loss=0.05)
    errors = [errors for seed in range(40) if (errors := errors_of(path, 3.0, seed)) is not None]
    known, told, oracle, ours = (sum(error**2 for error in column) for column in zip(*errors, strict=True))
    assert known < told < oracle
    assert oracle < 1.1 * ours  # which is about as good


def test_a_rate_that_is_given_is_the_posterior() -> None:
    stamps = stamps_of(Path(delay_ns=100_000, jitter_ns=10_000), 0.0, 1.5, Random(2))
    found, rate, sigma = posterior_ns(stamps, 1_500_000_000, 10_000, np.array([0.0]))
    assert (rate, sigma) == (0.0, 0.0)
    assert abs(found) < 10_000


def test_the_distance_is_that_of_any_two() -> None:
    assert p99_us([0.0, 1_000.0, 3_000.0]) == 3.0
