"""Options of the ``file`` source and sink."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from phasegraph import Duration, InputFile, OutputFile, SampleRate, SinkConfig, SourceConfig

ContainerName = Literal["auto", "wav", "rf64", "w64", "flac", "aiff", "caf"]
SubtypeName = Literal["auto", "PCM_16", "PCM_24", "PCM_32", "FLOAT"]


class FileSourceConfig(SourceConfig, frozen=True, kw_only=True):
    """Options of a ``file`` source."""

    path: Annotated[InputFile, Meta(description="The audio file: WAV, RF64, W64, FLAC, AIFF, CAF, Ogg, MP3.")]
    loop: Annotated[bool, Meta(description="Start again at the end, without a gap, until the run stops.")] = False
    start: Annotated[Duration, Meta(description="Where in the file to start.", ge=0)] = 0
    duration: Annotated[Duration | None, Meta(description="How much of the file to play; to its end if left out.")] = (
        None
    )
    rate: Annotated[
        Annotated[SampleRate, Meta(ge=1000, le=768_000)] | None,
        Meta(description="Convert to this rate; the file's own, and no conversion, if left out."),
    ] = None


class FileSinkConfig(SinkConfig, frozen=True, kw_only=True):
    """Options of a ``file`` sink."""

    path: Annotated[
        OutputFile,
        Meta(
            description="The file to record to; missing folders are made. {start:%Y-%m-%dT%H%M%SZ} in it is the media "
            "time of its first frame, in UTC, by any directives of strftime."
        ),
    ]
    format: Annotated[
        ContainerName,
        Meta(description="Container; auto follows the path's suffix. A wav beyond 4 GiB becomes RF64."),
    ] = "auto"
    subtype: Annotated[
        SubtypeName,
        Meta(description="Samples; auto keeps the input's: PCM_16 for L16, PCM_24 for L24, otherwise FLOAT."),
    ] = "auto"
    overwrite: Annotated[
        bool,
        Meta(description="Replace an existing file. Without it an existing file is an error, before anything runs."),
    ] = False
    split: Annotated[
        Annotated[Duration, Meta(ge=1_000_000_000)] | None,
        Meta(
            description="Length of a file by media time: 1h begins a new file at every full hour. The path needs "
            "{start:...} then."
        ),
    ] = None
    utc_offset: Annotated[
        int,
        Meta(
            ge=-32768,
            le=32767,
            description="TAI less UTC in seconds: names, splits and time references are in UTC, PTP counts TAI.",
        ),
    ] = 37


FILE_SOURCE_EXAMPLE = """[sources.programme]
kind = "file"
path = "programme.wav"
"""
FILE_SINK_EXAMPLE = """[sinks.recording]
kind = "file"
input = "stage"
path = "recordings/stage.wav"
"""
