"""Finding a session by its name among those that are announced, and staying with it. Sans-IO."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from phasegraph import Metric, StreamFormat

from .. import sdp
from . import sap

MAX_FIELD = 200
"""Letters of a remote text within an event."""


class SessionOffer(msgspec.Struct, frozen=True):
    """A session as one way of discovery describes it."""

    by: str
    """``SAP`` or ``RAVENNA``."""
    name: str
    key: str
    """What stays the same through its versions, and by either way: see `sap.session_key`."""
    sdp: str
    origin: str
    """Address of the host that offers it."""
    confirmed: bool = True
    """Whether it cannot be a packet that has gone astray: it was announced again, or was requested."""

    @property
    def version(self) -> int:
        """Which version it is."""
        return sap.session_version(self.sdp)


def sap_offer(session: sap.AnnouncedSession) -> SessionOffer:
    """The offer of a session that is announced by SAP."""
    return SessionOffer("SAP", session.name, session.key, session.sdp, session.origin, session.repeated)


class SessionEvent(msgspec.Struct, frozen=True):
    """An event for the user, and the description to receive from now on, if that is another one."""

    name: str
    fields: dict[str, Metric]
    description: sdp.SessionDescription | None = None


class SessionLookup:
    """Chooses the session of a name among the offers, and stays with it.

    It is known by its o= line, so that another session of the same name does not take its place. A version that is
    older than the newest one seen is accepted from a host that announced another version before, and is confirmed
    (`SessionOffer.confirmed`): a device that counts its versions from the start again. What was announced before that
    is old from then on, whatever its number. A session that is not announced any more is still received: its packets
    show whether it is silent.

    Where SAP and RAVENNA describe the same session, the first one is followed. The other is accepted when it has a
    newer version, or when the first is withdrawn: different wording alone changes nothing.
    """

    def __init__(self, name: str, format: StreamFormat) -> None:
        """``format`` is that of the graph; a session of another format is not used."""
        self.name = normalized_name(name)
        self._format = format
        self._current: SessionOffer | None = None
        self._unusable: dict[tuple[str, str], str] = {}
        """Descriptions that could not be used, by way and session."""
        self._reason = ""
        """Why the session of this name that is announced now cannot be used; empty where it can, or there is none."""
        self._similar: list[str] = []
        """Names of announced sessions that resemble this one, while there is none of this name."""
        self._last_text: dict[tuple[str, str], str] = {}
        """The newest description, by way and host."""
        self._changed_text: set[tuple[str, str]] = set()
        """Ways and hosts with another description than when the current one was accepted."""
        self._outdated: frozenset[str] = frozenset()
        """Descriptions from before the versions were counted from the start again."""

    @property
    def state(self) -> str:
        """What is followed or waited for, as a sentence."""
        if self._current is not None:
            way = "" if self._current.by == "SAP" else f" ({self._current.by})"
            return f"{self.name!r}, version {self._current.version}, announced by {self._current.origin}{way}"
        if self._reason:
            return f"{self.name!r} is announced and not usable: {self._reason}"
        return f"waiting for an announcement of {self.name!r}" + (f"; {self.suggestion}" if self._similar else "")

    @property
    def suggestion(self) -> str:
        """Which announced session may be meant, while there is none of this name; empty where none resembles it."""
        return f"did you mean {' or '.join(map(repr, self._similar))}?" if self._similar else ""

    @property
    def found(self) -> bool:
        """Whether there is a session to receive."""
        return self._current is not None

    @property
    def current_key(self) -> str:
        """Key of the session that is followed; empty where there is none."""
        return "" if self._current is None else self._current.key

    def update_offers(self, offers: Iterable[SessionOffer]) -> Iterator[SessionEvent]:
        """What follows from the sessions that are offered now."""
        offers = list(offers)
        named = [offer for offer in offers if normalized_name(offer.name) == self.name]
        self._reason, self._similar = "", []
        if self._current is not None:
            yield from self._follow_current(self._current, named)
        for offer in named:
            if self._current is None:
                yield from self._accept(offer, "session_found")
        if self._current is not None:
            self._reason = ""
            self._note_texts([offer for offer in named if offer.key == self._current.key])
        elif not named:
            self._similar = _similar_names(self.name, offers)

    def _follow_current(self, current: SessionOffer, named: Sequence[SessionOffer]) -> Iterator[SessionEvent]:
        same = [offer for offer in named if offer.key == current.key]
        if not same:
            yield SessionEvent("session_gone", {"session": self.name, "announced_by": current.origin})
            self._current = None
            self._last_text, self._outdated = {}, frozenset()
            self._changed_text.clear()
            return
        self._note_texts(same)
        credible = [offer for offer in same if self._is_credible(offer, current)]
        if not credible:
            return
        newest = max(
            credible, key=lambda offer: (self._restarts(offer, current), offer.version, offer.by == current.by)
        )
        if newest.sdp == current.sdp:
            self._current = newest
            return
        restarted = self._restarts(newest, current)
        yield from self._accept(newest, "session_changed")
        if self._current is newest:
            if restarted:
                self._outdated = frozenset({current.sdp, *self._last_text.values()} - {newest.sdp})
            self._changed_text.clear()

    def _note_texts(self, same: Sequence[SessionOffer]) -> None:
        if len(self._last_text) > sap.MAX_SESSIONS:
            self._last_text.clear()
            self._changed_text.clear()
        for offer in same:
            host = offer.by, offer.origin
            if self._last_text.get(host, offer.sdp) != offer.sdp:
                self._changed_text.add(host)
            self._last_text[host] = offer.sdp

    def _is_credible(self, offer: SessionOffer, current: SessionOffer) -> bool:
        return not self._is_old(offer, current) or self._restarts(offer, current)

    def _restarts(self, offer: SessionOffer, current: SessionOffer) -> bool:
        # Whether it counts its versions from the start again.
        return offer.confirmed and (offer.by, offer.origin) in self._changed_text and self._is_old(offer, current)

    def _is_old(self, offer: SessionOffer, current: SessionOffer) -> bool:
        return offer.sdp != current.sdp and (offer.version < current.version or offer.sdp in self._outdated)

    def _refuse(self, offer: SessionOffer, reason: str) -> Iterator[SessionEvent]:
        # An event, once for each description.
        self._reason = self._reason or reason
        if self._unusable.get((offer.by, offer.key)) != offer.sdp:
            if len(self._unusable) >= sap.MAX_SESSIONS:
                self._unusable.clear()
            self._unusable[offer.by, offer.key] = offer.sdp
            yield SessionEvent(
                "session_unusable", {"session": self.name, "announced_by": offer.origin, "reason": reason[:MAX_FIELD]}
            )

    def _accept(self, offer: SessionOffer, event: str) -> Iterator[SessionEvent]:
        try:
            description = sdp.parse(offer.sdp)
        except sdp.MalformedSdp as error:
            yield from self._refuse(offer, str(error))
            return
        format = description.streams[0].format
        if format != self._format:
            yield from self._refuse(offer, f"it is {format}, and the graph expects {self._format}")
            return
        self._current = offer
        fields: dict[str, Metric] = {
            "session": self.name,
            "by": offer.by,
            "announced_by": offer.origin,
            "version": offer.version,
            "stream": str(description.streams[0]),
        }
        yield SessionEvent(event, fields, description)


def _similar_names(name: str, offers: Sequence[SessionOffer]) -> list[str]:
    # Announced names that a user may have meant: a typing error, or another case.
    by_folded = {normalized_name(offer.name).casefold(): normalized_name(offer.name) for offer in offers}
    close = difflib.get_close_matches(name.casefold(), [each for each in by_folded if len(each) < 100], n=2, cutoff=0.7)
    return [by_folded[each] for each in close]


def normalized_name(name: str) -> str:
    """A session's name as names are compared: printable, with single spaces."""
    return " ".join(sdp.printable_text(name).split())
