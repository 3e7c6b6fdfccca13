"""Listening to session announcements (SAP), on both groups."""

from __future__ import annotations

from collections import Counter

from phasegraph import LocalClock, NodeContext, NodeError
from phasegraph.net import Interface, Network

from . import sap

PACKET_BYTES = 8192


class Browser:
    """Keeps the table of what is announced on one interface, as often as somebody looks."""

    def __init__(self, network: Network, local: LocalClock, interface: Interface) -> None:
        """Raises OSError where it cannot listen."""
        self.table = sap.SessionTable()
        self.refused: Counter[str] = Counter()
        """Packets that were no announcements, by reason."""
        self._local = local
        self._receiver = network.receiver(sap.PORT, batch=64, packet_bytes=PACKET_BYTES)
        for group in sap.GROUPS:
            self._receiver.join(group, interface)

    def look(self) -> list[sap.Change]:
        """What has changed since the last look."""
        now = self._local.now_ns()
        changes = self.table.expire(now)
        batch = self._receiver.receive()
        for row in range(batch.count):
            length = int(batch.length[row])
            try:
                if length < 0:
                    raise sap.MalformedSap(sap.Reason.TRUNCATED, "longer than a datagram that is looked at")
                change = self.table.heard(sap.decode(bytes(batch.data[row, :length])), now)
            except sap.MalformedSap as refusal:
                self.refused[refusal.reason.value] += 1
                continue
            if change is not None:
                changes.append(change)
        return changes

    def close(self) -> None:
        """Stop listening."""
        self._receiver.close()


class Browsers:
    """The browsers of a run, one per interface. Shared by the ``aes67`` sources that are named by their session."""

    def __init__(self, ctx: NodeContext) -> None:
        self._network = ctx.network
        self._local = ctx.local
        self._browsers: dict[Interface, Browser] = {}

    def on(self, interface: Interface) -> Browser:
        """The browser of an interface. Raises NodeError."""
        if interface not in self._browsers:
            try:
                self._browsers[interface] = Browser(self._network, self._local, interface)
            except OSError as error:
                raise NodeError(
                    f"cannot listen to session announcements: {error.strerror or error}",
                    "name the interface with the option interface",
                    option="session",
                ) from error
        return self._browsers[interface]

    def close(self) -> None:
        """Stop listening."""
        for browser in self._browsers.values():
            browser.close()
