"""The time model: maps and their inverses, in integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph import ClockEstimate, ClockState, duration_of, frame_at, frames_in, time_of_frame
from phasegraph._core.clock import LATEST_NS

RATES = st.sampled_from([8000, 11025, 44100, 48000, 88200, 96000, 192000, 384000])
EPOCHS = st.integers(-(2**60), 2**62)
LOCAL = st.integers(0, 2**60)
HOUR_NS = 3_600_000_000_000
PPB = st.floats(-1e6, 1e6)


@given(st.integers(0, 2**52), RATES)
def test_a_frame_is_found_at_its_own_time(frame: int, rate: int) -> None:
    begins = time_of_frame(frame, rate)
    assert frame_at(begins, rate) == frame
    assert frame_at(begins - 1, rate) == frame - 1


@given(st.integers(0, 2**62), RATES)
def test_the_frame_of_a_time_has_begun_and_not_ended(now: int, rate: int) -> None:
    frame = frame_at(now, rate)
    assert time_of_frame(frame, rate) <= now < time_of_frame(frame + 1, rate)


@given(st.integers(0, 2**40), RATES)
def test_durations_are_counted_back(frames: int, rate: int) -> None:
    assert frames_in(duration_of(frames, rate), rate) == frames


@given(LOCAL, EPOCHS, PPB, st.integers(-24 * HOUR_NS, 24 * HOUR_NS))
@settings(max_examples=500)
def test_reference_and_local_are_inverse(local: int, reference: int, ppb: float, since: int) -> None:
    estimate = ClockEstimate(local_ns=local, reference_ns=reference, rate_ppb=ppb)
    assert estimate.reference_at(local) == reference
    assert estimate.local_at(reference) == local
    assert abs(estimate.local_at(estimate.reference_at(local + since)) - (local + since)) <= 1
    assert abs(estimate.reference_at(estimate.local_at(reference + since)) - (reference + since)) <= 1


@given(LOCAL, EPOCHS, PPB, st.lists(st.integers(-HOUR_NS, HOUR_NS), min_size=1, max_size=20))
def test_arrays_agree_with_scalars(local: int, reference: int, ppb: float, since: list[int]) -> None:
    estimate = ClockEstimate(local_ns=local, reference_ns=reference, rate_ppb=ppb)
    times = np.array(since, np.int64) + local
    assert estimate.references_at(times).tolist() == [estimate.reference_at(int(at)) for at in times]


@given(PPB, st.integers(0, HOUR_NS), st.integers(0, HOUR_NS))
def test_elapsed_never_runs_backwards(ppb: float, a: int, b: int) -> None:
    estimate = ClockEstimate(local_ns=0, reference_ns=0, rate_ppb=ppb)
    assert (estimate.elapsed(a) <= estimate.elapsed(b)) or a > b


@pytest.mark.parametrize("reference_ns", [2**62, 2**63 - 4 * 10**9, 2**63, 2**64, -(2**64)])
@pytest.mark.parametrize("rate_ppb", [0.0, 100_000.0])
def test_a_time_beyond_all_types_costs_no_more_than_itself(reference_ns: int, rate_ppb: float) -> None:
    estimate = ClockEstimate(local_ns=10**12, reference_ns=reference_ns, rate_ppb=rate_ppb)
    times = estimate.references_at(np.array([10**12, 10**12 + 10**10], np.int64))
    assert np.abs(times).max() <= LATEST_NS + 2 * 10**10
    assert frame_at(estimate.reference_at(10**12), 192_000) == reference_ns * 192_000 // 10**9


@pytest.mark.parametrize(
    ("before", "after"), [("acquiring", "locked"), ("locked", "locked"), ("holdover", "locked"), ("unlocked", "locked")]
)
def test_a_change_of_more_than_a_correction_is_a_jump_whatever_the_clock_counts(before: str, after: str) -> None:
    first = ClockEstimate(local_ns=0, reference_ns=0, state=ClockState(before))
    near = ClockEstimate(local_ns=10**9, reference_ns=10**9 + 90_000_000, state=ClockState(after))
    far = ClockEstimate(local_ns=10**9, reference_ns=10**9 + 110_000_000, state=ClockState(after))
    assert not near.jumped_since(first)
    assert far.jumped_since(first)
