"""The arithmetic of ptp_accuracy.py."""

from __future__ import annotations

import random
import statistics
import sys
import xml.etree.ElementTree
from pathlib import Path

import numpy as np
import pytest

# The benchmarks are scripts, not a package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import _ptp_figures
import _ptp_plot
import ptp_accuracy
from _ptp_peers import Errors
from tests.support.relay import Impairment
from tests.support.truth import Truth

START = 1_795_000_000_000_000_000


def errors(values: list[int], every_ns: int = 100_000_000) -> Errors:
    return Errors(START + every_ns * np.arange(len(values)), np.array(values))


def test_only_what_comes_after_the_warm_up_counts() -> None:
    figures = _ptp_figures.settled(errors([10**9] * 10 + [-1000, 3000] * 50), START + 1_000_000_000)
    expected = {"p50_us": 2, "p99_us": 3, "max_us": 3, "bias_us": 1, "sd_us": 2, "samples": 100}
    assert figures == pytest.approx(expected)


def test_what_a_clock_says_of_itself_is_held_against_its_errors() -> None:
    told = Errors(START + np.arange(20), np.arange(20) * 100, np.full(20, 500.0), np.full(20, 950.0))
    figures = _ptp_figures.settled(told, START)
    assert (figures["within_3_sigma"], figures["within_bound"]) == (0.8, 0.5)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0] * 21, 0.0),
        ([900, 900] + [100] * 30, 0.2),
        ([100] * 10 + [900] + [-100] * 30, 1.1),
        ([100] * 20, None),
        ([900] * 50, None),
    ],
)
def test_converged_is_when_it_stays_within_the_limit(values: list[int], expected: float | None) -> None:
    assert _ptp_figures.converged_after(errors(values), START, 500) == expected


def test_curves_are_thinned_to_two_a_second() -> None:
    curve = _ptp_plot.curve("quiet", "ours", errors(list(range(100)), 50_000_000), START)
    assert curve.seconds == [n / 2 for n in range(10)]
    assert curve.errors_ns == list(range(0, 100, 10))


def test_the_plot_is_svg_with_a_line_for_each_curve() -> None:
    curves = [
        _ptp_plot.curve(condition, program, errors([-(10**9), 0, 50, 10**5] * 20), START)
        for condition in ("quiet", "jitter", "load")
        for program in ("ours", "ptp4l")
    ]
    root = xml.etree.ElementTree.fromstring(_ptp_plot.plot(curves, {"ours": "Phasegraph"}))
    assert len(root.findall("{*}polyline")) == len(curves)


def test_a_failed_trial_leaves_a_row_with_its_reason() -> None:
    trials = [
        _ptp_figures.Trial("quiet", "ours", 1, note="ended early"),
        _ptp_figures.Trial("quiet", "gst", 1, p99_us=8),
    ]
    table = _ptp_figures.table(["quiet"], ["ours", "gst"], trials)
    assert "ended early (1 of 1 rounds)" in table
    assert "| 8.00 |" in table


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        ptp_accuracy.parse(["--conditions", "quiet,windy"])
    assert "unknown: windy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("jitter", "mean", "sd"),
    [("none", 0, 0), ("gaussian", 0, 1e5), ("uniform", 0, 1e5 / 3**0.5), ("exponential", 1e5, 1e5)],
)
def test_an_impairment_has_the_moments_it_is_named_after(jitter: str, mean: float, sd: float) -> None:
    way, dice = Impairment(delay_ns=1_000_000, jitter=jitter, jitter_ns=100_000, loss=0.25), random.Random(1)
    delays = [way.delay(dice) for _ in range(20_000)]
    kept = [delay for delay in delays if delay is not None]
    assert statistics.mean(kept) == pytest.approx(1_000_000 + mean, abs=3_000)
    assert statistics.pstdev(kept) == pytest.approx(sd, abs=3_000)
    assert len(kept) == pytest.approx(15_000, abs=300)


def test_truth_lies_between_its_samples() -> None:
    truth = Truth()
    truth.sample()
    (first, last), (real, real_last) = truth._local, truth._real
    assert (truth.at(first), truth.at(last)) == (real, real_last)
    assert real <= truth.at((first + last) // 2) <= real_last
    with pytest.raises(ValueError, match="not watched"):
        truth.at(last + 1)
