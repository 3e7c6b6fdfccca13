"""Options of the server in place of nqptp, airptp and cliairplay."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .mapped_file import DIRECTORY
from .senders.cliairplay import CONTROL_PORT


class NqptpServerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of the server."""

    interface: str
    names: Sequence[str] = ("/nqptp",)
    filter: str = "envelope"
    event_port: int = 319
    general_port: int = 320
    control_port: int = 9000
    directory: str = DIRECTORY
    serve_nqptp: bool = True
    """Whether receivers are served."""
    serve_airptp: bool = False
    """Whether OwnTone's senders are served too."""
    serve_cliairplay: bool = False
    """Whether Music Assistant's senders are served too."""
    sender_control_port: int = CONTROL_PORT
    sessions: str | None = None
    """Path of the Unix socket of sessions; None for no socket."""
    state: str | None = None
    """Folder in which the names of clients are kept over a restart of the system; None keeps none."""
