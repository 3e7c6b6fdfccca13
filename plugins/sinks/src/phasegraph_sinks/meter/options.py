"""Options of the ``meter`` sink."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from phasegraph import Duration, Level, SinkConfig


class MeterConfig(SinkConfig, frozen=True, kw_only=True):
    """Options of a ``meter`` sink."""

    loudness: Annotated[
        Literal["auto", "mono", "stereo", "5.1", "none"],
        Meta(
            description="Channels whose loudness is measured, from the first; auto is stereo, or mono of one channel. "
            "5.1 is L R C LFE Ls Rs."
        ),
    ] = "auto"
    true_peak: Annotated[bool, Meta(description="Measure the peak between samples too.")] = True
    silence_below: Annotated[Level, Meta(description="Peaks below this are silence.", ge=-200, le=0)] = -60.0
    silence_after: Annotated[
        Duration, Meta(description="How long silence lasts, or no frame comes, before the alarm.", ge=1_000_000_000)
    ] = 10_000_000_000
    overload_level: Annotated[
        Level, Meta(description="Three samples in a row at or above this are an overload.", ge=-60, le=0)
    ] = -0.01
    stuck_after: Annotated[
        Duration,
        Meta(description="How long a channel repeats one sample that is not zero before the alarm.", ge=500_000_000),
    ] = 1_000_000_000


METER_EXAMPLE = """[sinks.levels]
kind = "meter"
input = "stage"
silence-after = "30s"
"""
