"""Asking a device for the description of one session, and taking in what it tells later. Sans-IO."""

from __future__ import annotations

from . import sap
from .rtsp import SDP, MalformedRtsp, MessageReader, Request, Response, message


class DescribeClient:
    """One connection to a device."""

    def __init__(self, url: str) -> None:
        """``url`` is the session's."""
        self.description: str | None = None
        """The newest one; None before there is any."""
        self.waiting = False
        """Whether an answer is to come."""
        self._url = url
        self._sequence = 0
        self._reader = MessageReader()

    def ask(self) -> bytes:
        """What asks for the description, once more if need be."""
        self._sequence += 1
        self.waiting = True
        return message(f"DESCRIBE {self._url} RTSP/1.0", {"CSeq": self._sequence, "Accept": SDP})

    def feed(self, octets: bytes) -> bytes:
        """Take in what came; returns what is to be answered. Raises MalformedRtsp."""
        self._reader.feed(octets)
        answers = b""
        while (came := self._reader.take()) is not None:
            if isinstance(came, Request):
                answers += self._told(came)
            elif came.headers.get("cseq", str(self._sequence)) == str(self._sequence):
                self._answered(came)  # what answers other requests (some devices do) is passed over
        return answers

    def _answered(self, response: Response) -> None:
        if response.status != 200:
            raise MalformedRtsp(f"it answers {response.status} {response.reason}")
        self.description, self.waiting = response.body, False

    def _told(self, request: Request) -> bytes:
        # An ANNOUNCE pushes a new version; a device may tell everyone of all its sessions.
        known = request.method in ("ANNOUNCE", "OPTIONS", "GET_PARAMETER")
        if request.method == "ANNOUNCE" and self.description is not None:
            key = sap.session_key(request.body)
            if key and key == sap.session_key(self.description):
                self.description = request.body
        sequence = request.headers.get("cseq", "0")[:10]
        return message("RTSP/1.0 " + ("200 OK" if known else "501 Not Implemented"), {"CSeq": sequence})
