"""The rate of a sender's clock, and what is said of it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from phasegraph import ClockState
from phasegraph_aes67.receive.sender_rate import WINDOW_NS, WINDOWS, SenderRate

BASE = 48 * 1_790_000_000_000
MS = 1_000_000


def drifting(stage: Any, ppm: float, seconds: float, jitter_ns: int = 200_000, first: int = 0) -> None:
    """Packets of 1 ms of a sender that runs this fast."""
    random = np.random.default_rng(1)
    for number in range(first, first + int(seconds * 1000)):
        drift_ns = -int(number * ppm / (1 + ppm * 1e-6))  # of the time of the graph's clock
        stage.come([BASE + 48 * number], late_ns=MS + drift_ns + int(random.exponential(jitter_ns)))


@pytest.mark.parametrize(("ppm", "jitter_ns"), [(0, 0), (-1000, 0), (0.5, 50_000), (100, 50_000), (-3, 2_000_000)])
@pytest.mark.slow
def test_the_rate_is_right_within_its_error(make: Any, ppm: float, jitter_ns: int) -> None:
    stage = make(link_offset_ns=50 * MS)
    drifting(stage, ppm, 10, jitter_ns)
    figures = stage.metrics()
    error = figures["sender_rate_ppb"] - ppm * 1000
    assert abs(error) <= 4 * figures["sender_rate_sigma_ppb"] + 1
    assert figures["sender_rate_sigma_ppb"] <= 2 + jitter_ns / 200


def test_too_few_windows_have_no_rate() -> None:
    rate = SenderRate()
    for number in range(6):
        rate.add(number * WINDOW_NS, 1000)
        assert rate.windows().rate is None
    rate.add(6 * WINDOW_NS, 1000)
    estimate = rate.windows().rate
    assert estimate is not None
    assert estimate.ppb == estimate.sigma_ppb == 0
    rate.restart()
    assert rate.windows().windows == 0


def test_a_minute_is_remembered() -> None:
    rate = SenderRate()
    for number in range(3 * WINDOWS):
        rate.add(number * WINDOW_NS, number)
    assert rate.windows().windows == WINDOWS


def test_windows_that_left_count_no_more() -> None:
    random, rate, later = np.random.default_rng(2), SenderRate(), SenderRate()
    began_ns, slow = 10**16, 2 * WINDOWS
    for number in range(slow + WINDOWS + 1):
        arrival_ns = began_ns + number * WINDOW_NS
        lateness_ns = number * 25_000 if number < slow else slow * 25_000 - number * 250 + int(random.integers(50_000))
        rate.add(arrival_ns, lateness_ns)
        if number >= slow:
            later.add(arrival_ns, lateness_ns)
    estimate = rate.windows().rate
    assert estimate is not None
    assert estimate == later.windows().rate, "the sums are exact"
    assert estimate.ppb == pytest.approx(1000, abs=4 * estimate.sigma_ppb)
    assert 1 < estimate.sigma_ppb < 300


@pytest.mark.slow
def test_a_jump_of_the_clock_begins_it_again(make: Any) -> None:
    stage = make(relative=True, mediaclk_offset=None)
    drifting(stage, 0, 3)
    assert "sender_rate_ppb" in stage.metrics()
    now = stage.clock.now
    stage.clock.now = msgspec.structs.replace(now, reference_ns=now.reference_ns + 10**9, discontinuities=1)
    drifting(stage, 0, 1, first=3000)
    assert "sender_rate_ppb" not in stage.metrics()


@pytest.mark.parametrize(
    ("ppm", "state", "reason"),
    [
        (
            998,
            ClockState.LOCKED,
            "the sender's clock runs 998 ppm fast of this graph's clock: share a PTP clock, or set",
        ),
        pytest.param(
            -100,
            ClockState.LOCKED,
            "the sender's clock runs 100 ppm slow of this graph's clock: share a PTP clock, or set",
            marks=pytest.mark.slow,
        ),
        pytest.param(5, ClockState.LOCKED, "", marks=pytest.mark.slow),
        (998, ClockState.HOLDOVER, ""),
    ],
)
def test_a_drift_is_named(make: Any, ppm: float, state: ClockState, reason: str) -> None:
    stage = make(link_offset_ns=50 * MS)
    drifting(stage, ppm, 3, 20_000)
    stage.metrics()
    stage.clock.now = msgspec.structs.replace(stage.clock.now, state=state)
    windows = stage.receiver.figures.latest.legs[0].rate_windows
    said = stage.receiver.drift_reason(windows)
    assert said.startswith(reason) if reason else said == ""


@pytest.mark.slow
def test_packets_that_drift_out_of_the_window_are_not_a_matter_of_the_link_offset(make: Any) -> None:
    stage = make(link_offset_ns=3 * MS)
    drifting(stage, -1000, 4, 20_000)
    assert [name for name, _ in stage.events] == ["timestamps_outside_window"]
    ((_, event),) = stage.events
    assert "runs 1000 ppm slow" in event["reason"]


@pytest.mark.parametrize(
    "jump_packets", [40_000, *(pytest.param(it, marks=pytest.mark.slow) for it in (100, 3_500, 19_965_000))]
)
def test_a_sender_whose_timestamps_jump_has_the_rate_after_the_jump(make: Any, jump_packets: int) -> None:
    # A sender that starts before its clock has locked: sequence numbers follow from its media time, and jump with it.
    stage = make(link_offset_ns=50 * MS)
    for number in range(2000):
        stage.come([BASE + 48 * (number + jump_packets)], late_ns=MS - jump_packets * MS)
    drifting(stage, 0, 2, first=2000)
    figures = stage.metrics()
    assert abs(figures["sender_rate_ppb"]) <= 10_000
