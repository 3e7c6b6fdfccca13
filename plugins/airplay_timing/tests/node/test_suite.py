"""The plugin, and its clock as follower and as leader, against the kernel's suites."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from phasegraph.testing import ClockSourceSuite, GraphRun, PluginSuite, SimNetwork


class TestPlugin(PluginSuite):
    entry_point = "airplay-timing"


class TestFollower(ClockSourceSuite):
    lock_s = 10.0
    watch_s = 10.0
    seen: ClassVar[Any]

    @pytest.fixture
    def network(self, wired: SimNetwork) -> SimNetwork:
        return wired

    @pytest.fixture
    def options(self, device: Any) -> str:
        type(self).seen = device
        return 'kind = "airplay"\ninterface = "eth0"'

    def true_reference(self, run: GraphRun, true_ns: int) -> int:
        return int(self.seen.leader.time_ns(true_ns))

    def step(self, run: GraphRun) -> int:
        self.seen.leader.epoch_ns += 700_000_000
        return 700_000_000


class TestLeader(ClockSourceSuite):
    lock_s = 10.0
    watch_s = 10.0

    @pytest.fixture
    def options(self) -> str:
        return 'kind = "airplay"\ninterface = "eth0"\nrole = "lead"\npeers = ["10.0.1.77"]'

    def true_reference(self, run: GraphRun, true_ns: int) -> int:
        return int(run.local.at(true_ns))


@pytest.mark.slow
class TestFollowerForLonger(TestFollower):
    watch_s = 20.0


@pytest.mark.slow
class TestLeaderForLonger(TestLeader):
    watch_s = 20.0
