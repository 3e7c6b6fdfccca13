"""Conformance suites: what every plugin, and every node of a kind, must do. See ``docs/write-a-plugin.md``."""

import pkgutil

import pytest

# A failing assertion of a suite shows what was compared, as that of a test module does.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))

from .clock_source_suite import ClockSourceSuite  # noqa: E402
from .compensator_suite import CompensatorSuite  # noqa: E402
from .node_suite import NodeSuite  # noqa: E402
from .plugin_suite import PluginSuite  # noqa: E402
from .sink_suite import SinkSuite  # noqa: E402
from .transport_suite import TransportSuite  # noqa: E402

__all__ = ["ClockSourceSuite", "CompensatorSuite", "NodeSuite", "PluginSuite", "SinkSuite", "TransportSuite"]
