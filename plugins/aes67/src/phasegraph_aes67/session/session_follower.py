"""A source that is named by its session: looks at what is announced, and is told where to listen."""

from __future__ import annotations

from collections.abc import Callable

from phasegraph import NS_PER_S, NodeContext, NodeError, StreamFormat
from phasegraph.net import Interface

from .. import sdp
from .mdns import MulticastDns
from .ravenna_session import RavennaSession
from .sap_listener import Browser
from .session_lookup import NamedSession, announced

PATIENCE_NS = 10 * NS_PER_S
"""So long a session may be looked for before it is said that RAVENNA's way is not there."""


class SessionFollower:
    """Tunes a source to a session as it comes, changes and goes, by SAP and by RAVENNA's mDNS and RTSP."""

    def __init__(
        self,
        ctx: NodeContext,
        browser: Browser,
        name: str,
        format: StreamFormat,
        tune: Callable[[sdp.SessionDescription], None],
    ) -> None:
        """``tune`` begins to receive what a description says; where it raises NodeError, it is tried again."""
        self._ctx = ctx
        self._browser = browser
        self._named = NamedSession(name, format)
        self._ravenna = RavennaSession(name)
        self._tune = tune
        self._seen = (-1, -1)
        self._wanted: sdp.SessionDescription | None = None
        self._reason = self._problem = self._without = ""
        ctx.event("waiting_for_session", session=name)

    @property
    def state(self) -> str:
        """What is followed, or waited for, in words."""
        return self._named.state + (
            "" if self._named.found or not self._without else f", by SAP alone: {self._without}"
        )

    async def look_for_ravenna(self, interface: Interface) -> None:
        """Look for it as a RAVENNA session, until cancelled; says so if that is not possible and it is not found."""
        if self._ctx.local.virtual:
            return  # there is no mDNS in a simulation
        try:
            sightings = await self._ctx.shared(MulticastDns).sightings(interface)
        except (ImportError, OSError) as error:
            self._without = getattr(error, "strerror", None) or str(error)
            await self._ctx.sleep(PATIENCE_NS)
            if not self._named.found:
                self._ctx.event("ravenna_unavailable", reason=self._without)
        else:
            await self._ravenna.follow(sightings)

    def look(self) -> None:
        """Take in what has been announced since the last look."""
        self._browser.look()
        table, ravenna = self._browser.table, self._ravenna
        if (table.changes, ravenna.changes) != self._seen:
            self._seen = table.changes, ravenna.changes
            offers = [announced(session) for session in table]
            for told in self._named.look(offers if ravenna.offer is None else [*offers, ravenna.offer]):
                self._ctx.event(told.event, **told.fields)
                self._wanted = told.session or self._wanted
            if ravenna.problem not in ("", self._problem):
                self._ctx.event("session_unusable", session=self._named.name, reason=ravenna.problem)
            self._problem = ravenna.problem
        if self._wanted is not None:
            try:
                self._tune(self._wanted)
            except NodeError as error:
                if str(error) != self._reason:
                    self._reason = str(error)
                    self._ctx.event("session_unusable", session=self._wanted.name, reason=self._reason)
            else:
                self._wanted, self._reason = None, ""
