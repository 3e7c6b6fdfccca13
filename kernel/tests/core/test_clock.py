"""The time model: maps and their inverses, in integers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph import ClockEstimate, duration_of, frame_at, frames_in, time_of_frame

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
