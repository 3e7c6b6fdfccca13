"""The clock ``ptp4l`` against the suite of every clock source."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from phasegraph.testing import ClockSourceSuite, GraphRun, SimLocalClock, SimNetwork


class TestPtp4lClock(ClockSourceSuite):
    lock_s = 15.0
    fake: ClassVar[Any]

    @pytest.fixture
    def network(self, local: SimLocalClock) -> SimNetwork:
        return SimNetwork(local)

    @pytest.fixture
    def options(self, ptp4l: Any) -> str:
        type(self).fake = ptp4l
        return f'kind = "ptp4l"\nsocket = "{ptp4l.path}"'

    def true_reference(self, run: GraphRun, true_ns: int) -> int:
        return self.fake.true_reference(true_ns)

    def step(self, run: GraphRun) -> int:
        self.fake.ahead_ns += 700_000_000
        return 700_000_000
