"""Options of the ``http`` sink."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from phasegraph import InputFile, SinkConfig


class HttpConfig(SinkConfig, frozen=True, kw_only=True):
    """Options of an ``http`` sink."""

    port: Annotated[int, Meta(description="TCP port; 0 is any free one, which the report names.", ge=0, le=65535)] = (
        8430
    )
    address: Annotated[
        str,
        Meta(
            description="Address to listen on. Where it is not 127.0.0.1, others than this computer can listen, with "
            "the password."
        ),
    ] = "127.0.0.1"
    password_file: Annotated[
        InputFile | None,
        Meta(
            description="File whose first line is the password of listeners, with any user name; at least 12 "
            "characters. An address that others reach needs one."
        ),
    ] = None
    hosts: Annotated[
        tuple[str, ...],
        Meta(description="Names by which listeners reach this computer, beside its addresses and localhost."),
    ] = ()
    listeners: Annotated[int, Meta(description="Most listeners at a time.", ge=1, le=64)] = 8


HTTP_EXAMPLE = """[sinks.listen]
kind = "http"
input = "stage"
"""
