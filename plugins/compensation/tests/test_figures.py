"""The figures that the strategies are held to: a card at +37.3 ppm that warms up by 3 ppm, PTP good to 2 us."""

from __future__ import annotations

import pytest

from phasegraph import DeviceRate
from phasegraph.simulation.drift_world import Stamps
from phasegraph.testing import Conditions, DriftWorld, TrackingError, tracking_error_of
from phasegraph_compensation.buffer_feedback import BufferFeedback, BufferFeedbackConfig
from phasegraph_compensation.combined import Combined
from phasegraph_compensation.feed_forward import FeedForward, FeedForwardConfig

RATE = 48_000
WARM = DeviceRate(36_300.0, 1_000.0)


def sound(figures: TrackingError) -> bool:
    return (figures.underruns, figures.resyncs) == (0, 0) and figures.slope_acquiring < 20.01


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.slow
def test_combined(seed: int) -> None:
    figures = tracking_error_of(DriftWorld(Combined(FeedForwardConfig(), RATE), seed=seed).run(600.0))
    assert sound(figures)
    assert figures.place_s == 0.0  # a frame at most, from the first that is heard on
    assert figures.rate_s < 10.0
    assert figures.wander < 0.11
    assert figures.wander_pp < 0.4
    assert figures.ratio < 0.15
    assert figures.slope < 0.2
    assert figures.ratio_most < 45.0
    assert figures.noise_db < -140.0


@pytest.mark.parametrize("stamps", ["alsa", "usb"])
@pytest.mark.slow
def test_combined_that_knows_its_card(stamps: Stamps) -> None:
    world = DriftWorld(Combined(FeedForwardConfig(), RATE), Conditions(stamps=stamps), seed=1, known=WARM)
    figures = tracking_error_of(world.run(60.0))
    assert sound(figures)
    assert figures.place_s == 0.0
    assert figures.rate_s < 10.0
    assert figures.slope_acquiring < 10.0
    assert figures.ratio_most < 6.0


@pytest.mark.parametrize("stamps", ["alsa", "usb"])
@pytest.mark.slow
def test_buffer_feedback(stamps: Stamps) -> None:
    world = DriftWorld(BufferFeedback(BufferFeedbackConfig(), RATE), Conditions(stamps=stamps), seed=1)
    figures = tracking_error_of(world.run(200.0))
    assert sound(figures)
    assert figures.phase_s < 5.0
    assert figures.rate_s < 10.5
    assert figures.wander < 0.15
    assert figures.wander_pp < 0.4
    assert figures.ratio < 0.1
    assert figures.slope < 0.2
    assert figures.noise_db < -140.0


@pytest.mark.slow
def test_feed_forward() -> None:
    figures = tracking_error_of(DriftWorld(FeedForward(FeedForwardConfig(), RATE), seed=1).run(200.0))
    assert sound(figures)
    assert abs(figures.mean) < 6.0
    assert figures.rate_s < 5.0
    assert figures.wander < 0.4
    assert figures.ratio < 0.2
    assert figures.slope < 0.09
    assert figures.noise_db < -143.0
