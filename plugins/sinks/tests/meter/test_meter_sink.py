from functools import partial

import numpy as np
import pytest
import trio

from phasegraph_sinks.meter import meter_sink
from phasegraph_sinks.meter.meter_thread import MeterThread
from phasegraph_sinks.meter.options import MeterConfig


@pytest.fixture
def make(build, options):
    return lambda fed, **fields: meter_sink.MeterSink(options(MeterConfig, input="stage", **fields), build, fed)


async def test_levels_are_in_the_metrics(ctx, make, make_input, format_of, autojump_clock):
    at = np.arange(5 * 48_000)
    tone = (0.5 * np.sin(2 * np.pi * 997 * at / 48_000)).astype(np.float32)
    sink = make(make_input(np.stack([tone, -tone], axis=1), format_of(), paced=True))
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(sink.run, ctx))
        assert sink.metrics() == {"frames_in": 0, "overloads": 0}
        await trio.sleep(4)
        metrics = sink.metrics()
    assert metrics.pop("frames_in") == pytest.approx(4 * 48_000, abs=12_000)
    assert metrics == {
        "overloads": 0,
        "level_peak_dbfs_1": -6.02,
        "level_peak_dbfs_2": -6.02,
        "level_true_peak_dbtp": pytest.approx(-6.02, abs=0.02),
        "loudness_momentary_lufs": pytest.approx(-6.02, abs=0.1),
        "loudness_short_term_lufs": pytest.approx(-6.02, abs=0.1),
        "phase_correlation_1_2": -1.0,
    }
    assert ctx.events == []


async def test_what_is_not_asked_for_is_not_measured(ctx, make, make_input, noise, format_of, autojump_clock):
    sink = make(make_input(noise(format_of(), 48_000), format_of()), loudness="none", true_peak=False)
    await sink.run(ctx)
    assert set(sink.metrics()) == {
        "frames_in", "overloads", "level_peak_dbfs_1", "level_peak_dbfs_2", "phase_correlation_1_2",
    }  # fmt: skip


async def test_alarms_are_events_and_trouble(ctx, make, make_input, format_of, autojump_clock):
    input = make_input(np.zeros((0, 2), np.float32), format_of(), paced=True, endless=True)
    sink = make(input, silence_after=2_000_000_000)
    with trio.move_on_after(3.5):
        await sink.run(ctx)
    (fields,) = ctx.named("silence")
    assert 2.0e9 <= fields["silent_ns"] <= 2.3e9
    assert sink.metrics()["trouble"] == "silence"


async def test_levels_of_long_ago_are_left_out(ctx, make, make_input, noise, format_of, autojump_clock):
    sink = make(make_input(noise(format_of(), 48_000), format_of()))
    await sink.run(ctx)
    assert "level_peak_dbfs_1" in sink.metrics()
    await trio.sleep(1.1)
    assert set(sink.metrics()) == {"frames_in", "overloads"} | {"trouble"} & set(sink.metrics())


async def test_a_thread_that_does_not_follow_costs_measurements_and_no_memory(
    ctx, make, make_input, noise, format_of, autojump_clock
):
    class Held:
        work = ()

        def submit(self, work):
            self.work = (*self.work, work)

    held = Held()
    ctx.shared = lambda make: held
    sink = make(make_input(noise(format_of(), 480_000), format_of(), paced=True, endless=True))
    with trio.move_on_after(10):
        await sink.run(ctx)
    assert len(held.work) == 32
    assert sink.metrics()["frames_unmeasured"] > 100_000


def test_the_thread_does_all_that_was_submitted_before_it_ends():
    done = []
    thread = MeterThread(virtual=False)
    for number in range(100):
        thread.submit(partial(done.append, number))
    thread.close()
    assert done == list(range(100))
