"""RTP and local time: wraps, stops, new anchors, new clocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph import ClockEstimate, ClockState
from phasegraph_airplay_timing.anchors import Anchor, AnchorTimeline
from phasegraph_airplay_timing.wire.control_packets import NtpTimeAnnounce, PtpTimeAnnounce
from phasegraph_airplay_timing.wire.session_plists import RateAnchor

S = 10**9
FS = 44_100


def estimate(offset_ns: int, clock: str = "A", rate_ppb: float = 0.0, jumps: int = 0) -> ClockEstimate:
    return ClockEstimate(
        local_ns=0,
        reference_ns=offset_ns,
        rate_ppb=rate_ppb,
        state=ClockState.LOCKED,
        grandmaster=clock,
        discontinuities=jumps,
    )


def timeline(offset_ns: int = 100 * S, rate_ppb: float = 0.0) -> AnchorTimeline:
    made = AnchorTimeline(FS)
    made.clock(estimate(offset_ns, rate_ppb=rate_ppb), 0)
    made.set(Anchor(rtp=2**32 - FS, reference_ns=offset_ns + S, clock="A"))
    return made


def test_frames_follow_the_anchor_across_the_wrap() -> None:
    made = timeline()
    assert made.rtp_at(S) == 2**32 - FS
    assert made.rtp_at(2 * S) == 0
    assert made.rtp_at(3 * S) == FS
    assert made.local_of(2**32 - FS, S) == S
    assert made.local_of(0, S) == 2 * S
    assert made.local_of(FS, 3 * S) == 3 * S
    assert made.local_of(2**32 - 3 * FS, S) == -S  # before the anchor


def test_the_nearest_of_all_times_of_a_timestamp() -> None:
    made = timeline()
    lap_ns = (2**32 * S) // FS
    for laps in (0, 1, 2, 7):
        near = laps * lap_ns
        found = made.local_of(0, near)
        assert found is not None
        assert abs(found - (2 * S + near)) < 50_000  # a frame, for a lap is no whole number of nanoseconds
        assert made.rtp_at(found) == 0


@given(
    st.integers(0, 2**32 - 1),
    st.integers(-(10**6) * S, 10**6 * S),
    st.floats(-200_000, 200_000),
    st.sampled_from([8_000, 44_100, 48_000, 192_000]),
    st.integers(0, 3 * 86_400 * S),
)
def test_there_and_back(rtp: int, offset_ns: int, rate_ppb: float, rate: int, local_ns: int) -> None:
    made = AnchorTimeline(rate)
    made.clock(estimate(offset_ns, rate_ppb=rate_ppb), 0)
    made.set(Anchor(rtp=rtp, reference_ns=offset_ns, clock="A"))
    frame = made.rtp_at(local_ns)
    assert frame is not None
    found = made.local_of(frame, local_ns)
    assert found is not None
    assert -2 <= local_ns - found <= S // rate + 2
    for away in (-(S), S):
        assert made.local_of(frame, local_ns + away) == pytest.approx(found, abs=2)


def test_day_long_play_from_one_anchor() -> None:
    made = timeline()
    frames = 0
    before = made.rtp_at(S)
    assert before is not None
    for second in range(2, 86_402, 60):
        now = made.rtp_at(second * S)
        assert now is not None
        frames += (now - before) % 2**32
        before = now
        found = made.local_of(now, second * S)
        assert found is not None
        assert abs(found - second * S) <= S // FS + 1
    assert frames == (86_342 - 1) * FS


def test_a_stopped_clock_has_no_times() -> None:
    made = timeline()
    made.pause()
    assert (made.rtp_at(S), made.local_of(0, S)) == (None, None)
    made.set(Anchor(rtp=7, reference_ns=200 * S, clock="A"))
    assert made.rtp_at(100 * S) == 7
    made.clear()
    assert made.rtp_at(100 * S) is None
    assert AnchorTimeline(FS).rtp_at(0) is None


def test_a_new_anchor_counts_at_once() -> None:
    made = timeline()
    made.set(Anchor(rtp=500, reference_ns=110 * S, clock="A"))
    assert made.rtp_at(10 * S) == 500


def test_a_new_clock_changes_nothing_that_is_heard() -> None:
    made = timeline(rate_ppb=20_000.0)
    local = 50 * S
    before = made.rtp_at(local)
    made.clock(estimate(9_999 * S + 123, "B", rate_ppb=-7_000.0, jumps=1), local)
    assert made.rebased == 1
    assert made.anchor is not None
    assert made.anchor.clock == "B"
    after = made.rtp_at(local)
    assert before is not None
    assert after is not None
    assert abs(after - before) <= 1
    a_second_later = made.rtp_at(local + S)
    assert a_second_later is not None
    assert abs(a_second_later - before - FS) <= 2


def test_a_step_of_the_same_clock_changes_nothing_either() -> None:
    made = timeline()
    before = made.rtp_at(50 * S)
    made.clock(estimate(800 * S, jumps=1), 50 * S)
    assert made.rtp_at(50 * S) == before


def test_an_anchor_of_a_clock_that_is_not_followed_waits_for_it() -> None:
    made = timeline()
    made.set(Anchor(rtp=1_000, reference_ns=5_000 * S, clock="B"))
    assert made.rtp_at(2 * S) == 0  # still the old one
    made.clock(estimate(4_990 * S, "B", jumps=1), 5 * S)
    assert made.rtp_at(10 * S) == 1_000


def test_an_unlocked_clock_is_no_clock() -> None:
    made = timeline()
    made.clock(ClockEstimate(local_ns=0, reference_ns=0), 5 * S)
    assert made.rtp_at(2 * S) == 0


def test_anchors_of_messages() -> None:
    name = "F8-42-88-88-8F-4F-00-08"
    # Receivers add 11035 frames to the latency of a 0xD7, and 11025 to that of a 0xD4 with 7 in its length field.
    told = PtpTimeAnnounce(rtp=5, time_ns=7 * S, rtp_next=9, clock=0xF842_8888_8F4F_0008)
    assert Anchor.from_time_announce(told) == Anchor(rtp=2**32 - 11_030, reference_ns=7 * S, clock=name)
    old = NtpTimeAnnounce(rtp=20_000, ntp=7 << 32, rtp_next=9)
    made = Anchor.from_time_announce(old, "10.0.0.1:6002")
    assert made == Anchor(rtp=8_975, reference_ns=7 * S, clock="10.0.0.1:6002")
    older = NtpTimeAnnounce(rtp=20_000, ntp=7 << 32, rtp_next=9, words=4)
    assert Anchor.from_time_announce(older).rtp == 20_000
    asked = RateAnchor(playing=False, rtp=5, time_ns=7 * S, clock=0xF842_8888_8F4F_0008)
    assert Anchor.from_rate_anchor(asked) == Anchor(rtp=5, reference_ns=7 * S, clock=name, playing=False)
    assert Anchor.from_rate_anchor(RateAnchor(playing=False)) is None
