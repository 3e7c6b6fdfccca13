"""The strategies in a simulated crossing: what each incident must, and must not, do to the position and the pitch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from phasegraph import ClockState, Compensator, Correction, DeviceRate, Observation
from phasegraph.testing import Conditions, DriftWorld
from phasegraph_compensation.buffer_feedback import BufferFeedback, BufferFeedbackConfig
from phasegraph_compensation.combined import Combined
from phasegraph_compensation.feed_forward import FeedForward, FeedForwardConfig

RATE = 48_000
MAKE: dict[str, Callable[[], Compensator]] = {
    "combined": lambda: Combined(FeedForwardConfig(), RATE),
    "ptp-feed-forward": lambda: FeedForward(FeedForwardConfig(), RATE),
    "buffer-feedback": lambda: BufferFeedback(BufferFeedbackConfig(), RATE),
}
AT = 20.0
"""When something happens, in seconds."""
BEFORE = 19.0


class Played:
    """Twenty-four seconds of a crossing, or as long as is asked for."""

    def __init__(self, name: str, seconds: float = 24.0, *, known: DeviceRate | None = None, **conditions: Any) -> None:
        self.world = DriftWorld(MAKE[name](), Conditions(**conditions), seed=1, known=known)
        self.trace = trace = self.world.run(seconds)
        self.seconds = np.arange(len(trace.error)) * trace.block_s
        self.off_ppm = (trace.ratio - trace.ideal) * 1e6

    def error(self, begin: float, end: float = np.inf) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Errors of what is heard, about the mean of the second before the incident."""
        trace = self.trace
        usual = trace.error[(self.seconds > BEFORE - 1) & (self.seconds < BEFORE)].mean()
        return trace.error[(self.seconds >= begin) & (self.seconds < end) & ~trace.silent] - usual

    def unmoved(self, frames: float = 1.0, ppm: float = 1.0) -> None:
        """From before the incident on nothing is heard of it."""
        later = self.seconds > BEFORE
        assert np.abs(self.error(BEFORE)).max() < frames
        assert np.abs(self.off_ppm[later]).max() < ppm
        assert (self.trace.resyncs, self.trace.underruns) == (0, 0)
        assert not self.trace.silent[later].any()
        assert self.trace.locked[later].all()


_SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("ptp-feed-forward", "buffer-feedback")]
all_three = pytest.mark.parametrize("name", ["combined", *_SLOW])
with_feedback = pytest.mark.parametrize("name", ["combined", _SLOW[1]])
by_clock = pytest.mark.parametrize("name", ["combined", _SLOW[0]])


@all_three
@pytest.mark.parametrize("card_ppm", [-100.0, *(pytest.param(it, marks=pytest.mark.slow) for it in (0.0, 100.0))])
def test_a_card_that_is_fast_needs_fewer_frames(name: str, card_ppm: float) -> None:
    played = Played(name, 15.0, card_ppm=card_ppm, warm_ppm=0.0)
    assert (played.trace.ratio[-1] - 1.0) * 1e6 == pytest.approx(-card_ppm, abs=1.0)
    heard = played.trace.error[~played.trace.silent]
    assert np.abs(heard).max() < (1.0 if name == "combined" else 4.0)
    assert played.trace.resyncs == 0


class Flipped:
    """A strategy whose sign is wrong."""

    def __init__(self, inner: Compensator) -> None:
        self._inner = inner

    def observe(self, observation: Observation) -> None:
        self._inner.observe(observation)

    def decide(self, local_ns: int) -> Correction:
        was = self._inner.decide(local_ns)
        return Correction(ratio_ppb=-was.ratio_ppb, step_frames=was.step_frames, silent=was.silent, reason=was.reason)


@all_three
def test_a_flipped_sign_is_found(name: str) -> None:
    trace = DriftWorld(Flipped(MAKE[name]()), seed=1).run(20.0)
    assert np.abs(trace.error[~trace.silent]).max() > 30.0


@all_three
def test_it_begins_in_silence_at_its_place_and_never_jumps(name: str) -> None:
    trace = DriftWorld(MAKE[name](), seed=1).run(20.0)
    begin = int(np.argmin(trace.silent))
    assert 0.1 < begin * trace.block_s < 1.0
    assert not trace.silent[begin:].any()
    assert abs(trace.error[begin]) < 1.0
    slopes = np.abs(np.diff(trace.ratio[begin:])) * 1e6 / trace.block_s
    assert slopes.max() < 20.0 * 1.001
    assert trace.locked[-1]


@all_three
@pytest.mark.parametrize("off_s", [5e-3, *(pytest.param(it, marks=pytest.mark.slow) for it in (-5e-3, 1.0))])
def test_one_wrong_stamp_is_not_heard(name: str, off_s: float) -> None:
    Played(name, outliers={AT: off_s}).unmoved()


@all_three
def test_frames_that_an_xrun_lost_and_the_sink_counted_leave_nothing_to_correct(name: str) -> None:
    Played(name, lost={AT: 480, AT + 1.0: 96}).unmoved()


@all_three
@pytest.mark.parametrize("frames", [-4800, *(pytest.param(frames, marks=pytest.mark.slow) for frames in (480, 1))])
def test_a_step_of_the_grandmaster_renumbers_and_is_not_heard(name: str, frames: int) -> None:
    Played(name, steps={AT: frames}).unmoved(1.5 if name == "buffer-feedback" else 1.0)


@with_feedback
@pytest.mark.slow
def test_a_short_stall_is_caught_up_with_inaudibly(name: str) -> None:
    # 1 ms without a frame, uncounted: 48 frames behind, brought back at a pitch that is a fifth of a cent off.
    played = Played(name, 60.0, pauses={AT: 1e-3})
    assert played.error(AT, AT + 1.0).max() == pytest.approx(48.0, abs=3.0)
    assert np.abs(played.error(AT + 35.0)).max() < 1.0
    assert np.abs(played.off_ppm[played.seconds > BEFORE]).max() < 120.0
    assert (played.trace.resyncs, played.trace.underruns) == (0, 0)
    assert played.trace.locked[-1]


def test_feed_forward_stays_behind_after_a_short_stall() -> None:
    played = Played("ptp-feed-forward", pauses={AT: 1e-3})
    assert played.error(AT + 1.0) == pytest.approx(48.0, abs=1.0)
    assert np.abs(played.off_ppm[played.seconds > BEFORE]).max() < 1.0


@all_three
@pytest.mark.parametrize("stalled_s", [3.0, *(pytest.param(it, marks=pytest.mark.slow) for it in (5.2e-3, 20.0))])
def test_a_card_that_stalls_or_stops_costs_one_jump_and_the_rate_stays(name: str, stalled_s: float) -> None:
    played = Played(name, pauses={AT: stalled_s})
    assert played.trace.resyncs == 1
    assert np.abs(played.error(AT + 0.1)).max() < 1.5
    assert np.abs(played.off_ppm[played.seconds > BEFORE]).max() < 2.0
    assert played.trace.locked[-1]


@with_feedback
def test_after_a_stall_it_does_not_claim_to_be_locked(name: str) -> None:
    # However long it was before.
    played = Played(name, 26.0, pauses={AT: 4e-3})
    assert not played.trace.locked[(played.seconds > AT + 4.0) & (played.seconds < AT + 5.0)].any()


@pytest.mark.parametrize(("stamps", "by_ppm"), [("usb", -15.0), ("usb", 10.0), ("alsa", 10.0), ("alsa", -15.0)])
@pytest.mark.parametrize("name", list(MAKE))
@pytest.mark.slow
def test_a_card_whose_rate_changes_within_two_seconds_stays_in_its_place(name: str, stamps: str, by_ppm: float) -> None:
    # Before anything noticed that, it was 100 frames off for minutes.
    changes = AT + 25.0  # not before it is known how the clock wanders
    played = Played(name, 80.0, stamps=stamps, rate_steps={changes: by_ppm})
    assert np.abs(played.error(changes)).max() < 5.0
    if name == "combined":
        assert np.abs(played.error(changes + 14.0)).max() < 1.5
    if name != "buffer-feedback":
        assert np.abs(played.off_ppm[played.seconds > changes + 20.0]).max() < 1.0
    slopes = np.abs(np.diff(played.trace.ratio[played.seconds > AT])) * 1e6 / played.trace.block_s
    assert slopes.max() < 20.0 * 1.001
    assert (played.trace.resyncs, played.trace.underruns) == (0, 0)
    assert played.trace.locked[-1]


@with_feedback
@pytest.mark.slow
def test_a_stall_of_5_ms_is_brought_back(name: str) -> None:
    # Right at the limit of resync-after: by a jump or by the pitch, but to within a frame and without an underrun.
    played = Played(name, 95.0, pauses={AT: 5e-3})
    assert np.abs(played.error(AT + 70.0)).max() < 1.0
    assert played.trace.resyncs <= 1
    assert played.trace.underruns == 0


@all_three
@pytest.mark.parametrize("frames", [5 * RATE, pytest.param(20 * RATE, marks=pytest.mark.slow)])
def test_a_card_that_comes_back_and_has_counted_begins_again_at_its_place(name: str, frames: int) -> None:
    played = Played(name, lost={AT: frames})
    assert np.abs(played.error(BEFORE)).max() < 1.5
    assert np.abs(played.off_ppm[played.seconds > BEFORE]).max() < 2.0
    assert played.trace.resyncs == 0


@all_three
def test_in_holdover_it_goes_on(name: str) -> None:
    Played(name, states={AT: ClockState.HOLDOVER}).unmoved()


@all_three
def test_without_its_clock_it_goes_on_at_its_last_rate(name: str) -> None:
    played = Played(name, 35.0, states={AT: ClockState.UNLOCKED, AT + 10.0: ClockState.LOCKED})
    played.unmoved()


@by_clock
def test_it_waits_for_its_clock_to_lock_but_not_for_ever(name: str) -> None:
    late = Played(name, 15.0, states={0.0: ClockState.UNLOCKED, 5.0: ClockState.LOCKED}).trace
    assert np.argmin(late.silent) * late.block_s == pytest.approx(5.0, abs=0.5)
    never = Played(name, 15.0, states={0.0: ClockState.UNLOCKED}).trace
    assert np.argmin(never.silent) * never.block_s == pytest.approx(10.0, abs=0.1)


@all_three
def test_what_an_earlier_run_has_learned_is_the_pitch_from_the_first_frame_on(name: str) -> None:
    played = Played(name, 15.0, known=DeviceRate(36_300.0, 1_000.0))
    heard = ~played.trace.silent
    assert np.abs(played.off_ppm[heard]).max() < (5.0 if name != "buffer-feedback" else 12.0)
    assert np.abs(played.trace.error[heard]).max() < (1.0 if name == "combined" else 2.0)
    learned = played.trace.corrections[-1].device
    assert learned is not None
    assert learned.rate_ppb == pytest.approx(37_300.0 + 400.0, abs=1_000.0)


@with_feedback
def test_what_was_learned_of_another_card_is_forgotten_soon(name: str) -> None:
    played = Played(name, 20.0, known=DeviceRate(-20_000.0, 500.0))
    assert np.abs(played.off_ppm[played.seconds > 12.0]).max() < 1.0
    assert played.trace.resyncs == 0


@all_three
@pytest.mark.parametrize(
    "conditions",
    [
        {"loss": 0.01},
        {"stamps": "usb"},
        *(pytest.param(it, marks=pytest.mark.slow) for it in ({"local_ppm": 50.0}, {"block": 48})),
    ],
    ids=str,
)
def test_what_it_must_bear(name: str, conditions: dict[str, Any]) -> None:
    Played(name, **conditions).unmoved(1.5)


@pytest.mark.slow
def test_without_packets_buffer_feedback_holds_its_ratio_and_then_finds_its_level() -> None:
    played = Played("buffer-feedback")
    stream, before = played.world.tap.stream, played.trace.ratio[-1]
    arrive = stream.mark_written
    stream.mark_written = lambda *_: None  # type: ignore[method-assign]
    silence = played.world.run(5.0)
    assert silence.corrections[-1].reason.startswith("no packets")
    assert np.abs(silence.ratio - before).max() < 0.2e-6
    stream.mark_written = arrive  # type: ignore[method-assign]
    after = played.world.run(10.0)
    assert after.resyncs == 0
    assert np.abs(after.error - played.trace.error[-1]).max() < 1.0


@pytest.mark.slow
def test_buffer_feedback_holds_the_latency_that_it_is_told() -> None:
    def level(latency_ms: int) -> float:
        compensator = BufferFeedback(BufferFeedbackConfig(latency=latency_ms * 1_000_000), RATE)
        return float(DriftWorld(compensator, Conditions(link_offset_s=0.04), seed=1).run(10.0).error[-1])

    assert level(35) - level(25) == pytest.approx(480.0, abs=1.0)


@by_clock
def test_after_lost_frames_the_position_returns_to_its_place_at_once(name: str) -> None:
    for counted in (460, 490):  # of 480 that were lost: the number is an estimate
        uncounted = {20.0: (480 - counted) / RATE}
        conditions = Conditions(
            card_ppm=30.0, warm_ppm=0.0, stamps="exact", clock_noise_s=1e-7, lost={20.0: counted}, pauses=uncounted
        )
        world = DriftWorld(MAKE[name](), conditions, seed=1)
        before = world.run(20.0).corrections[-1]
        assert before.locked
        after = world.run(0.2)
        assert abs(after.error[-1]) < 1.0
        assert sum(correction.step_frames for correction in after.corrections) == pytest.approx(480 - counted, abs=1.5)
        assert max(abs(correction.ratio_ppb - before.ratio_ppb) for correction in after.corrections) < 1000.0
