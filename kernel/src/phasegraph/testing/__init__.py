"""The kit for tests of plugins: a simulated world with known truth, and suites that every plugin of a kind must pass.

The simulated world needs nothing but the kernel. The suites need ``phasegraph[testing]`` (pytest, pytest-trio,
hypothesis); a test module derives from them. Simulated time is trio's: run under a ``trio.testing.MockClock``, or
with the ``autojump_clock`` fixture of pytest-trio.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .card import Played, SimCard, SimCardConfig
    from .clock import SimClock, SimClockConfig
    from .crossing import Conditions, CrossingWorld
    from .figures import Figures, figures_of, worst_of
    from .graph import GraphRun, make_session, run_graph, run_graph_now, running_graph, sim_registry
    from .impairments import Counts, Every, Faults, Impairment, Stamping
    from .localtime import LOCAL_EPOCH_NS, REALTIME_EPOCH_NS, SimLocalClock, true_now_ns
    from .network import SimNetwork, SimWire
    from .oscillator import Oscillator, Ramp
    from .plant import Plant
    from .plugin import sim_plugin
    from .recorder import SimRecorder, SimRecorderConfig
    from .source import (
        SimSequence,
        SimSequenceConfig,
        SimSource,
        SimSourceConfig,
        counted,
        counter_frames,
        sine_frames,
    )
    from .stamped import SimStampedSocket
    from .suites.clock import ClockSourceSuite
    from .suites.compensator import CompensatorSuite
    from .suites.node import NodeSuite
    from .suites.plugin import PluginSuite
    from .suites.sink import SinkSuite
    from .suites.transport import TransportSuite

_HOME = {
    "card": "Played SimCard SimCardConfig",
    "clock": "SimClock SimClockConfig",
    "crossing": "Conditions CrossingWorld",
    "figures": "Figures figures_of worst_of",
    "graph": "GraphRun make_session run_graph run_graph_now running_graph sim_registry",
    "impairments": "Counts Every Faults Impairment Stamping",
    "localtime": "LOCAL_EPOCH_NS REALTIME_EPOCH_NS SimLocalClock true_now_ns",
    "network": "SimNetwork SimWire",
    "oscillator": "Oscillator Ramp",
    "plant": "Plant",
    "plugin": "sim_plugin",
    "recorder": "SimRecorder SimRecorderConfig",
    "source": "SimSequence SimSequenceConfig SimSource SimSourceConfig counted counter_frames sine_frames",
    "stamped": "SimStampedSocket",
    "suites.clock": "ClockSourceSuite",
    "suites.compensator": "CompensatorSuite",
    "suites.node": "NodeSuite",
    "suites.plugin": "PluginSuite",
    "suites.sink": "SinkSuite",
    "suites.transport": "TransportSuite",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}

__all__ = [
    "LOCAL_EPOCH_NS",
    "REALTIME_EPOCH_NS",
    "ClockSourceSuite",
    "CompensatorSuite",
    "Conditions",
    "Counts",
    "CrossingWorld",
    "Every",
    "Faults",
    "Figures",
    "GraphRun",
    "Impairment",
    "NodeSuite",
    "Oscillator",
    "Plant",
    "Played",
    "PluginSuite",
    "Ramp",
    "SimCard",
    "SimCardConfig",
    "SimClock",
    "SimClockConfig",
    "SimLocalClock",
    "SimNetwork",
    "SimRecorder",
    "SimRecorderConfig",
    "SimSequence",
    "SimSequenceConfig",
    "SimSource",
    "SimSourceConfig",
    "SimStampedSocket",
    "SimWire",
    "SinkSuite",
    "Stamping",
    "TransportSuite",
    "counted",
    "counter_frames",
    "figures_of",
    "make_session",
    "run_graph",
    "run_graph_now",
    "running_graph",
    "sim_plugin",
    "sim_registry",
    "sine_frames",
    "true_now_ns",
    "worst_of",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if module.startswith("suites.") and f"{__name__}.suites" not in sys.modules:
        _explain_assertions()
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def _explain_assertions() -> None:
    # Failing assertions of the suites say what was compared, as those of a test module do.
    import pytest

    pytest.register_assert_rewrite(f"{__name__}.suites")
