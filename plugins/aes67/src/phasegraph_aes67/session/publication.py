"""Publishing the session description of a stream that we send: to its file, and on the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from phasegraph import Metric, NodeContext, NodeError
from phasegraph.net import Interface

from .local_description import LocalDescription
from .ravenna_publisher import RavennaPublisher
from .sap_announcer import SapAnnouncer
from .sap_sender import SapSender


class Publication:
    """Keeps the published description up to date."""

    def __init__(self, ctx: NodeContext, description: LocalDescription, path: str | None) -> None:
        """Publishes a first version. ``path`` is of its file, if it has one. Raises NodeError."""
        self._ctx = ctx
        self._local = ctx.local
        self._sap_sender = ctx.shared(SapSender)
        self._description = description
        self._path = path
        self._announcers: list[SapAnnouncer] = []
        self._ravenna: RavennaPublisher | None = None
        self._publish_version()

    def announce(self, interfaces: Sequence[Interface], seed: int) -> None:
        """Announce it from now on, by each of these interfaces. Raises NodeError."""
        for number, interface in enumerate(dict.fromkeys(interfaces)):
            announcer = self._sap_sender.add_announcer(interface, seed + number)
            self._announcers.append(announcer)
            announcer.announce(self._description.text(), self._local.now_ns())

    def change_interface(self, before: Interface, now: Interface) -> None:
        """Announce through ``now`` what was announced through ``before``. Raises NodeError."""
        self._sap_sender.move_announcements(before, now)

    def refresh(self) -> None:
        """Publish a new version where the description has changed; announce it where that is due. Raises NodeError."""
        if self._description.is_outdated():
            self._publish_version()
        for announcer in self._announcers:
            self._sap_sender.send_due(announcer)

    async def publish_ravenna(self, name: str, interfaces: Sequence[Interface], port: int) -> None:
        """Publish it as a RAVENNA session of this name, until cancelled. Raises NodeError."""
        self._ravenna = RavennaPublisher(self._ctx, name, interfaces, port)
        self._ravenna.set_description(self._description.text())
        await self._ravenna.run()

    def metrics(self) -> dict[str, Metric]:
        """Figures of the RAVENNA session, if there is one."""
        return {} if self._ravenna is None else self._ravenna.metrics()

    def withdraw(self) -> None:
        """Announce that the session has ended."""
        while self._announcers:
            self._sap_sender.withdraw(self._announcers.pop())

    def _publish_version(self) -> None:
        now = self._local.now_ns()
        text = self._description.new_version(now + self._local.realtime_offset_ns())
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
