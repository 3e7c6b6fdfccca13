"""A source that is named by its session: polls what is announced, and receives it where it is sent to."""

from __future__ import annotations

from collections.abc import Callable

from phasegraph import NS_PER_S, Metric, NodeContext, StreamFormat
from phasegraph.net import Interface

from .. import sdp
from . import sap
from .mdns import MulticastDns
from .ravenna_session import RavennaSession
from .sap_listener import SapListener
from .session_lookup import SessionLookup, sap_offer

PATIENCE_NS = 10 * NS_PER_S
"""How long a session may be missing before an event states that RAVENNA's way is not available."""
EVENT_BURST = {"session_unusable": 5, "session_disputed": 5}
OTHER_EVENT_BURST = 20
EVENT_INTERVAL_NS = 10 * NS_PER_S
"""Strangers can cause every event: of each kind there is a burst, then one in each interval. Others are counted."""


class SessionFollower:
    """Has a source receive a session as it appears, changes and goes, by SAP and by RAVENNA's mDNS and RTSP."""

    def __init__(
        self,
        ctx: NodeContext,
        listener: SapListener,
        name: str,
        format: StreamFormat,
        receive_session: Callable[[sdp.SessionDescription], None],
    ) -> None:
        """``receive_session`` starts to receive what a description describes; where it raises, it is called again."""
        self._ctx = ctx
        self._listener = listener
        self._lookup = SessionLookup(name, format)
        self._ravenna = RavennaSession(name)
        self._receive_session = receive_session
        self._seen = (-1, -1)
        self._wanted: sdp.SessionDescription | None = None
        self._reason = self._ravenna_problem = self._no_ravenna = self._suggestion = ""
        self._disputed: set[tuple[str, str]] = set()
        self._budgets: dict[str, tuple[int, int]] = {}
        """Of each kind of event: how many are left, and since when."""
        self._suppressed = 0
        ctx.event("waiting_for_session", session=name)

    @property
    def state(self) -> str:
        """What is followed or waited for, as a sentence."""
        no_ravenna = "" if self._lookup.found or not self._no_ravenna else f", by SAP alone: {self._no_ravenna}"
        return self._lookup.state + no_ravenna

    @property
    def trouble(self) -> str:
        """Why there is no session to receive; empty where there is one."""
        if self._lookup.found:
            return self._reason
        return f"{self.state}; devices repeat their announcements every 30 s or so"

    async def run_ravenna(self, interface: Interface) -> None:
        """Keep the RAVENNA session of this name up to date, until cancelled."""
        if self._ctx.local.virtual:
            return  # there is no mDNS in a simulation
        try:
            browser = await self._ctx.shared(MulticastDns).browser(interface)
        except (ImportError, OSError) as error:
            self._no_ravenna = getattr(error, "strerror", None) or str(error)
            await self._ctx.sleep(PATIENCE_NS)
            if not self._lookup.found:
                self._ctx.event("ravenna_unavailable", reason=self._no_ravenna)
        else:
            await self._ravenna.run(browser)

    def poll_session(self) -> None:
        """Apply what has been announced since the last call."""
        changes = self._listener.poll()
        self._report_disputes([change.session for change in changes if change.kind == "disputed"])
        table, ravenna = self._listener.table, self._ravenna
        if (table.changes, ravenna.changes) != self._seen:
            self._seen = table.changes, ravenna.changes
            offers = [sap_offer(session) for session in table]
            for event in self._lookup.update_offers(offers if ravenna.offer is None else [*offers, ravenna.offer]):
                self._emit_event(event.name, event.fields)
                self._wanted = event.description or self._wanted
            suggestion = self._lookup.suggestion
            if suggestion not in ("", self._suggestion):
                self._emit_event("session_misnamed", {"session": self._lookup.name, "reason": suggestion})
            self._suggestion = suggestion
            if ravenna.problem not in ("", self._ravenna_problem):
                self._unusable(ravenna.problem)
            self._ravenna_problem = ravenna.problem
        if self._wanted is not None:
            try:
                self._receive_session(self._wanted)
            except Exception as error:  # whatever a remote description causes is that session's trouble
                reason = str(error) or type(error).__name__
                if reason != self._reason:
                    self._reason = reason
                    self._unusable(reason)
            else:
                self._wanted, self._reason = None, ""

    def _unusable(self, reason: str) -> None:
        self._emit_event("session_unusable", {"session": self._lookup.name, "reason": reason})

    def _report_disputes(self, sessions: list[sap.AnnouncedSession]) -> None:
        # Once for each host that announces the session of another host.
        for session in sessions:
            host = session.origin, session.source
            if session.key != self._lookup.current_key or host in self._disputed:
                continue
            if len(self._disputed) >= sap.MAX_SESSIONS:
                self._disputed.clear()
            self._disputed.add(host)
            fields: dict[str, Metric] = {
                "session": self._lookup.name,
                "disputed_by": session.origin,
                "sent_from": session.source,
                "version": session.version,
            }
            self._emit_event("session_disputed", fields)

    def _emit_event(self, name: str, fields: dict[str, Metric]) -> None:
        now_ns = self._ctx.local.now_ns()
        burst = EVENT_BURST.get(name, OTHER_EVENT_BURST)
        left, since_ns = self._budgets.get(name, (burst, now_ns))
        earned = (now_ns - since_ns) // EVENT_INTERVAL_NS
        left = min(burst, left + earned)
        self._budgets[name] = max(0, left - 1), since_ns + earned * EVENT_INTERVAL_NS
        if left == 0:
            self._suppressed += 1
            return
        suppressed: dict[str, Metric] = {"suppressed": self._suppressed} if self._suppressed else {}
        self._suppressed = 0
        self._ctx.event(name, **fields, **suppressed)
