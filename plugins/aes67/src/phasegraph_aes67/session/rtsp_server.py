"""Answering who asks for session descriptions (RTSP, and HTTP's GET), and telling news. Sans-IO.

Players also want to be told where to listen before they do (SETUP, PLAY): of a multicast stream they are, and nothing
follows from it here.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import msgspec

from .. import sdp
from .rtsp import MalformedRtsp, MessageReader, Request, Response, message, session_url

METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"
_OTHERS = ("PAUSE", "ANNOUNCE", "RECORD", "REDIRECT", "SET_PARAMETER")
_SESSION = {"Session": "1"}
"""A multicast stream is the same for everyone."""


class Offered(msgspec.Struct, frozen=True):
    """A session that is offered."""

    name: str
    number: int
    sdp: str


class Catalogue:
    """The sessions that a server describes: by their names, and by numbers that they keep."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._sessions: dict[str, Offered] = {}

    def offer(self, name: str, text: str) -> None:
        """Offer a session, or its new description."""
        number = self._numbers.setdefault(name, len(self._numbers) + 1)
        self._sessions[name] = Offered(name, number, text)

    def withdraw(self, name: str) -> None:
        """Offer a session no longer."""
        self._sessions.pop(name, None)

    def named(self, name: str) -> Offered | None:
        """The session of a name."""
        return self._sessions.get(name)

    def at(self, url: str) -> Offered | None:
        """The session that a URL, or the path of one, leads to."""
        try:
            path = unquote(urlsplit(url).path)
        except ValueError:
            return None
        how, _, which = path.strip("/").partition("/")
        if how == "by-name":
            return self.named(which)
        if how == "by-id":
            return next((each for each in self._sessions.values() if str(each.number) == which), None)
        return None


class ServerConnection:
    """One client."""

    def __init__(self, catalogue: Catalogue, host: str, port: int) -> None:
        """``host`` and ``port`` are the server's."""
        self.over = False
        """Whether the connection is to be closed, once what was answered is sent."""
        self.refused = 0
        """Requests that were not understood, or not met."""
        self._catalogue = catalogue
        self._host, self._port = host, port
        self._reader = MessageReader()
        self._told: dict[str, str] = {}
        """What this client knows: descriptions by name."""
        self._sequence = 0

    def feed(self, octets: bytes) -> bytes:
        """Take in what came; returns what is to be answered."""
        self._reader.feed(octets)
        answers = b""
        while not self.over:
            try:
                came = self._reader.take()
                if came is None:
                    break
                if not isinstance(came, Response):  # that answers our own
                    answers += self._answer(came)
            except MalformedRtsp:
                answers += self._refuse("400 Bad Request", {})
                self.over = True
        return answers

    def news(self) -> bytes:
        """What tells the client of new versions of what it has asked for."""
        told = b""
        for name, before in self._told.items():
            now = self._catalogue.named(name)
            if now is not None and now.sdp != before:
                self._told[name] = now.sdp
                self._sequence += 1
                url = session_url(self._host, self._port, name)
                told += message(f"ANNOUNCE {url} RTSP/1.0", {"CSeq": self._sequence}, now.sdp)
        return told

    def _answer(self, request: Request) -> bytes:
        if request.protocol == "HTTP":
            return self._answer_http(request)
        sequence = request.headers.get("cseq", "")
        if not (sequence.isascii() and sequence.isdigit() and len(sequence) <= 10):
            raise MalformedRtsp("it has no number")
        numbered = {"CSeq": sequence}
        if request.method in ("DESCRIBE", "SETUP"):
            session = self._catalogue.at(request.url)
            if session is None:
                return self._refuse("404 Not Found", numbered)
            if request.method == "SETUP":
                return self._set_up(session, request, numbered)
            self._told[session.name] = session.sdp
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

    def _set_up(self, session: Offered, request: Request, numbered: dict[str, str]) -> bytes:
        stream = sdp.parse(session.sdp).streams[0]
        wanted = request.headers.get("transport", "").lower().split(",")
        if not stream.multicast or not any("rtp/avp" in each and "multicast" in each for each in wanted):
            return self._refuse("461 Unsupported Transport", numbered)
        where = f"destination={stream.address};port={stream.port}-{stream.port + 1};ttl={stream.ttl}"
        return message("RTSP/1.0 200 OK", {**numbered, **_SESSION, "Transport": f"RTP/AVP;multicast;{where}"})

    def _answer_http(self, request: Request) -> bytes:
        # Some devices, and people with a browser, ask by HTTP.
        self.over = True
        closing = {"Connection": "close"}
        if request.method != "GET":
            return self._refuse("405 Method Not Allowed", {**closing, "Allow": "GET"}, "HTTP/1.1")
        session = self._catalogue.at(request.url)
        if session is None:
            return self._refuse("404 Not Found", closing, "HTTP/1.1")
        return message("HTTP/1.1 200 OK", closing, session.sdp)

    def _refuse(self, status: str, headers: dict[str, str], protocol: str = "RTSP/1.0") -> bytes:
        self.refused += 1
        return message(f"{protocol} {status}", headers)
