"""Where the session description of a stream that we send goes: its file, and the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from phasegraph import Metric, NodeContext, NodeError
from phasegraph.net import Interface

from .description import Description
from .ravenna_publisher import RavennaPublisher
from .sap_announcer import Announcer
from .sap_sender import Announcements


class Publication:
    """Keeps what is published true."""

    def __init__(self, ctx: NodeContext, description: Description, path: str | None) -> None:
        """Publishes a first version. ``path`` is of its file, if it has one. Raises NodeError."""
        self._ctx = ctx
        self._local = ctx.local
        self._announcements = ctx.shared(Announcements)
        self._description = description
        self._path = path
        self._announcers: list[Announcer] = []
        self._ravenna: RavennaPublisher | None = None
        self._renew()

    def announce(self, interfaces: Sequence[Interface], seed: int) -> None:
        """Announce it from now on, by each of these interfaces. Raises NodeError."""
        for number, interface in enumerate(dict.fromkeys(interfaces)):
            announcer = self._announcements.open(interface, seed + number)
            self._announcers.append(announcer)
            announcer.announce(self._description.text(), self._local.now_ns())

    def change_interface(self, before: Interface, now: Interface) -> None:
        """Announce through ``now`` what was announced through ``before``. Raises NodeError."""
        self._announcements.change_interface(before, now)

    def update(self) -> None:
        """Publish the description anew if it is not true any more, and announce it if that is due. Raises NodeError."""
        if self._description.is_outdated():
            self._renew()
        for announcer in self._announcers:
            self._announcements.send_due(announcer)

    async def offer(self, name: str, interfaces: Sequence[Interface], port: int) -> None:
        """Offer it as a RAVENNA session of this name, until cancelled. Raises NodeError."""
        self._ravenna = RavennaPublisher(self._ctx, name, interfaces, port)
        self._ravenna.set_description(self._description.text())
        await self._ravenna.run()

    def metrics(self) -> dict[str, Metric]:
        """Figures of what is offered."""
        return {} if self._ravenna is None else self._ravenna.metrics()

    def withdraw(self) -> None:
        """Say on the network that the session is over."""
        while self._announcers:
            self._announcements.withdraw(self._announcers.pop())

    def _renew(self) -> None:
        now = self._local.now_ns()
        text = self._description.renew(now + self._local.realtime_offset_ns())
        if self._path is not None:
            _write(self._path, text)
        for announcer in self._announcers:
            announcer.announce(text, now)
        if self._ravenna is not None:
            self._ravenna.set_description(text)


def _write(path: str, text: str) -> None:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, newline="")
    except OSError as error:
        raise NodeError(f"cannot write {path}: {error.strerror}", option="sdp-out") from error
