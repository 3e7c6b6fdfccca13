"""The kit's suites, with cards that are not there."""

import pytest

from phasegraph.testing import NodeSuite, SinkSuite


class TestSink(SinkSuite):
    @pytest.fixture(autouse=True)
    def _cards(self, make_card, plug):
        plug(make_card(outputs=8, ppm=50.0))

    @pytest.fixture
    def options(self) -> str:
        return 'kind = "soundcard"\ndevice = "USB"'


class TestSource(NodeSuite):
    role = "sources"

    @pytest.fixture(autouse=True)
    def _cards(self, make_card, plug):
        plug(make_card(ppm=-50.0))

    @pytest.fixture
    def options(self) -> str:
        return 'kind = "soundcard"\nlink-offset = "50ms"'
