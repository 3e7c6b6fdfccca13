"""Phasegraph: keeps network audio in phase with any clock.

This package is what plugins import; everything whose name begins with an underscore is the kernel's own. Names
are loaded on first use, so that ``kernel --help`` does not wait for numpy and trio.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ._core.clock import (
        NS_PER_S,
        UNKNOWN_NS,
        ClockEstimate,
        ClockState,
        duration_of,
        frame_at,
        frames_in,
        time_of_frame,
    )
    from ._core.compensation import (
        BufferLevel,
        Compensator,
        Correction,
        DeviceRate,
        DeviceTime,
        FramesArrived,
        Observation,
        ReadPosition,
        Resampler,
        StreamingResampler,
    )
    from ._core.config import (
        ClockConfig,
        ClockRef,
        CompensatorConfig,
        InputFile,
        NodeConfig,
        OutputFile,
        SinkConfig,
        SourceConfig,
    )
    from ._core.errors import GraphError, NodeError, Problem
    from ._core.kinds import (
        API_VERSION,
        ClockKind,
        CompensatorKind,
        ResamplerKind,
        SinkKind,
        SourceKind,
        TransportKind,
    )
    from ._core.localtime import LocalClock, StampKind, SystemLocalClock, bracketed_offset
    from ._core.node import (
        Build,
        ClockSource,
        Input,
        Metric,
        Metrics,
        Node,
        NodeContext,
        RawSampleReader,
        Sink,
        Source,
        Step,
    )
    from ._core.published import Published
    from ._core.ring import MediaRing
    from ._core.role import Role
    from ._core.samples import Encoded, Encoding, Frames, silence
    from ._core.simulated import SimulatedReference
    from ._core.stream import ClockReader, Stream, StreamFormat
    from ._core.units import (
        Duration,
        Frequency,
        Level,
        RateOffset,
        SampleRate,
        format_duration,
        parse_duration,
    )
    from ._graph_file.graph import Edge, Graph, GraphNode
    from ._plugins.specs import Event, hookimpl

_HOME = {
    "_graph_file.graph": "Edge Graph GraphNode",
    "_core.clock": "NS_PER_S UNKNOWN_NS ClockEstimate ClockState duration_of frame_at frames_in time_of_frame",
    "_core.compensation": (
        "FramesArrived BufferLevel Compensator Correction DeviceRate DeviceTime Observation ReadPosition Resampler "
        "StreamingResampler"
    ),
    "_core.config": "ClockConfig ClockRef CompensatorConfig InputFile NodeConfig OutputFile SinkConfig SourceConfig",
    "_core.errors": "GraphError NodeError Problem",
    "_core.kinds": "API_VERSION ClockKind CompensatorKind ResamplerKind SinkKind SourceKind TransportKind",
    "_core.localtime": "LocalClock StampKind SystemLocalClock bracketed_offset",
    "_core.node": "Build ClockSource Input Metric Metrics Node NodeContext RawSampleReader Sink Source Step",
    "_core.published": "Published",
    "_core.ring": "MediaRing",
    "_core.role": "Role",
    "_core.samples": "Encoded Encoding Frames silence",
    "_core.simulated": "SimulatedReference",
    "_core.stream": "ClockReader Stream StreamFormat",
    "_core.units": "Duration Frequency Level RateOffset SampleRate format_duration parse_duration",
    "_plugins.specs": "Event hookimpl",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}

__all__ = [
    "API_VERSION",
    "NS_PER_S",
    "UNKNOWN_NS",
    "BufferLevel",
    "Build",
    "ClockConfig",
    "ClockEstimate",
    "ClockKind",
    "ClockReader",
    "ClockRef",
    "ClockSource",
    "ClockState",
    "Compensator",
    "CompensatorConfig",
    "CompensatorKind",
    "Correction",
    "DeviceRate",
    "DeviceTime",
    "Duration",
    "Edge",
    "Encoded",
    "Encoding",
    "Event",
    "Frames",
    "FramesArrived",
    "Frequency",
    "Graph",
    "GraphError",
    "GraphNode",
    "Input",
    "InputFile",
    "Level",
    "LocalClock",
    "MediaRing",
    "Metric",
    "Metrics",
    "Node",
    "NodeConfig",
    "NodeContext",
    "NodeError",
    "Observation",
    "OutputFile",
    "Problem",
    "Published",
    "RateOffset",
    "RawSampleReader",
    "ReadPosition",
    "Resampler",
    "ResamplerKind",
    "Role",
    "SampleRate",
    "SimulatedReference",
    "Sink",
    "SinkConfig",
    "SinkKind",
    "Source",
    "SourceConfig",
    "SourceKind",
    "StampKind",
    "Step",
    "Stream",
    "StreamFormat",
    "StreamingResampler",
    "SystemLocalClock",
    "TransportKind",
    "bracketed_offset",
    "duration_of",
    "format_duration",
    "frame_at",
    "frames_in",
    "hookimpl",
    "parse_duration",
    "silence",
    "time_of_frame",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
