"""The controllers of other systems do what they are known for, in `compensation.py`'s world."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The benchmarks are scripts, not a package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import compensation

from phasegraph.testing import Conditions, DriftWorld, tracking_error_of

STEADY = Conditions(warm_ppm=0.0)


@pytest.mark.parametrize("name", ["zita-njbridge", "PipeWire, RTP", "zita-ajbridge", "PipeWire, AVB"])
@pytest.mark.parametrize("card_ppm", [-20.0, 37.3])
@pytest.mark.slow
def test_they_find_the_rate_with_the_right_sign(name, card_ppm):
    conditions = Conditions(card_ppm=card_ppm, warm_ppm=0.0)
    trace = DriftWorld(compensation.OTHERS[name](), conditions, seed=1).run(120.0)
    ratio = (trace.ratio[-2000:].mean() - 1.0) * 1e6
    assert ratio == pytest.approx(-card_ppm, abs=2.0)
    assert trace.underruns == 0


@pytest.mark.slow
def test_zita_settles_soon_and_sweeps_the_pitch():
    figures = tracking_error_of(DriftWorld(compensation.OTHERS["zita-njbridge"](), STEADY, seed=1).run(60.0))
    assert figures.phase_s < 5.0
    assert figures.slope_acquiring > 100.0


@pytest.mark.slow
def test_a_lost_packet_does_not_lead_zita_astray():
    figures = tracking_error_of(
        DriftWorld(compensation.OTHERS["zita-njbridge"](), Conditions(loss=0.01), seed=1).run(60.0)
    )
    assert figures.phase_s < 5.0


@pytest.mark.slow
def test_pipewire_settles_after_a_minute():
    figures = tracking_error_of(DriftWorld(compensation.OTHERS["PipeWire, RTP"](), STEADY, seed=1).run(150.0))
    assert 50.0 < figures.phase_s < 100.0
    assert figures.slope_acquiring < 20.0


@pytest.mark.parametrize("name", ["roc, gradual", pytest.param("roc, responsive", marks=pytest.mark.slow)])
def test_roc_turns_towards_the_rate(name):
    trace = DriftWorld(compensation.OTHERS[name](), STEADY, seed=1).run(100.0)
    assert trace.underruns == 0
    assert trace.ratio[-4000:].mean() < 1.0 - 20e-6


@pytest.mark.parametrize(("card_ppm", "runs_dry"), [(10.0, False), (60.0, True)])
@pytest.mark.slow
def test_bassaes67_is_kept_by_its_trim(card_ppm, runs_dry):
    conditions = Conditions(card_ppm=card_ppm, warm_ppm=0.0, link_offset_s=0.018)
    trace = DriftWorld(compensation.OTHERS["BassAES67"](), conditions, seed=1).run(100.0)
    assert (trace.underruns > 0) == runs_dry


def test_the_table_has_a_cell_for_every_head():
    figures = tracking_error_of(DriftWorld(compensation.OURS["combined"](), STEADY, seed=1).run(5.0))
    assert len(compensation.row("combined", figures, placed=True)) == len(compensation.HEAD)
