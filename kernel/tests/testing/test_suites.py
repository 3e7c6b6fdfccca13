"""The simulated world passes the suites that it is made for, and so does the kernel's own clock."""

from typing import Any

import pytest

from phasegraph.testing import (
    REALTIME_EPOCH_NS,
    ClockSourceSuite,
    CompensatorSuite,
    GraphRun,
    NodeSuite,
    PluginSuite,
    SimClock,
    SimLocalClock,
    SinkSuite,
)


class TestKernelPlugin(PluginSuite):
    entry_point = "kernel"


class TestSystemClock(ClockSourceSuite):
    @pytest.fixture
    def options(self) -> str:
        return 'kind = "system"\nrate-offset = "5ppm"'

    def true_reference(self, run: GraphRun, true_ns: int) -> int | None:
        trial = (run.local.now_ns() - 1_000_000_000_000) * 5000 // 10**9
        return REALTIME_EPOCH_NS + true_ns + 37_000_000_000 + trial

    def step(self, run: GraphRun) -> int | None:
        assert isinstance(run.local, SimLocalClock)
        run.local.step_realtime(-3_000_000_000)
        return -3_000_000_000


class TestSimClock(ClockSourceSuite):
    @pytest.fixture
    def options(self) -> str:
        return 'kind = "sim-clock"\nrate-offset = "-30ppm"\nnoise = "500ns"\nlock-after = "3s"'

    def _clock(self, run: GraphRun) -> SimClock:
        clock: Any = run.nodes["it"]
        assert isinstance(clock, SimClock)
        return clock

    def true_reference(self, run: GraphRun, true_ns: int) -> int | None:
        return self._clock(run).true_reference(true_ns)

    def step(self, run: GraphRun) -> int | None:
        self._clock(run).step(1_000_000_000)
        return 1_000_000_000


class TestSimSource(NodeSuite):
    role = "sources"

    @pytest.fixture
    def options(self) -> str:
        return 'kind = "sim-source"\nsignal = "sine"\njitter = "2ms"'


class TestSimSequence(NodeSuite):
    role = "sources"

    @pytest.fixture
    def options(self) -> str:
        return 'kind = "sim-sequence"\nduration = "30s"'


class TestSimCard(SinkSuite):
    @pytest.fixture
    def options(self) -> str:
        return 'kind = "sim-card"\nrate-offset = "80ppm"\nblock = 256'


class TestSimRecorder(SinkSuite):
    @pytest.fixture
    def options(self) -> str:
        return 'kind = "sim-recorder"\nlimit = 777'


class TestSimAlign(CompensatorSuite):
    @pytest.fixture
    def options(self) -> str:
        return 'kind = "sim-align"'
