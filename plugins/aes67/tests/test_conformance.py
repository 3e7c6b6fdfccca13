"""The kit's suites: what every plugin, node and transport must do."""

import pytest

from phasegraph.testing import NodeSuite, PluginSuite, SinkSuite, TransportSuite


class TestPlugin(PluginSuite):
    entry_point = "aes67"


SENDER = 'kind = "aes67"\ninterface = "eth0"\ngroup = "239.69.1.1"\n'


class TestTransport(TransportSuite):
    @pytest.fixture
    def sender(self) -> str:
        return SENDER

    @pytest.fixture
    def receiver(self) -> str:
        return 'kind = "aes67"\ninterface = "eth0"\ngroup = "239.69.1.1"\nlink-offset = "5ms"'


class TestSource(NodeSuite):
    role = "sources"

    @pytest.fixture
    def options(self) -> str:
        return 'kind = "aes67"\ngroup = "239.69.1.1"\n'


class TestSink(SinkSuite):
    @pytest.fixture
    def options(self) -> str:
        return SENDER
