"""Phasegraph plugin: sound cards, audio files, a test tone, levels, and a sink that discards its
input.

What makes a node is imported when a graph has one: of kinds, the options are enough. libsndfile, PortAudio and libjack
are loaded when a node needs them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from phasegraph import hookimpl

if TYPE_CHECKING:
    import click

    from phasegraph import Build, Input, Sink, SinkKind, Source, SourceKind

    from .file.options import FileSinkConfig, FileSourceConfig
    from .http.options import HttpConfig
    from .meter.options import MeterConfig
    from .options import NullConfig, ToneConfig
    from .soundcard.options import SoundcardSinkConfig, SoundcardSourceConfig


@hookimpl
def register_sources() -> Iterable[SourceKind[Any]]:
    """The ``file``, ``soundcard`` and ``tone`` sources."""
    from phasegraph import SourceKind

    from .file.options import FILE_SOURCE_EXAMPLE, FileSourceConfig
    from .options import TONE_EXAMPLE, ToneConfig
    from .soundcard.options import SOUNDCARD_SOURCE_EXAMPLE, SoundcardSourceConfig

    return (
        SourceKind(
            kind="file",
            summary="Plays an audio file, integer files bit-exactly, or converts it to another rate.",
            config=FileSourceConfig,
            factory=_file_source,
            domain="none",
            example=FILE_SOURCE_EXAMPLE,
        ),
        SourceKind(
            kind="soundcard",
            summary="Records from a sound card, on the card's own clock.",
            config=SoundcardSourceConfig,
            factory=_soundcard_source,
            domain="device",
            example=SOUNDCARD_SOURCE_EXAMPLE,
        ),
        SourceKind(
            kind="tone",
            summary="A sine at an exact frequency and level, for lining up and measuring.",
            config=ToneConfig,
            factory=_tone_source,
            domain="none",
            example=TONE_EXAMPLE,
        ),
    )


@hookimpl
def register_sinks() -> Iterable[SinkKind[Any]]:
    """The ``file``, ``http``, ``meter``, ``null`` and ``soundcard`` sinks."""
    from phasegraph import SinkKind

    from .file.options import FILE_SINK_EXAMPLE, FileSinkConfig
    from .http.options import HTTP_EXAMPLE, HttpConfig
    from .meter.options import METER_EXAMPLE, MeterConfig
    from .options import NULL_EXAMPLE, NullConfig
    from .soundcard.options import SOUNDCARD_SINK_EXAMPLE, SoundcardSinkConfig

    return (
        SinkKind(
            kind="file",
            summary="Records to an audio file, bit-exactly; survives a stalled disk and a crash.",
            config=FileSinkConfig,
            factory=_file_sink,
            domain="none",
            example=FILE_SINK_EXAMPLE,
        ),
        SinkKind(
            kind="http",
            summary="Serves its input as FLAC, Opus and WAV by HTTP, for players and browsers.",
            config=HttpConfig,
            factory=_http_sink,
            domain="none",
            example=HTTP_EXAMPLE,
        ),
        SinkKind(
            kind="meter",
            summary="Measures peaks, loudness and phase; alarms for silence, overload and a stuck sample.",
            config=MeterConfig,
            factory=_meter_sink,
            domain="none",
            example=METER_EXAMPLE,
        ),
        SinkKind(
            kind="null",
            summary="Reads every frame that is due and discards it.",
            config=NullConfig,
            factory=_null_sink,
            domain="none",
            example=NULL_EXAMPLE,
        ),
        SinkKind(
            kind="soundcard",
            summary="Plays on a sound card, each frame at its time.",
            config=SoundcardSinkConfig,
            factory=_soundcard_sink,
            domain="device",
            example=SOUNDCARD_SINK_EXAMPLE,
        ),
    )


@hookimpl
def register_commands(cli: click.Group) -> None:
    """The command ``devices``."""
    from .soundcard.devices import devices

    cli.add_command(devices)


def _file_source(config: FileSourceConfig, build: Build) -> Source:
    from .file.file_source import make

    return make(config, build)


def _soundcard_source(config: SoundcardSourceConfig, build: Build) -> Source:
    from .soundcard.soundcard_source import make

    return make(config, build)


def _tone_source(config: ToneConfig, build: Build) -> Source:
    from .tone import make

    return make(config, build)


def _file_sink(config: FileSinkConfig, build: Build, input: Input) -> Sink:
    from .file.file_sink import make

    return make(config, build, input)


def _http_sink(config: HttpConfig, build: Build, input: Input) -> Sink:
    from .http.http_sink import make

    return make(config, build, input)


def _meter_sink(config: MeterConfig, build: Build, input: Input) -> Sink:
    from .meter.meter_sink import make

    return make(config, build, input)


def _null_sink(config: NullConfig, build: Build, input: Input) -> Sink:
    from .null import make

    return make(config, build, input)


def _soundcard_sink(config: SoundcardSinkConfig, build: Build, input: Input) -> Sink:
    from .soundcard.soundcard_sink import make

    return make(config, build, input)
