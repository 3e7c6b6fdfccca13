"""Options of the ``http`` sink."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from phasegraph import SinkConfig


class HttpConfig(SinkConfig, frozen=True, kw_only=True):
    """Options of an ``http`` sink."""

    port: Annotated[int, Meta(description="TCP port; 0 is any free one, which the report names.", ge=0, le=65535)] = (
        8430
    )
    address: Annotated[
        str, Meta(description="Address to listen on. Others than this computer can listen where it is not 127.0.0.1.")
    ] = "127.0.0.1"
    hosts: Annotated[
        tuple[str, ...],
        Meta(description="Names by which listeners reach this computer, beside its addresses and localhost."),
    ] = ()
    listeners: Annotated[int, Meta(description="Most listeners at a time.", ge=1, le=64)] = 8


HTTP_EXAMPLE = """[sinks.listen]
kind = "http"
input = "stage"
"""
