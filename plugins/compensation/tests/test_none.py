"""The compensator that does not compensate."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph import BufferLevel, ClockEstimate, DeviceTime, NodeError, ReadPosition
from phasegraph_compensation.none import NoCompensation, NoneConfig, make


def position(error_frames: float, local_ns: int = 0) -> ReadPosition:
    return ReadPosition(local_ns, 0, error_frames)


def test_it_refuses_and_says_what_to_do() -> None:
    with pytest.raises(NodeError) as caught:
        make(NoneConfig(), 48_000)
    assert caught.value.option == "allow-slips"
    for word in ("buffer-feedback", "ptp-feed-forward", "combined", "allow-slips"):
        assert word in caught.value.hint


def test_options_as_a_graph_writes_them() -> None:
    config = msgspec.convert({"allow-slips": True, "slip-after": 48}, NoneConfig)
    assert config == NoneConfig(allow_slips=True, slip_after=48)
    for wrong in ({"slip-after": 0}, {"slip-after": 1.5}, {"slips": True}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, NoneConfig)


@pytest.mark.parametrize(
    ("error", "step"), [(0.0, 0), (24.0, 0), (-24.0, 0), (24.4, 24), (25.6, 26), (-24.6, -25), (48_000.2, 48_000)]
)
def test_it_steps_by_whole_frames_beyond_the_limit(error: float, step: int) -> None:
    compensator = make(NoneConfig(allow_slips=True), 48_000)
    compensator.observe(position(error))
    correction = compensator.decide(1)
    assert (correction.ratio_ppb, correction.step_frames, correction.locked) == (0.0, step, step == 0)
    assert ("slipped" in correction.reason) == (step != 0)


def test_the_reason_says_which_way() -> None:
    compensator = NoCompensation(24)
    compensator.observe(position(30.0))
    assert compensator.decide(0).reason == "slipped by +30 frames: the reader was 30.00 frames behind its target"
    compensator.observe(position(-30.0))
    assert compensator.decide(0).reason == "slipped by -30 frames: the reader was 30.00 frames ahead of its target"


def test_one_observation_brings_one_step() -> None:
    compensator = NoCompensation(24)
    compensator.observe(position(100.0))
    assert [compensator.decide(n).step_frames for n in range(3)] == [100.0, 0.0, 0.0]


def test_it_waits_for_a_position_and_ignores_the_rest() -> None:
    compensator = NoCompensation(24)
    compensator.observe(ClockEstimate(local_ns=0, reference_ns=0, rate_ppb=5e4))
    compensator.observe(DeviceTime(0, 10**6))
    compensator.observe(BufferLevel(0, 10**6))
    correction = compensator.decide(0)
    assert (correction.step_frames, correction.locked) == (0.0, False)


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_moves_nothing(nonsense: float) -> None:
    compensator = NoCompensation(24)
    compensator.observe(position(nonsense))
    correction = compensator.decide(0)
    assert (correction.step_frames, correction.locked) == (0.0, False)


@given(ppm=st.floats(-500, 500), limit=st.integers(1, 100), start=st.floats(-1e6, 1e6), seed=st.integers(0, 99))
def test_it_bounds_the_error_and_replays(ppm: float, limit: int, start: float, seed: int) -> None:
    def play() -> list[float]:
        compensator, error, errors = NoCompensation(limit), start, []
        for block in range(300):
            compensator.observe(position(error, block * 10**6))
            error -= compensator.decide(block * 10**6).step_frames
            errors.append(error)
            error += 4800 * ppm * 1e-6 + (seed % 7) * 0.01
        return errors

    errors = play()
    assert max(map(abs, errors)) <= limit
    assert errors == play()
