"""Following a session by its name through its announcements, sans-IO."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from phasegraph import Metric, StreamFormat

from .. import sdp
from . import sap


class Offer(msgspec.Struct, frozen=True):
    """A session as one way of discovery tells of it."""

    by: str
    """``SAP`` or ``RAVENNA``."""
    name: str
    key: str
    """What stays the same through its versions, and by whichever way it is told: see `sap.origin_key`."""
    sdp: str
    origin: str
    """Address of who offers it."""
    confirmed: bool = True
    """Whether it cannot be a packet that has gone astray: it was announced again, or asked for."""

    @property
    def version(self) -> int:
        """Which version it is."""
        return _version(self.sdp)


def announced(session: sap.KnownSession) -> Offer:
    """A session that is announced by SAP: its description has its name."""
    return Offer("SAP", _line(session.sdp, "s"), session.key, session.sdp, session.origin, session.repeated)


class Told(msgspec.Struct, frozen=True):
    """Something to tell the user, and the description to follow from now on, if that is another one."""

    event: str
    fields: dict[str, Metric]
    session: sdp.SessionDescription | None = None


class NamedSession:
    """Chooses the session of a name among those that are announced, and stays with it.

    It is known by its o= line, so that another session of the same name does not take its place. A version that is
    older than the newest one seen is believed from who told of another one before, and means it (`Offer.confirmed`):
    a device that counts anew. What was told by then is old from then on, whatever its number. A session that is not
    announced any more goes on being received: that it is silent, its packets tell.

    Where SAP and RAVENNA tell of the same session, the first to do so is followed. The other is believed when it has a
    newer version, or when the first tells of it no longer: what they write differently changes nothing.
    """

    def __init__(self, name: str, format: StreamFormat) -> None:
        """``format`` is what the graph was built for; a session of another one is not taken."""
        self.name = plain(name)
        self._format = format
        self._current: Offer | None = None
        self._refused: dict[tuple[str, str], str] = {}
        """Descriptions that could not be used, by way and session."""
        self._words: dict[tuple[str, str], str] = {}
        """What was told last, by way and by whom."""
        self._anew: set[tuple[str, str]] = set()
        """Who has told something else since the description was taken that is followed."""
        self._old: frozenset[str] = frozenset()
        """What was told before the versions were counted anew."""

    @property
    def state(self) -> str:
        """What is followed, or waited for, in words."""
        if self._current is None:
            return f"waiting for an announcement of {self.name!r}"
        how = "" if self._current.by == "SAP" else f" ({self._current.by})"
        return f"{self.name!r}, version {self._current.version}, announced by {self._current.origin}{how}"

    @property
    def found(self) -> bool:
        """Whether there is a session to follow."""
        return self._current is not None

    def look(self, offers: Iterable[Offer]) -> Iterator[Told]:
        """What follows from the sessions that are offered now."""
        named = [offer for offer in offers if plain(offer.name) == self.name]
        if self._current is not None:
            yield from self._stay(self._current, named)
        for offer in named:
            if self._current is None:
                yield from self._take(offer, "session_found")
        if self._current is not None:
            self._hear([offer for offer in named if offer.key == self._current.key])

    def _stay(self, current: Offer, named: Sequence[Offer]) -> Iterator[Told]:
        same = [offer for offer in named if offer.key == current.key]
        if not same:
            yield Told("session_gone", {"session": self.name, "announced_by": current.origin})
            self._current = None
            self._words, self._old = {}, frozenset()
            self._anew.clear()
            return
        self._hear(same)
        credible = [offer for offer in same if self._believes(offer, current)]
        if not credible:
            return
        newest = max(
            credible, key=lambda offer: (self._restarts(offer, current), offer.version, offer.by == current.by)
        )
        if newest.sdp == current.sdp:
            self._current = newest
            return
        restarted = self._restarts(newest, current)
        yield from self._take(newest, "session_changed")
        if self._current is newest:
            if restarted:
                self._old = frozenset({current.sdp, *self._words.values()} - {newest.sdp})
            self._anew.clear()

    def _hear(self, same: Sequence[Offer]) -> None:
        if len(self._words) > sap.MAX_SESSIONS:
            self._words.clear()
            self._anew.clear()
        for offer in same:
            who = offer.by, offer.origin
            if self._words.get(who, offer.sdp) != offer.sdp:
                self._anew.add(who)
            self._words[who] = offer.sdp

    def _believes(self, offer: Offer, current: Offer) -> bool:
        return not self._is_old(offer, current) or self._restarts(offer, current)

    def _restarts(self, offer: Offer, current: Offer) -> bool:
        # Whether it begins another count of versions.
        return offer.confirmed and (offer.by, offer.origin) in self._anew and self._is_old(offer, current)

    def _is_old(self, offer: Offer, current: Offer) -> bool:
        return offer.sdp != current.sdp and (offer.version < current.version or offer.sdp in self._old)

    def _refuse(self, offer: Offer, reason: str) -> Iterator[Told]:
        """What is told, once for each description, about one that cannot be used."""
        if self._refused.get((offer.by, offer.key)) != offer.sdp:
            self._refused[offer.by, offer.key] = offer.sdp
            if len(self._refused) > sap.MAX_SESSIONS:
                self._refused.clear()
            yield Told("session_unusable", {"session": self.name, "announced_by": offer.origin, "reason": reason})

    def _take(self, offer: Offer, event: str) -> Iterator[Told]:
        try:
            described = sdp.parse(offer.sdp)
        except sdp.MalformedSdp as error:
            yield from self._refuse(offer, str(error))
            return
        format = described.streams[0].format
        if format != self._format:
            yield from self._refuse(offer, f"it is {format}, and the graph expects {self._format}")
            return
        self._current = offer
        fields: dict[str, Metric] = {
            "session": self.name,
            "by": offer.by,
            "announced_by": offer.origin,
            "version": offer.version,
            "stream": str(described.streams[0]),
        }
        yield Told(event, fields, described)


def _line(text: str, kind: str) -> str:
    return next((line[2:].strip() for line in text.splitlines() if line.startswith(f"{kind}=")), "")


def plain(name: str) -> str:
    """A session's name as names are compared: what is blank between its words counts once."""
    return " ".join(name.split())


def _version(text: str) -> int:
    # sess-version of the o= line (RFC 8866, 5.2).
    words = _line(text, "o").split()
    return int(words[2]) if len(words) >= 3 and words[2].isascii() and words[2].isdigit() and len(words[2]) < 21 else 0
