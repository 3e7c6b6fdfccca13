"""The simulated world as a plugin, so that a graph can use it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._core.kinds import ClockKind, CompensatorKind, ResamplerKind, SinkKind, SourceKind
from .._plugins.specs import hookimpl
from .nodes.sim_align import SimAlign, SimAlignConfig
from .nodes.sim_card import SimCard, SimCardConfig
from .nodes.sim_clock import SimClock, SimClockConfig
from .nodes.sim_linear import SimLinear
from .nodes.sim_recorder import SimRecorder, SimRecorderConfig
from .nodes.sim_source import SimSequence, SimSequenceConfig, SimSource, SimSourceConfig


class SimPlugin:
    """Registers the kinds whose names begin with ``sim-``."""

    @hookimpl
    def register_clocks(self) -> Iterable[ClockKind[Any]]:
        """See `Specs.register_clocks`."""
        return [
            ClockKind(
                kind="sim-clock",
                summary="A simulated clock whose truth is known.",
                config=SimClockConfig,
                factory=SimClock,
                example='[clocks.house]\nkind = "sim-clock"\nrate-offset = "20ppm"\nnoise = "100ns"\n',
            )
        ]

    @hookimpl
    def register_sources(self) -> Iterable[SourceKind[Any]]:
        """See `Specs.register_sources`."""
        return [
            SourceKind(
                kind="sim-source",
                summary="A simulated source on a clock, whose every sample is known.",
                config=SimSourceConfig,
                factory=SimSource,
                example='[sources.stage]\nkind = "sim-source"\nclock = "house"\nsignal = "sine"\n',
            ),
            SourceKind(
                kind="sim-sequence",
                summary="A simulated source as fast as its reader, whose every sample is known.",
                config=SimSequenceConfig,
                factory=SimSequence,
                domain="none",
                example='[sources.program]\nkind = "sim-sequence"\nduration = "2s"\n',
            ),
        ]

    @hookimpl
    def register_compensators(self) -> Iterable[CompensatorKind[Any]]:
        """See `Specs.register_compensators`."""
        return [
            CompensatorKind(
                kind="sim-align",
                summary="Steers in proportion to the error; for tests without plugins.",
                config=SimAlignConfig,
                factory=SimAlign,
                example='[compensators.align]\nkind = "sim-align"\ntime = "200ms"\n',
            )
        ]

    @hookimpl
    def register_resamplers(self) -> Iterable[ResamplerKind]:
        """See `Specs.register_resamplers`."""
        return [
            ResamplerKind(
                kind="sim-linear",
                summary="Linear interpolation between frames; for tests without plugins.",
                factory=SimLinear,
            )
        ]

    @hookimpl
    def register_sinks(self) -> Iterable[SinkKind[Any]]:
        """See `Specs.register_sinks`."""
        return [
            SinkKind(
                kind="sim-card",
                summary="A simulated sound card that runs at its own pace.",
                config=SimCardConfig,
                factory=SimCard,
                domain="device",
                example='[sinks.card]\nkind = "sim-card"\ninput = "stage"\ncompensator = "align"\n',
            ),
            SinkKind(
                kind="sim-recorder",
                summary="Keeps all frames that it reads.",
                config=SimRecorderConfig,
                factory=SimRecorder,
                domain="none",
                example='[sinks.recorder]\nkind = "sim-recorder"\ninput = "stage"\n',
            ),
        ]


sim_plugin = SimPlugin()
"""To be added to a registry: ``registry.add("sim", "0", sim_plugin)``."""
