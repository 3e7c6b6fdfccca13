"""The kernel's own suites."""

from __future__ import annotations

import pytest

from phasegraph.testing import CompensatorSuite, PluginSuite


class TestPlugin(PluginSuite):
    entry_point = "compensation"


class TestNone(CompensatorSuite):
    settle_s = 1.0
    settled_frames = 24.5  # it slips beyond 24; within a block a card 200 ppm off moves by 0.1

    @pytest.fixture
    def options(self) -> str:
        return 'kind = "none"\nallow-slips = true'
