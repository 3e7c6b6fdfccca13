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

    from phasegraph import SinkKind, SourceKind


@hookimpl
def register_sources() -> Iterable[SourceKind[Any]]:
    """The ``file``, ``soundcard`` and ``tone`` sources."""
    from phasegraph import SourceKind, call_imported

    from .file.options import FILE_SOURCE_EXAMPLE, FileSourceConfig
    from .options import TONE_EXAMPLE, ToneConfig
    from .soundcard.options import SOUNDCARD_SOURCE_EXAMPLE, SoundcardSourceConfig

    return (
        SourceKind(
            kind="file",
            summary="Plays an audio file, integer files bit-exactly, or converts it to another rate.",
            config=FileSourceConfig,
            factory=call_imported("phasegraph_sinks.file.file_source:make"),
            domain="none",
            example=FILE_SOURCE_EXAMPLE,
        ),
        SourceKind(
            kind="soundcard",
            summary="Records from a sound card, on the card's own clock.",
            config=SoundcardSourceConfig,
            factory=call_imported("phasegraph_sinks.soundcard.soundcard_source:SoundcardSource"),
            domain="device",
            example=SOUNDCARD_SOURCE_EXAMPLE,
        ),
        SourceKind(
            kind="tone",
            summary="A sine at an exact frequency and level, for lining up and measuring.",
            config=ToneConfig,
            factory=call_imported("phasegraph_sinks.tone:make"),
            domain="none",
            example=TONE_EXAMPLE,
        ),
    )


@hookimpl
def register_sinks() -> Iterable[SinkKind[Any]]:
    """The ``file``, ``http``, ``meter``, ``null`` and ``soundcard`` sinks."""
    from phasegraph import SinkKind, call_imported

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
            factory=call_imported("phasegraph_sinks.file.file_sink:make"),
            domain="none",
            example=FILE_SINK_EXAMPLE,
        ),
        SinkKind(
            kind="http",
            summary="Serves its input as FLAC, Opus and WAV by HTTP, for players and browsers.",
            config=HttpConfig,
            factory=call_imported("phasegraph_sinks.http.http_sink:make"),
            domain="none",
            example=HTTP_EXAMPLE,
        ),
        SinkKind(
            kind="meter",
            summary="Measures peaks, loudness and phase; alarms for silence, overload and a stuck sample.",
            config=MeterConfig,
            factory=call_imported("phasegraph_sinks.meter.meter_sink:MeterSink"),
            domain="none",
            example=METER_EXAMPLE,
        ),
        SinkKind(
            kind="null",
            summary="Reads every frame that is due and discards it.",
            config=NullConfig,
            factory=call_imported("phasegraph_sinks.null:NullSink"),
            domain="none",
            example=NULL_EXAMPLE,
        ),
        SinkKind(
            kind="soundcard",
            summary="Plays on a sound card, each frame at its time.",
            config=SoundcardSinkConfig,
            factory=call_imported("phasegraph_sinks.soundcard.soundcard_sink:SoundcardSink"),
            domain="device",
            example=SOUNDCARD_SINK_EXAMPLE,
        ),
    )


@hookimpl
def register_commands(cli: click.Group) -> None:
    """The command ``devices``."""
    from .soundcard.devices import devices

    cli.add_command(devices)
