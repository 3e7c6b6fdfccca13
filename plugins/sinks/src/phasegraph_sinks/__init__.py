"""Phasegraph plugin: sound cards, audio files, a test tone, levels, and a sink that discards its
input.

The modules of the kinds are imported when the kernel asks for the kinds; libsndfile, PortAudio and libjack when a node
needs them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from phasegraph import SinkKind, SourceKind, hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def register_sources() -> Iterable[SourceKind[Any]]:
    """The ``file``, ``soundcard`` and ``tone`` sources."""
    from . import tone
    from .file import file_source
    from .soundcard import soundcard_source

    return (file_source.KIND, soundcard_source.KIND, tone.KIND)


@hookimpl
def register_sinks() -> Iterable[SinkKind[Any]]:
    """The ``file``, ``http``, ``meter``, ``null`` and ``soundcard`` sinks."""
    from . import null
    from .file import file_sink
    from .http import http_sink
    from .meter import meter_sink
    from .soundcard import soundcard_sink

    return (file_sink.KIND, http_sink.KIND, meter_sink.KIND, null.KIND, soundcard_sink.KIND)


@hookimpl
def register_commands(cli: click.Group) -> None:
    """The command ``devices``."""
    from .soundcard.devices import devices

    cli.add_command(devices)
