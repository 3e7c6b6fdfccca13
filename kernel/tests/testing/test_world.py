"""Simulated clocks and cards have the faults that they were given, and no others."""

import subprocess
import sys

import numpy as np
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from phasegraph import ClockState, GraphError
from phasegraph.testing import (
    Oscillator,
    Ramp,
    SimLocalClock,
    SimNetwork,
    counted,
    counter_frames,
    run_graph,
    run_graph_now,
    running_graph,
    sim_registry,
    sine_frames,
    true_now_ns,
)

DAY_NS = 86_400_000_000_000
OSCILLATORS = st.builds(
    Oscillator,
    ppm=st.floats(-500, 500),
    ageing_ppm_per_day=st.floats(-5, 5),
    swing_ppm=st.floats(-5, 5),
    swing_period_ns=st.integers(10**10, DAY_NS),
    warm_up_ppm=st.floats(-20, 20),
    warm_up_ns=st.integers(10**10, 10**12),
    ramps=st.lists(
        st.builds(Ramp, at_ns=st.integers(0, DAY_NS), ppm=st.floats(-20, 20), over_ns=st.integers(0, 10**12)),
        max_size=2,
    ).map(tuple),
)
AGES = st.integers(0, 3 * DAY_NS)


class TestOscillator:
    @given(OSCILLATORS, AGES)
    def test_true_time_is_found_back(self, oscillator: Oscillator, age: int) -> None:
        assert abs(oscillator.true_after(oscillator.elapsed(age)) - age) <= 1

    @given(OSCILLATORS, AGES, st.integers(0, 10**9))
    def test_never_runs_backwards(self, oscillator: Oscillator, age: int, more: int) -> None:
        assert oscillator.elapsed(age + more) >= oscillator.elapsed(age)

    @given(OSCILLATORS, AGES)
    def test_counts_at_its_rate(self, oscillator: Oscillator, age: int) -> None:
        second = 10**9
        gained = oscillator.elapsed(age + second) - oscillator.elapsed(age) - second
        middle = oscillator.rate_ppb(age + second // 2)
        steps = sum(abs(ramp.ppm) * (1000 if ramp.over_ns < 10**10 else 60) for ramp in oscillator.ramps)
        bends = abs(oscillator.swing_ppm) * 20 + abs(oscillator.warm_up_ppm) * 20
        assert gained == pytest.approx(middle, abs=3 + bends + steps)

    @given(OSCILLATORS, st.lists(AGES, min_size=1, max_size=9))
    def test_arrays_agree(self, oscillator: Oscillator, ages: list[int]) -> None:
        true_ns = np.array(ages)
        elapsed = oscillator.elapsed_array(true_ns)
        assert np.abs(elapsed - [oscillator.elapsed(age) for age in ages]).max() <= 1
        assert np.abs(oscillator.true_after_array(elapsed.astype(float)) - true_ns).max() <= 1
        steps = [ramp.at_ns + over for ramp in oscillator.ramps for over in (0, ramp.over_ns)]
        for age, rate in zip(ages, oscillator.rates_ppb(true_ns).tolist(), strict=True):
            if all(abs(age - step) > 10**6 for step in steps):
                assert oscillator.rate_ppb(age) == pytest.approx(rate, abs=0.05)

    def test_a_ramp_stays(self) -> None:
        oscillator = Oscillator(ppm=10, ramps=(Ramp(at_ns=60 * 10**9, ppm=4, over_ns=10 * 10**9),))
        assert [round(oscillator.rate_ppb(at * 10**9)) for at in (59, 65, 71, 3600)] == [10_000, 12_000, 14_000, 14_000]
        assert oscillator.elapsed(80 * 10**9) - 80 * 10**9 == 800_000 + 20_000 + 40_000


class TestLocalClock:
    async def test_follows_trio_at_its_own_pace(self, autojump_clock):
        local = SimLocalClock(ppm=100, epoch_ns=5)
        assert (true_now_ns(), local.now_ns()) == (0, 5)
        await trio.sleep(3600)
        assert local.now_ns() == 5 + 3600 * 10**9 + 360_000_000
        assert local.true_at(local.now_ns()) == true_now_ns()

    async def test_time_of_day_is_true_and_can_be_stepped(self, autojump_clock):
        local = SimLocalClock(ppm=100, realtime_ns=10**18)
        await trio.sleep(1000)
        assert local.now_ns() + local.realtime_offset_ns() == 10**18 + 10**12
        local.step_realtime(-7)
        assert local.now_ns() + local.realtime_offset_ns() == 10**18 + 10**12 - 7

    def test_there_is_a_time_before_trio_runs(self):
        assert SimLocalClock(epoch_ns=9).now_ns() == 9


class TestSignals:
    def test_the_counter_tells_its_index(self):
        for first in (0, 2**24 - 10, 85_920_000_000_000):
            frames = counter_frames(first, 100, 3)
            for channel in range(3):
                assert counted(frames, channel).tolist() == [n % 2**24 for n in range(first, first + 100)]

    def test_the_sine_is_one_wherever_it_is_cut(self):
        whole = sine_frames(85_920_000_000_123, 1000, 1, 997.0, 48000)
        parts = [sine_frames(85_920_000_000_123 + at, 250, 1, 997.0, 48000) for at in range(0, 1000, 250)]
        np.testing.assert_array_equal(whole, np.concatenate(parts))
        phase = np.arange(1000) * 997 / 48000 * 2 * np.pi
        fit = np.linalg.lstsq(np.stack([np.sin(phase), np.cos(phase)], 1), whole[:, 0], rcond=None)
        assert np.hypot(*fit[0]) == pytest.approx(0.5, abs=1e-6)
        assert fit[1][0] < 1e-9


class TestSimClock:
    GRAPH = """
    schema = 1
    [clocks.house]
    kind = "sim-clock"
    rate-offset = "20ppm"
    noise = "100ns"
    lock-after = "2s"
    step-after = "5s"
    step = "37s"
    holdover-after = "10s"
    """

    async def test_has_the_states_and_errors_that_it_was_told(self, autojump_clock):
        states, errors = [], []
        async with running_graph(self.GRAPH, local=SimLocalClock(ppm=-30)) as run:
            clock = run.nodes["house"]
            while trio.current_time() < 20:
                await trio.sleep(0.25)
                estimate = clock.estimate()
                states.append(estimate.state)
                error = clock.true_error_ns(run.local.now_ns())
                errors.append(abs(error))
                assert abs(error) <= estimate.bound_ns
        order = list(dict.fromkeys(states))
        assert order == [ClockState.ACQUIRING, ClockState.LOCKED, ClockState.HOLDOVER]
        assert 20 < float(np.std(errors)) < 200
        assert clock.estimate().rate_ppb == pytest.approx(50_001.5, abs=0.1)
        assert run.events("grandmaster_changed")[0]["step_ns"] == 37_000_000_000
        assert run.metrics("house")["discontinuities"] == 1

    def test_the_same_again_is_the_same(self):
        def run() -> list:
            return run_graph_now(self.GRAPH, for_s=8).report["events"]

        assert run() == run()


class TestSimCard:
    GRAPH = """
    schema = 1
    [clocks.house]
    kind = "sim-clock"
    [sources.stage]
    kind = "sim-source"
    signal = "sine"
    duration = "3s"
    link-offset = "30ms"
    [compensators.align]
    kind = "sim-align"
    [sinks.card]
    kind = "sim-card"
    input = "stage"
    compensator = "align"
    rate-offset = "{ppm}ppm"
    granularity = {granularity}
    block = 240
    """

    @pytest.mark.parametrize("ppm", [-150, 0, 60])
    async def test_every_frame_sounds_when_it_should(self, autojump_clock, ppm):
        run = await run_graph(self.GRAPH.format(ppm=ppm, granularity=1), local=SimLocalClock(ppm=25))
        card, clock = run.nodes["card"], run.nodes["house"]
        assert run.report["ended"] == "completed"
        assert run.metrics("card")["frames_out"] == pytest.approx(3 * 48000 * (1 + ppm * 1e-6) + 1440, abs=40)
        block = card.played[len(card.played) // 2]
        # What sounds at a true time is the frame of that media time, less the link offset of 30 ms.
        media = (clock.true_reference(block.true_ns) - 30_000_000) * 48000 / 10**9
        position = np.arange(len(block.frames)) / (1 + ppm * 1e-6)
        turns = (media % 48000 + position) * 997 / 48000 + (media // 48000) * 997
        expected = 0.5 * np.sin(2 * np.pi * turns)
        late_frames = abs(ppm) * 1e-6 * 48000 * 0.2 + 0.1
        assert np.abs(block.frames[:, 0] - expected).max() < 0.5 * 2 * np.pi * 997 / 48000 * late_frames + 0.003
        assert run.metrics("card")["underrun_frames"] == 0

    @pytest.mark.slow
    async def test_its_pointer_moves_in_steps(self, autojump_clock):
        run = await run_graph(self.GRAPH.format(ppm=0, granularity=64), local=SimLocalClock())
        errors = {block.local_ns - run.local.at(block.true_ns) for block in run.nodes["card"].played}
        assert len(errors) > 1
        assert max(errors) - min(errors) <= 64 * 10**9 // 48000


async def test_a_wrong_graph_is_refused(autojump_clock, tmp_path):
    with pytest.raises(GraphError, match="unknown kind"):
        await run_graph('schema = 1\n[clocks.a]\nkind = "nonsense"\n', folder=tmp_path)


async def test_a_failure_in_the_block_is_raised_as_it_is(autojump_clock):
    async def fails() -> None:
        async with running_graph(TestSimClock.GRAPH):
            await trio.sleep(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    assert trio.current_time() < 10


@pytest.mark.slow
def test_the_world_needs_no_pytest():
    code = (
        "import sys; sys.modules['pytest'] = sys.modules['hypothesis'] = None\n"  # as if they were not installed
        "import phasegraph.testing as kit\n"
        "print(kit.run_graph_now('schema = 1\\n[clocks.a]\\nkind = \"sim-clock\"\\n', for_s=1).report['ended'])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout == "time\n", result.stderr


def test_everything_public_is_there():
    import phasegraph.testing as kit

    for name in dir(kit):
        if name.startswith("_") or name in ("annotations", "TYPE_CHECKING", "Any", "graph_runs", "suites"):
            continue
        assert getattr(kit, name).__doc__ or name.isupper() or name == "sim_plugin", name
    with pytest.raises(AttributeError):
        kit.nonsense  # noqa: B018


def test_the_registry_has_the_simulated_kinds():
    registry = sim_registry(["kernel"])
    assert {"sim-clock", "system"} <= set(registry.clocks)
    assert SimNetwork().interface("lo").address == "127.0.0.1"
