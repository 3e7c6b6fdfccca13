"""Answering requests for session descriptions (RTSP, and GET of HTTP), and announcing new versions. Sans-IO.

Players send SETUP and PLAY before they listen: they get the destination of a multicast stream; nothing changes here.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import msgspec

from .. import sdp
from .rtsp import MalformedRtsp, RtspReader, RtspRequest, RtspResponse, message, session_url

METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"
_OTHERS = ("PAUSE", "ANNOUNCE", "RECORD", "REDIRECT", "SET_PARAMETER")
_SESSION = {"Session": "1"}
"""A multicast stream is the same for every client."""


class CatalogueEntry(msgspec.Struct, frozen=True):
    """A session that is published."""

    name: str
    number: int
    sdp: str


class SessionCatalogue:
    """The sessions that a server describes: by their names, and by numbers that they keep."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._sessions: dict[str, CatalogueEntry] = {}

    def put(self, name: str, text: str) -> None:
        """Publish a session, or its new description."""
        number = self._numbers.setdefault(name, len(self._numbers) + 1)
        self._sessions[name] = CatalogueEntry(name, number, text)

    def withdraw(self, name: str) -> None:
        """Remove a session."""
        self._sessions.pop(name, None)

    def by_name(self, name: str) -> CatalogueEntry | None:
        """The session of a name."""
        return self._sessions.get(name)

    def by_url(self, url: str) -> CatalogueEntry | None:
        """The session that a URL, or the path of one, leads to."""
        try:
            path = unquote(urlsplit(url).path)
        except ValueError:
            return None
        how, _, which = path.strip("/").partition("/")
        if how == "by-name":
            return self.by_name(which)
        if how == "by-id":
            return next((each for each in self._sessions.values() if str(each.number) == which), None)
        return None


class RtspServerConnection:
    """One client."""

    def __init__(self, catalogue: SessionCatalogue, host: str, port: int) -> None:
        """``host`` and ``port`` are the server's."""
        self.closing = False
        """Whether the connection is to be closed, once the answers are sent."""
        self.refused = 0
        """Requests that were not understood, or not answered with 200."""
        self._catalogue = catalogue
        self._host, self._port = host, port
        self._reader = RtspReader()
        self._described: dict[str, str] = {}
        """Descriptions that this client has, by name."""
        self._sequence = 0

    def receive_data(self, octets: bytes) -> bytes:
        """Handle octets that were received; returns the answers to send."""
        self._reader.receive_data(octets)
        answers = b""
        while not self.closing:
            try:
                received = self._reader.next_message()
                if received is None:
                    break
                if not isinstance(received, RtspResponse):  # that answers our own
                    answers += self._answer(received)
            except MalformedRtsp:
                answers += self._refuse("400 Bad Request", {})
                self.closing = True
        return answers

    def announcements(self) -> bytes:
        """SapSender of new versions of the sessions that the client has requested."""
        announcements = b""
        for name, before in self._described.items():
            now = self._catalogue.by_name(name)
            if now is not None and now.sdp != before:
                self._described[name] = now.sdp
                self._sequence += 1
                url = session_url(self._host, self._port, name)
                announcements += message(f"ANNOUNCE {url} RTSP/1.0", {"CSeq": self._sequence}, now.sdp)
        return announcements

    def _answer(self, request: RtspRequest) -> bytes:
        if request.protocol == "HTTP":
            return self._answer_http(request)
        sequence = request.headers.get("cseq", "")
        if not (sequence.isascii() and sequence.isdigit() and len(sequence) <= 10):
            raise MalformedRtsp("it has no number")
        numbered = {"CSeq": sequence}
        if request.method in ("DESCRIBE", "SETUP"):
            session = self._catalogue.by_url(request.url)
            if session is None:
                return self._refuse("404 Not Found", numbered)
            if request.method == "SETUP":
                return self._set_up(session, request, numbered)
            self._described[session.name] = session.sdp
            url = session_url(self._host, self._port, session.name)
            return message("RTSP/1.0 200 OK", {**numbered, "Content-Base": f"{url}/"}, session.sdp)
        if request.method == "OPTIONS":
            return message("RTSP/1.0 200 OK", {**numbered, "Public": METHODS})
        if request.method in ("PLAY", "TEARDOWN"):
            return message("RTSP/1.0 200 OK", {**numbered, **_SESSION})
        if request.method == "GET_PARAMETER":  # keeps connections alive
            return message("RTSP/1.0 200 OK", numbered)
        if request.method in _OTHERS:
            return self._refuse("405 Method Not Allowed", {**numbered, "Allow": METHODS})
        return self._refuse("501 Not Implemented", numbered)

    def _set_up(self, session: CatalogueEntry, request: RtspRequest, numbered: dict[str, str]) -> bytes:
        stream = sdp.parse(session.sdp).streams[0]
        wanted = request.headers.get("transport", "").lower().split(",")
        if not stream.multicast or not any("rtp/avp" in each and "multicast" in each for each in wanted):
            return self._refuse("461 Unsupported Transport", numbered)
        where = f"destination={stream.address};port={stream.port}-{stream.port + 1};ttl={stream.ttl}"
        return message("RTSP/1.0 200 OK", {**numbered, **_SESSION, "Transport": f"RTP/AVP;multicast;{where}"})

    def _answer_http(self, request: RtspRequest) -> bytes:
        # Some devices, and people with a browser, ask by HTTP.
        self.closing = True
        closing = {"Connection": "close"}
        if request.method != "GET":
            return self._refuse("405 Method Not Allowed", {**closing, "Allow": "GET"}, "HTTP/1.1")
        session = self._catalogue.by_url(request.url)
        if session is None:
            return self._refuse("404 Not Found", closing, "HTTP/1.1")
        return message("HTTP/1.1 200 OK", closing, session.sdp)

    def _refuse(self, status: str, headers: dict[str, str], protocol: str = "RTSP/1.0") -> bytes:
        self.refused += 1
        return message(f"{protocol} {status}", headers)
