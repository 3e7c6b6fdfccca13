"""Options of the ``soundcard`` sink and source, as a graph writes them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from phasegraph import NS_PER_S, Duration, Live, NodeError, SampleRate, SinkConfig, SourceConfig

BUFFER_NS = 10_000_000
Device = Annotated[
    str | int | None,
    Meta(description="The card: its name, a part of it, or its number in `kernel devices`; the default if left out."),
]
_LATENCY = "Latency requested of the driver; the one that it considers safe if left out."
_LatencyDuration = Annotated[Duration, Meta(ge=0, le=2_000_000_000)]
Block = Annotated[
    int,
    Meta(description="Frames of a callback; 0 for the card's own period, whose times are best.", ge=0, le=16384),
]


class SoundcardSourceConfig(SourceConfig, frozen=True, kw_only=True):
    """Options of a ``soundcard`` source."""

    device: Device = None
    rate: Annotated[
        SampleRate, Meta(description="Frames per second, of those that the card has.", ge=1000, le=768_000)
    ] = 48_000
    channels: Annotated[int, Meta(description="Number of channels, from the card's first.", ge=1, le=1024)] = 2
    link_offset: Annotated[
        Duration,
        Meta(
            description="How long after its capture a frame sounds: time for the driver, and for the sinks.",
            ge=0,
            le=NS_PER_S,
        ),
        Live("at a frame; the sinks repeat the difference, or leave it out"),
    ] = 100_000_000
    latency: Annotated[_LatencyDuration | None, Meta(description=_LATENCY)] = None
    block: Block = 0


class SoundcardSinkConfig(SinkConfig, frozen=True, kw_only=True):
    """Options of a ``soundcard`` sink."""

    device: Device = None
    rate: Annotated[
        Annotated[SampleRate, Meta(ge=1000, le=768_000)] | None,
        Meta(description="Frames per second; the input's, which the card must support: nothing is converted."),
    ] = None
    channels: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None,
        Meta(description="Channels to open; the input's if left out. Further channels are silent."),
    ] = None
    latency: Annotated[
        _LatencyDuration | Literal["lowest"] | None,
        Meta(description=f"{_LATENCY} With `lowest` the least, and the least buffer that holds is found."),
    ] = None
    block: Block = 0
    buffer: Annotated[
        Duration,
        Meta(
            description="What lies ready beyond the callback's next block; at least this much in all.",
            ge=0,
            le=500_000_000,
        ),
    ] = BUFFER_NS

    def __post_init__(self) -> None:
        if self.latency == "lowest" and self.buffer != BUFFER_NS:
            raise NodeError(
                'buffer is what latency = "lowest" finds',
                "leave buffer out, or give latency a duration",
                option="buffer",
            )


SOUNDCARD_SOURCE_EXAMPLE = """[sources.microphone]
kind = "soundcard"
device = "USB Audio"
channels = 1
"""
SOUNDCARD_SINK_EXAMPLE = """[sinks.speakers]
kind = "soundcard"
input = "stage"
compensator = "align"
device = "USB Audio"
"""
