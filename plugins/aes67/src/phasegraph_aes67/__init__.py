"""AES67 streams in and out.

The way in: ``source`` (the node) -> ``receive_hub`` (sockets) -> ``receive`` (arrays of packets, sans-IO) -> the
stream's ring. The way out: ``sink`` (the node) -> ``send`` (schedule, rows of packets, sockets).
Neither is imported before a graph has one: of kinds, the options are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from phasegraph import hookimpl

if TYPE_CHECKING:
    import click

    from phasegraph import OfferedSession, TransportKind


@hookimpl
def register_transports() -> Iterable[TransportKind]:
    """The ``aes67`` transport."""
    from phasegraph import SinkKind, SourceKind, TransportKind, call_imported

    from .options import SINK_EXAMPLE, SOURCE_EXAMPLE, Aes67SinkConfig, Aes67SourceConfig

    return [
        TransportKind(
            kind="aes67",
            summary="AES67 streams: RTP audio whose timestamps are a shared clock's.",
            receiver=SourceKind(
                kind="aes67",
                summary="Receives an AES67 stream and plays it at its timestamps plus the link offset.",
                config=Aes67SourceConfig,
                factory=call_imported("phasegraph_aes67.source:Aes67Source"),
                example=SOURCE_EXAMPLE,
            ),
            sender=SinkKind(
                kind="aes67",
                summary="Sends an AES67 stream, evenly paced by its clock.",
                config=Aes67SinkConfig,
                factory=call_imported("phasegraph_aes67.sink:Aes67Sink"),
                example=SINK_EXAMPLE,
            ),
        )
    ]


@hookimpl
def session_description_parser() -> Callable[[str], OfferedSession]:
    """The tolerant reader of session descriptions, for programs that hand streams to a run."""
    from .session_offers import offer_of

    return offer_of


@hookimpl
def register_commands(cli: click.Group) -> None:
    """``kernel sdp`` and ``kernel discover``."""
    from .sdp_command import sdp_command
    from .session.discover import discover_command

    cli.add_command(sdp_command)
    cli.add_command(discover_command)
