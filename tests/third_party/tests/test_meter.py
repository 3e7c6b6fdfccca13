"""The suites of the kernel's kit, and one test of our own."""

import pytest

from phasegraph.testing import CompensatorSuite, PluginSuite, SinkSuite, run_graph


class TestPlugin(PluginSuite):
    entry_point = "meter"


class TestLevelMeter(SinkSuite):
    @pytest.fixture
    def options(self):
        return 'kind = "level-meter"\ninterval = "20ms"'


class TestProportional(CompensatorSuite):
    @pytest.fixture
    def options(self):
        return 'kind = "proportional"'


GRAPH = """
schema = 1

[clocks.house]
kind = "sim-clock"

[sources.stage]
kind = "sim-source"
signal = "sine"
duration = "2s"

[sinks.meter]
kind = "level-meter"
input = "stage"
"""


@pytest.mark.trio
async def test_measures_a_sine_of_half_of_full_scale(autojump_clock):
    run = await run_graph(GRAPH)
    metrics = run.metrics("meter")
    assert metrics["frames_in"] == 96000
    assert metrics["channel_1_peak_dbfs"] == metrics["channel_2_peak_dbfs"] == -6.02
