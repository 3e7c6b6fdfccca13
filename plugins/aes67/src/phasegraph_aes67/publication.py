"""Where the session description of a stream that we send goes: its file, and the network."""

from __future__ import annotations

from pathlib import Path

from phasegraph import NodeContext, NodeError
from phasegraph.net import Interface

from .announce import Announcer
from .announcing import Announcements
from .description import Description


class Publication:
    """Keeps what is published true."""

    def __init__(self, ctx: NodeContext, description: Description, path: str | None) -> None:
        """``path`` is of its file, if it has one."""
        self._ctx = ctx
        self._description = description
        self._path = path
        self._announcements: Announcements | None = None
        self._announcer: Announcer | None = None

    def announce(self, announcements: Announcements, interface: Interface, seed: int) -> None:
        """Announce it from now on. Raises NodeError."""
        self._announcements = announcements
        self._announcer = announcements.open(interface, seed)
        self._announcer.announce(self._description.text(), self._ctx.local.now_ns())

    def look(self) -> None:
        """Publish the description if it has changed, and announce it if that is due. Raises NodeError."""
        local = self._ctx.local
        now = local.now_ns()
        text = self._description.renewed(now + local.realtime_offset_ns())
        if text is not None:
            if self._path is not None:
                _write(self._path, text)
            if self._announcer is not None:
                self._announcer.announce(text, now)
        if self._announcements is not None and self._announcer is not None:
            self._announcements.send_due(self._announcer)

    def withdraw(self) -> None:
        """Say on the network that the session is over."""
        if self._announcements is not None and self._announcer is not None:
            self._announcements.withdraw(self._announcer)


def _write(path: str, text: str) -> None:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, newline="")
    except OSError as error:
        raise NodeError(f"cannot write {path}: {error.strerror}", option="sdp-out") from error
