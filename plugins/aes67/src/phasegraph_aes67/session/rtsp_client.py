"""Requesting the description of one session from a device, and receiving the versions that it pushes. Sans-IO."""

from __future__ import annotations

from . import sap
from .rtsp import SDP, MalformedRtsp, RtspReader, RtspRequest, RtspResponse, message


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
        self._reader = RtspReader()

    def request(self) -> bytes:
        """A request of the description, which may be repeated."""
        self._sequence += 1
        self.waiting = True
        return message(f"DESCRIBE {self._url} RTSP/1.0", {"CSeq": self._sequence, "Accept": SDP})

    def receive_data(self, octets: bytes) -> bytes:
        """Handle octets that were received; returns the answers to send. Raises MalformedRtsp."""
        self._reader.receive_data(octets)
        answers = b""
        while (received := self._reader.next_message()) is not None:
            if isinstance(received, RtspRequest):
                answers += self._answer_request(received)
            elif received.headers.get("cseq", str(self._sequence)) == str(self._sequence):
                self._finish(received)  # answers to other requests, as some devices send them, are ignored
        return answers

    def _finish(self, response: RtspResponse) -> None:
        if response.status != 200:
            raise MalformedRtsp(f"it answers {response.status} {response.reason}")
        self.description, self.waiting = response.body, False

    def _answer_request(self, request: RtspRequest) -> bytes:
        # An ANNOUNCE pushes a new version; a device may announce all of its sessions to every client.
        known = request.method in ("ANNOUNCE", "OPTIONS", "GET_PARAMETER")
        if request.method == "ANNOUNCE" and self.description is not None:
            key = sap.session_key(request.body)
            if key and key == sap.session_key(self.description):
                self.description = request.body
        sequence = request.headers.get("cseq", "0")[:10]
        return message("RTSP/1.0 " + ("200 OK" if known else "501 Not Implemented"), {"CSeq": sequence})
