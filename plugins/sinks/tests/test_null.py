import pytest
import trio

from phasegraph_sinks import null
from phasegraph_sinks.options import NullConfig


@pytest.fixture
def make(build, options):
    def make(input, **fields):
        return null.NullSink(options(NullConfig, input="stage", **fields), build, input)

    return make


@pytest.mark.parametrize("paced", [False, True])
async def test_takes_everything(paced, ctx, make, make_input, noise, format_of, autojump_clock):
    input = make_input(noise(format_of(), 96_000), format_of(), paced=paced)
    sink = make(input)
    await sink.run(ctx)
    assert sink.metrics() == {"frames_in": 96_000}
    assert trio.current_time() < (2.3 if paced else 0.5)


async def test_meters_if_asked(ctx, make, make_input, noise, format_of, autojump_clock):
    frames = noise(format_of(), 1000) / 4
    sink = make(make_input(frames, format_of()), meter=True)
    assert sink.metrics() == {"frames_in": 0, "peak_dbfs": -200.0}
    await sink.run(ctx)
    assert sink.metrics() == {"frames_in": 1000, "peak_dbfs": -12.04}


async def test_looks_five_times_a_second(ctx, make, make_input, noise, format_of, autojump_clock):
    input = make_input(noise(format_of(), 1), format_of(), paced=True, endless=True)
    looks = []
    take = input.read_due
    input.read_due = lambda local_ns, limit: looks.append(local_ns) or take(local_ns, limit)
    with trio.move_on_after(10):
        await make(input).run(ctx)
    assert len(set(looks)) == pytest.approx(50, abs=2)
