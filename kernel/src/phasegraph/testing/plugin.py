"""The simulated world as a plugin, so that a graph can use it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._core.kinds import ClockKind, SinkKind
from .._plugins.specs import hookimpl
from .card import SimCard, SimCardConfig
from .clock import SimClock, SimClockConfig


class SimPlugin:
    """Offers the kinds ``sim-clock`` and ``sim-card``."""

    @hookimpl
    def register_clocks(self) -> Iterable[ClockKind[Any]]:
        """See `phasegraph.specs.register_clocks`."""
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
    def register_sinks(self) -> Iterable[SinkKind[Any]]:
        """See `phasegraph.specs.register_sinks`."""
        return [
            SinkKind(
                kind="sim-card",
                summary="A simulated sound card that runs at its own pace.",
                config=SimCardConfig,
                factory=SimCard,
                domain="device",
                example='[sinks.card]\nkind = "sim-card"\ninput = "stage"\ncompensator = "align"\n',
            )
        ]


sim_plugin = SimPlugin()
"""To be added to a registry: ``registry.add("sim", "0", sim_plugin)``."""
