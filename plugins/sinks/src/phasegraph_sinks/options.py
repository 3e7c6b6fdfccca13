"""Options of the ``tone`` source and the ``null`` sink."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from phasegraph import Duration, Frequency, Level, Live, SampleRate, SinkConfig, SourceConfig


class ToneConfig(SourceConfig, frozen=True, kw_only=True):
    """Options of a ``tone`` source."""

    frequency: Annotated[
        Frequency, Meta(description="Frequency of the sine; below half the rate. 997 Hz visits every code.", gt=0)
    ] = 997.0
    level: Annotated[
        Level,
        Meta(description="Level of a full cycle: 0 dBFS is a sine whose peaks reach full scale.", le=0),
        Live("within 2 s, for it is computed so far ahead"),
    ] = -20.0
    rate: Annotated[SampleRate, Meta(description="Frames per second.", ge=1000, le=768_000)] = 48_000
    channels: Annotated[int, Meta(description="Number of channels; all carry the same.", ge=1, le=1024)] = 2
    duration: Annotated[Duration | None, Meta(description="Length of the tone; endless if left out.")] = None


class NullConfig(SinkConfig, frozen=True, kw_only=True):
    """Options of a ``null`` sink."""

    meter: Annotated[bool, Meta(description="Measure the samples' peak; costs a little.")] = False


TONE_EXAMPLE = """[sources.line-up]
kind = "tone"
frequency = "997Hz"
level = "-20dBFS"
"""
NULL_EXAMPLE = """[sinks.nowhere]
kind = "null"
input = "stage"
meter = true
"""
