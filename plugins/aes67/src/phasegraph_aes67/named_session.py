"""Following a session by its name through its announcements, sans-IO."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from phasegraph import Metric, StreamFormat

from . import sap, sdp


class Told(msgspec.Struct, frozen=True):
    """Something to tell the user, and the description to follow from now on, if that is another one."""

    event: str
    fields: dict[str, Metric]
    session: sdp.Session | None = None


class NamedSession:
    """Chooses the session of a name among those that are announced, and stays with it.

    It is known by its o= line, so that another session of the same name does not take its place; a version that is
    older than the newest one seen is not believed. A session that is not announced any more goes on being received:
    that it is silent, its packets tell.
    """

    def __init__(self, name: str, format: StreamFormat) -> None:
        """``format`` is what the graph was built for; a session of another one is not taken."""
        self._name = " ".join(name.split())
        self._format = format
        self._current: sap.KnownSession | None = None
        self._refused: dict[str, str] = {}
        """Descriptions that could not be used, by their session's key."""

    @property
    def state(self) -> str:
        """What is followed, or waited for, in words."""
        if self._current is None:
            return f"waiting for an announcement of {self._name!r}"
        return f"{self._name!r}, version {_version(self._current.sdp)}, announced by {self._current.origin}"

    def look(self, sessions: Iterable[sap.KnownSession]) -> Iterator[Told]:
        """What follows from the sessions that are announced now."""
        named = {session.key: session for session in sessions if _name(session.sdp) == self._name}
        if self._current is not None:
            now = named.get(self._current.key)
            if now is None:
                yield Told("session_gone", {"session": self._name, "announced_by": self._current.origin})
                self._current = None
            elif now.sdp != self._current.sdp and _version(now.sdp) >= _version(self._current.sdp):
                yield from self._take(now, "session_changed")
        for session in named.values():
            if self._current is None:
                yield from self._take(session, "session_found")

    def _refuse(self, session: sap.KnownSession, reason: str) -> Iterator[Told]:
        """What is told, once for each description, about one that cannot be used."""
        if self._refused.get(session.key) != session.sdp:
            self._refused[session.key] = session.sdp
            if len(self._refused) > sap.MAX_SESSIONS:
                self._refused.clear()
            yield Told("session_unusable", {"session": self._name, "announced_by": session.origin, "reason": reason})

    def _take(self, session: sap.KnownSession, event: str) -> Iterator[Told]:
        try:
            described = sdp.parse(session.sdp)
        except sdp.MalformedSdp as error:
            yield from self._refuse(session, str(error))
            return
        format = described.streams[0].format
        if format != self._format:
            yield from self._refuse(session, f"it is {format}, and the graph expects {self._format}")
            return
        self._current = session
        fields: dict[str, Metric] = {
            "session": self._name,
            "announced_by": session.origin,
            "version": _version(session.sdp),
            "stream": str(described.streams[0]),
        }
        yield Told(event, fields, described)


def _line(text: str, kind: str) -> str:
    return next((line[2:].strip() for line in text.splitlines() if line.startswith(f"{kind}=")), "")


def _name(text: str) -> str:
    return " ".join(_line(text, "s").split())


def _version(text: str) -> int:
    # sess-version of the o= line (RFC 8866, 5.2).
    words = _line(text, "o").split()
    return int(words[2]) if len(words) >= 3 and words[2].isascii() and words[2].isdigit() and len(words[2]) < 21 else 0
