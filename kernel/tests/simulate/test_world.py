"""The parts of a simulated world do what their options say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph import ClockState
from phasegraph.simulation.card_callbacks import Callbacks
from phasegraph.simulation.card_time import CardTime
from phasegraph.simulation.grandmaster import Grandmaster
from phasegraph.simulation.nodes.network_source import PacketSchedule
from phasegraph.simulation.nodes.simulated_clock import SimulatedClock
from phasegraph.simulation.packet_arrivals import PacketArrivals
from phasegraph.simulation.scenario_options import (
    CardOptions,
    ChangeOptions,
    ClockOptions,
    GrandmasterOptions,
    SpanOptions,
)
from phasegraph.simulation.tone_signal import thd_n_db
from phasegraph.simulation.truth import ClockTruth
from phasegraph.testing import Impairment, Oscillator, SimLocalClock, sine_frames

S = 10**9
MS = 10**6
RATE = 48_000


def grandmaster(*steps: tuple[float, int], silences: tuple[tuple[float, float], ...] = ()) -> Grandmaster:
    """A grandmaster with steps, as pairs of a time in seconds and nanoseconds."""
    return Grandmaster(
        GrandmasterOptions(
            changes=tuple(ChangeOptions(at=round(at * S), step=step, silence=0) for at, step in steps),
            silences=tuple(SpanOptions(at=round(at * S), lasts=round(lasts * S)) for at, lasts in silences),
        )
    )


class TestGrandmaster:
    @given(st.lists(st.tuples(st.floats(1, 1000), st.integers(-10 * S, 10 * S)), max_size=4), st.integers(0, 2000 * S))
    def test_what_it_shows_was_shown_then(self, steps, true_ns):
        it = grandmaster(*steps)
        shown = it.at(true_ns)
        assert it.at(it.true_at(shown)) == shown
        assert it.true_at(shown) >= true_ns  # the last time, where it was shown twice

    def test_pieces_cover_a_stretch_with_its_offsets(self):
        it = grandmaster((1, 5), (2, -7))
        pieces = list(it.pieces(0, 3 * S))
        assert [(begin, end) for begin, end, _ in pieces] == [(0, S), (S, 2 * S), (2 * S, 3 * S)]
        assert [it.at(begin) - begin for begin, _, _ in pieces] == [offset for _, _, offset in pieces]
        assert len({it.identity(begin) for begin, _, _ in pieces}) == 3


class TestSender:
    @pytest.mark.parametrize("size", [6, 48, 192])
    @pytest.mark.parametrize("rate", [44_100, 48_000])
    def test_packets_follow_each_other_and_leave_when_full(self, rate, size):
        it = grandmaster()
        sender = PacketSchedule(it, rate, size)
        stretches = [sender.packets_between(at * S, at * S + S) for at in range(3)]
        frames, sent = (np.concatenate(parts) for parts in zip(*stretches, strict=True))
        assert set(np.diff(frames).tolist()) == {size}
        assert abs(len(frames) - 3 * rate / size) <= 1
        for first, at in zip(frames[::97].tolist(), sent[::97].tolist(), strict=True):
            assert abs(it.at(at) * rate - (first + size) * S) <= 2 * rate  # two nanoseconds

    @pytest.mark.parametrize("step", [0, 20_000, -20_000])
    def test_by_a_small_step_no_packet_is_left_out(self, step):
        frames, sent = PacketSchedule(grandmaster((0.5, step)), RATE, 48).packets_between(0, S)
        assert set(np.diff(frames).tolist()) == {48}
        assert (np.diff(sent) > 0).all()

    @pytest.mark.parametrize("step", [3 * S, -3 * S])
    def test_by_a_large_step_numbers_jump(self, step):
        frames, _ = PacketSchedule(grandmaster((0.5, step)), RATE, 48).packets_between(0, S)
        (at,) = np.flatnonzero(np.diff(frames) != 48)
        assert np.diff(frames)[at] == 48 + step * 48 // MS


class TestArrivals:
    sent = np.arange(200_000, dtype=np.int64) * MS
    frames = np.arange(200_000, dtype=np.int64) * 48

    def carry(self, seed=0, pieces=7, **how):
        arrivals = PacketArrivals(Impairment(**how), np.random.default_rng(seed))
        cuts = np.linspace(0, len(self.sent), pieces + 1).astype(int)
        spans = itertools.pairwise(cuts.tolist())
        return np.concatenate([arrivals.carry(self.frames[a:b], self.sent[a:b], MS) for a, b in spans])

    def test_without_faults_all_come_after_the_delay(self):
        packets = self.carry(delay_ns=70_000)
        assert (packets["frame"] == self.frames).all()
        assert (packets["arrival"] == self.sent + 70_000).all()
        assert (packets["late"] == 70_000 + MS).all()
        assert not packets["lost"].any()

    @pytest.mark.parametrize("burst", [1.0, 4.0])
    def test_losses_are_as_many_and_as_long_as_said(self, burst):
        packets = self.carry(loss=0.02, loss_burst=burst)
        lost = packets["lost"]
        assert lost.sum() + len(packets) == pytest.approx(len(self.sent), abs=burst * 8)
        assert lost.sum() / len(self.sent) == pytest.approx(0.02, rel=0.1)
        assert lost[lost > 0].mean() == pytest.approx(max(burst, 1 / 0.98), rel=0.1)

    def test_all_may_be_lost(self):
        assert len(self.carry(loss=1.0)) == 0

    @pytest.mark.parametrize("jitter", ["uniform", "exponential"])
    def test_order_is_kept_but_where_it_is_said_not_to_be(self, jitter):
        packets = self.carry(jitter_ns=3 * MS, jitter=jitter)
        assert (np.diff(packets["frame"]) == 48).all()
        packets = self.carry(jitter_ns=3 * MS, jitter=jitter, swap=0.01)
        assert (np.diff(packets["arrival"]) >= 0).all()
        assert packets["overtaken"].sum() == pytest.approx(2000, rel=0.15)
        assert np.count_nonzero(np.diff(packets["frame"]) < 0) == pytest.approx(2000, rel=0.15)
        assert sorted(packets["frame"].tolist()) == self.frames.tolist()

    def test_bursts_come_together(self):
        packets = self.carry(burst_ns=10 * MS, delay_ns=100)
        assert set((packets["arrival"] % (10 * MS)).tolist()) == {0}

    def test_the_seed_says_all(self):
        how = {"jitter_ns": MS, "loss": 0.01, "duplicate": 0.01, "swap": 0.01}
        assert (self.carry(3, **how) == self.carry(3, **how)).all()
        assert len(self.carry(3, **how)) != len(self.carry(4, **how))


class TestFollower:
    def follow(self, base, options, seconds, *, monkeypatch, ppm=20.0, path_ns=100_000, seed=1):
        """(true time, estimate, error) for each tick."""
        now = 0
        monkeypatch.setattr("phasegraph.simulation.nodes.simulated_clock.true_now_ns", lambda: now)
        local = SimLocalClock(ppm=ppm)
        follower = SimulatedClock(base, options, local, path_ns=path_ns, random=np.random.default_rng(seed))
        seen = []
        for now in range(0, seconds * S, options.interval):  # noqa: B007
            local_ns = local.at(now)
            follower.publish(local_ns)
            estimate = follower.estimate()
            seen.append((now, estimate, estimate.reference_at(local_ns) - base.at(now)))
        return seen

    @pytest.mark.slow
    def test_its_error_is_as_large_as_said_and_within_its_bound(self, monkeypatch):
        seen = self.follow(grandmaster(), ClockOptions(noise=2000), 4000, monkeypatch=monkeypatch)
        error = np.array([wrong for _, _, wrong in seen][100:])
        assert error.std() == pytest.approx(2000, rel=0.2)
        assert all(abs(wrong) <= estimate.bound_ns for _, estimate, wrong in seen)
        keeps = np.corrcoef(error[:-80], error[80:])[0, 1]  # over one time constant
        assert keeps == pytest.approx(np.exp(-1), abs=0.15)

    def test_it_locks_when_said(self, monkeypatch):
        seen = self.follow(grandmaster(), ClockOptions(lock_time=4 * S), 8, monkeypatch=monkeypatch)
        locked = [now for now, estimate, _ in seen if estimate.state is ClockState.LOCKED]
        assert locked[0] == 4 * S
        assert seen[0][1].state is ClockState.ACQUIRING

    def test_it_holds_over_while_the_reference_is_silent(self, monkeypatch):
        base = grandmaster(silences=((10, 100),))
        seen = self.follow(base, ClockOptions(noise=1000), 150, monkeypatch=monkeypatch)
        silent = [row for row in seen if 10 * S <= row[0] < 110 * S]
        assert all(estimate.state is ClockState.HOLDOVER for _, estimate, _ in silent)
        assert all(abs(wrong) <= estimate.bound_ns for _, estimate, wrong in seen)
        assert silent[-1][1].bound_ns > silent[0][1].bound_ns + 100_000
        assert abs(silent[-1][2]) > 2000  # 100 ppb or so, for 100 s
        assert seen[-1][1].state is ClockState.LOCKED
        assert abs(seen[-1][2]) < 6000
        assert {estimate.discontinuities for _, estimate, _ in seen} == {0}

    def test_it_starts_again_with_the_errors_of_a_first_start(self, monkeypatch):
        restart = SpanOptions(at=20 * S, lasts=2 * S)
        options = ClockOptions(noise=0, first_error=MS, lock_time=4 * S, restarts=(restart,))
        seen = self.follow(grandmaster(), options, 40, monkeypatch=monkeypatch)
        absent = [now for now, estimate, _ in seen if estimate.state is ClockState.UNLOCKED]
        assert (absent[0], absent[-1]) == (20 * S, 22 * S - options.interval)
        again = [row for row in seen if row[0] >= 22 * S]
        assert again[0][1].state is ClockState.ACQUIRING
        assert 1000 < abs(again[0][2]) < MS
        assert next(now for now, estimate, _ in again if estimate.state is ClockState.LOCKED) == 26 * S
        assert abs(again[-1][2]) < 5
        truth = ClockTruth()
        for now, estimate, wrong in seen:
            truth.record_error(now / S, wrong, estimate)
        assert 2 < truth.metrics()["true_recovery_s"] < 5

    @pytest.mark.parametrize(("step", "jumps"), [(20_000, 0), (-20_000, 0), (5 * MS, 1), (-3600 * S, 1)])
    def test_a_step_within_its_bound_is_slewed_and_a_larger_one_is_counted(self, monkeypatch, step, jumps):
        seen = self.follow(grandmaster((20, step)), ClockOptions(noise=0, first_error=0), 40, monkeypatch=monkeypatch)
        assert seen[-1][1].discontinuities == jumps
        assert abs(seen[-1][2]) < 5
        at_once = next(wrong for now, _, wrong in seen if now >= 20 * S)
        assert abs(at_once + (0 if jumps else step)) < 5
        assert seen[-1][1].grandmaster != seen[0][1].grandmaster


class TestCallbacks:
    def calls(self, count, *, begin=0, ppm=0.0, local_ppm=0.0, seed=1, **options):
        time = CardTime(Oscillator(ppm=ppm))
        local = SimLocalClock(ppm=local_ppm, epoch_ns=0)
        it = Callbacks(
            time, CardOptions(**{"block": 256, **options}), rate=RATE, local=local, random=np.random.default_rng(seed)
        )
        return list(itertools.islice(it.begin(begin), count))

    @pytest.mark.parametrize("ppm", [0, 100, -250])
    def test_frames_sound_at_the_card_s_pace(self, ppm):
        calls = self.calls(3000, begin=12_345, ppm=ppm)
        assert [call.frame for call in calls] == [256 * number for number in range(3000)]
        lasts = (calls[-1].sounds_ns - 12_345) * (1 + ppm * 1e-6)
        assert lasts == pytest.approx(2999 * 256 * S / RATE, abs=3)
        assert calls[0].sounds_ns == 12_345

    def test_a_block_is_asked_for_its_latency_ahead_or_a_little_later(self):
        calls = self.calls(3000, block=128, blocks=3, callback_jitter=60_000, late_callbacks=0.0)
        late = np.array([call.called_ns - call.sounds_ns for call in calls[3:]]) + 3 * 128 * S // RATE
        assert late.min() >= -1
        assert late.mean() == pytest.approx(60_000 * np.sqrt(2 / np.pi), rel=0.1)
        assert {call.called_ns for call in calls[:3]} == {0}

    @pytest.mark.parametrize("granularity", [0, 1, 6, 45])
    def test_stamps_are_right_on_average_and_as_coarse_as_the_pointer(self, granularity):
        calls = self.calls(6000, ppm=37, granularity=granularity, stamp_noise=1000)
        off = np.array([call.stamp_ns - call.sounds_ns for call in calls]) * RATE / S  # local time is true time here
        assert abs(off.mean() - 512 * 37e-6) < 0.02 * max(1, granularity)
        assert off.std() == pytest.approx(np.hypot(granularity / np.sqrt(12), 0.048), rel=0.15)

    def test_a_short_stall_is_only_late(self):
        calls = self.calls(400, stalls=(SpanOptions(at=S, lasts=5 * MS),))
        assert not any(S <= call.called_ns < S + 5 * MS for call in calls)
        assert not any(call.lost for call in calls)

    @pytest.mark.parametrize("lasts_ms", [15, 80, 3000])
    def test_a_stall_that_outlasts_the_latency_loses_frames_and_no_time(self, lasts_ms):
        calls = self.calls(800, ppm=50, stalls=(SpanOptions(at=S, lasts=lasts_ms * MS),))
        (xrun,) = [call for call in calls if call.lost]
        assert xrun.called_ns >= S + lasts_ms * MS
        assert 0 <= xrun.sounds_ns - xrun.called_ns < S / RATE + 2
        # What lay in the card sounded: its latency of two blocks, and what was left of a third.
        assert lasts_ms * 48 - 3 * 256 <= xrun.lost <= lasts_ms * 48 - 256 + 96
        last = calls[-1]
        assert last.sounds_ns * (1 + 50e-6) == pytest.approx(last.frame * S / RATE, abs=3)


class TestTone:
    @pytest.mark.parametrize("noise_db", [-60.0, -100.0, -125.0])
    def test_noise_is_found_as_large_as_it_is(self, noise_db):
        tone = sine_frames(0, 10 * RATE, 1, 10_000.0, RATE)[:, 0].astype(np.float64)
        noise = np.random.default_rng(1).standard_normal(len(tone)) * tone.std() * 10 ** (noise_db / 20)
        assert thd_n_db((tone + noise).astype(np.float32), RATE) == pytest.approx(noise_db, abs=0.3)

    def test_a_clean_tone_is_as_clean_as_its_samples(self):
        tone = sine_frames(0, 10 * RATE, 1, 10_000.0 * (1 + 40e-6), RATE)[:, 0]
        assert thd_n_db(tone, RATE) < -140

    def test_a_second_harmonic_counts_and_what_is_within_the_notch_does_not(self):
        low, high, near = (sine_frames(0, 4 * RATE, 1, hz, RATE)[:, 0] for hz in (5_000.0, 10_000.0, 5_015.0))
        assert thd_n_db(low + high / 1000, RATE) == pytest.approx(-60, abs=0.01)
        assert thd_n_db(low + near / 1000, RATE) < -130

    def test_silence_and_moments_have_none(self):
        assert thd_n_db(np.zeros(10 * RATE, np.float32), RATE) is None
        assert thd_n_db(np.ones(100, np.float32), RATE) is None


@settings(max_examples=30)
@given(st.integers(0, 10**14), st.floats(-200, 200))
def test_a_card_s_time_and_its_inverse_agree(begin, ppm):
    time = CardTime(Oscillator(ppm=ppm, swing_ppm=3, swing_period_ns=1200 * S))
    time.begin(begin)
    assert time.at(begin) == 0
    for number, at in enumerate(time.times_of(0, 10, 48_000_000, RATE).tolist()):
        assert time.at(at) * RATE / S == pytest.approx(number * 48_000_000, abs=1e-3)
