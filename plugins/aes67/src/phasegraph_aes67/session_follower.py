"""A source that is named by its session: looks at the announcements, and is told where to listen."""

from __future__ import annotations

from collections.abc import Callable

from phasegraph import NodeContext, NodeError, StreamFormat

from . import sdp
from .browse import Browser
from .named_session import NamedSession


class SessionFollower:
    """Tunes a source to a session as it comes, changes and goes."""

    def __init__(
        self,
        ctx: NodeContext,
        browser: Browser,
        name: str,
        format: StreamFormat,
        tune: Callable[[sdp.Session], None],
    ) -> None:
        """``tune`` begins to receive what a description says; where it raises NodeError, it is tried again."""
        self._ctx = ctx
        self._browser = browser
        self._named = NamedSession(name, format)
        self._tune = tune
        self._seen = -1
        self._wanted: sdp.Session | None = None
        self._reason = ""
        ctx.event("waiting_for_session", session=name)

    @property
    def state(self) -> str:
        """What is followed, or waited for, in words."""
        return self._named.state

    def look(self) -> None:
        """Take in what has been announced since the last look."""
        self._browser.look()
        table = self._browser.table
        if table.changes != self._seen:
            self._seen = table.changes
            for told in self._named.look(table):
                self._ctx.event(told.event, **told.fields)
                self._wanted = told.session or self._wanted
        if self._wanted is not None:
            try:
                self._tune(self._wanted)
            except NodeError as error:
                if str(error) != self._reason:
                    self._reason = str(error)
                    self._ctx.event("session_unusable", session=self._wanted.name, reason=self._reason)
            else:
                self._wanted, self._reason = None, ""
