"""Phasegraph's other ends: audio files, a test tone, and a sink that throws everything away.

The modules behind the kinds are imported when the kernel asks for them; libsndfile only when a node is made that
uses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from phasegraph import SinkKind, SourceKind, hookimpl


@hookimpl
def register_sources() -> Iterable[SourceKind[Any]]:
    """The ``file`` and ``tone`` sources."""
    from . import file_source, tone

    return (file_source.KIND, tone.KIND)


@hookimpl
def register_sinks() -> Iterable[SinkKind[Any]]:
    """The ``file`` and ``null`` sinks."""
    from . import file_sink, null

    return (file_sink.KIND, null.KIND)
