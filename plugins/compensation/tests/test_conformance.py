"""The kernel's own suites."""

from __future__ import annotations

import pytest

from phasegraph.testing import CompensatorSuite, PluginSuite


class TestPlugin(PluginSuite):
    entry_point = "compensation"


class TestCombined(CompensatorSuite):
    limit_ppb = 500_000.0
    settle_s = 5.0
    settled_frames = 0.1

    @pytest.fixture
    def options(self) -> str:
        return 'kind = "combined"'


class TestFeedForward(CompensatorSuite):
    limit_ppb = 500_000.0
    settle_s = 10.0
    settled_frames = 20.0

    @pytest.fixture
    def options(self) -> str:
        return 'kind = "ptp-feed-forward"'


class TestBufferFeedback(CompensatorSuite):
    limit_ppb = 500_000.0
    settle_s = 30.0
    settled_frames = 4.0

    @pytest.fixture
    def options(self) -> str:
        return 'kind = "buffer-feedback"'


class TestNone(CompensatorSuite):
    settle_s = 1.0
    settled_frames = 24.5  # it slips beyond 24; within a block a card 200 ppm off moves by 0.1

    @pytest.fixture
    def options(self) -> str:
        return 'kind = "none"\nallow-slips = true'
