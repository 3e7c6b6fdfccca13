"""The kit for tests of plugins: a simulated world with known truth, and suites that every plugin of a kind must pass.

The simulated world needs nothing but the kernel. The suites need ``phasegraph[testing]`` (pytest, pytest-trio,
hypothesis); a test module derives from them. Simulated time is trio's: run under a ``trio.testing.MockClock``, or
with the ``autojump_clock`` fixture of pytest-trio.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .card import Played, SimCard, SimCardConfig
    from .clock import SimClock, SimClockConfig
    from .graph import GraphRun, make_session, run_graph, run_graph_now, running_graph, sim_registry
    from .impairments import Counts, Every, Faults, Impairment
    from .localtime import LOCAL_EPOCH_NS, REALTIME_EPOCH_NS, SimLocalClock, true_now_ns
    from .network import SimNetwork, SimWire
    from .oscillator import Oscillator
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

_HOME = {
    "card": "Played SimCard SimCardConfig",
    "clock": "SimClock SimClockConfig",
    "graph": "GraphRun make_session run_graph run_graph_now running_graph sim_registry",
    "impairments": "Counts Every Faults Impairment",
    "localtime": "LOCAL_EPOCH_NS REALTIME_EPOCH_NS SimLocalClock true_now_ns",
    "network": "SimNetwork SimWire",
    "oscillator": "Oscillator",
    "plugin": "sim_plugin",
    "recorder": "SimRecorder SimRecorderConfig",
    "source": "SimSequence SimSequenceConfig SimSource SimSourceConfig counted counter_frames sine_frames",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}

__all__ = [
    "LOCAL_EPOCH_NS",
    "REALTIME_EPOCH_NS",
    "Counts",
    "Every",
    "Faults",
    "GraphRun",
    "Impairment",
    "Oscillator",
    "Played",
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
    "SimWire",
    "counted",
    "counter_frames",
    "make_session",
    "run_graph",
    "run_graph_now",
    "running_graph",
    "sim_plugin",
    "sim_registry",
    "sine_frames",
    "true_now_ns",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
