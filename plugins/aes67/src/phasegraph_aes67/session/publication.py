"""Publishing the session description of a stream that we send: to its file, and on the network."""

from __future__ import annotations

import os
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
        self._unwritten = False
        """Whether the file lacks the newest version."""
        self._write_problem = ""
        self._announcers: list[SapAnnouncer] = []
        self._ravenna: RavennaPublisher | None = None
        self._publish_version(first=True)

    def announce(self, interfaces: Sequence[Interface], seed: int) -> None:
        """Announce it from now on, by each of these interfaces. Raises NodeError."""
        for number, interface in enumerate(dict.fromkeys(interfaces)):
            announcer = self._sap_sender.add_announcer(interface, seed + number)
            self._announcers.append(announcer)
            announcer.announce(self._description.text(), self._local.now_ns())

    def change_interface(self, before: Interface, now: Interface) -> None:
        """Announce and offer through ``now`` what was published through ``before``. Raises NodeError."""
        self._sap_sender.move_announcements(before, now)
        if self._ravenna is not None:
            self._ravenna.change_interface(before, now)

    def change_path(self, path: str | None) -> None:
        """Write it to this file from now on, or to none. The file before stays as it is."""
        if path != self._path:
            self._path, self._unwritten = path, path is not None

    def refresh(self) -> None:
        """Publish a new version where the description has changed; announce it where that is due. Raises NodeError."""
        if self._description.is_outdated():
            self._publish_version()
        elif self._unwritten:
            self._write_file()
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

    def _publish_version(self, *, first: bool = False) -> None:
        now = self._local.now_ns()
        text = self._description.new_version(now + self._local.realtime_offset_ns())
        self._unwritten = self._path is not None
        self._write_file(first=first)
        for announcer in self._announcers:
            announcer.announce(text, now)
        if self._ravenna is not None:
            self._ravenna.set_description(text)

    def _write_file(self, *, first: bool = False) -> None:
        # A file that cannot be written is an error at the start. Later it is an event, and is tried again: the stream
        # goes on.
        if self._path is None:
            return
        try:
            _replace_file(Path(self._path), self._description.text())
        except OSError as error:
            reason = f"cannot write {self._path}: {error.strerror or error}"
            if first:
                raise NodeError(reason, option="sdp-out") from error
            if reason != self._write_problem:
                self._ctx.event("sdp_not_written", reason=reason)
            self._write_problem = reason
        else:
            self._unwritten, self._write_problem = False, ""


def _replace_file(path: Path, text: str) -> None:
    # In one step, so that no reader finds half of it.
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.resolve()
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, newline="")
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
