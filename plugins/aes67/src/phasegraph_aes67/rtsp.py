"""As much of RTSP 1.0 (RFC 2326) as fetches a session description: DESCRIBE, and what answers it. Sans-IO."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

PORT = 554
MAX_HEAD_BYTES = 8 << 10
MAX_BODY_BYTES = 64 << 10


class MalformedRtsp(ValueError):
    """What came is no answer; the message says why."""


class Response(msgspec.Struct, frozen=True):
    """An answer."""

    status: int
    reason: str
    headers: dict[str, str]
    """By names in small letters."""
    body: str


def session_url(host: str, port: int, name: str) -> str:
    """Where a RAVENNA device describes a session of this name."""
    where = f"[{host}]" if ":" in host else host
    return f"rtsp://{where}:{port}/by-name/{quote(name)}"


def describe_request(url: str, sequence: int) -> bytes:
    """The DESCRIBE of a URL."""
    lines = (f"DESCRIBE {url} RTSP/1.0", f"CSeq: {sequence}", "Accept: application/sdp", "", "")
    return "\r\n".join(lines).encode()


class ResponseReader:
    """Puts the answer to one request together. What answers another one (some devices do) is passed over."""

    def __init__(self, sequence: int) -> None:
        self._sequence = str(sequence)
        self._octets = b""

    def feed(self, octets: bytes) -> Response | None:
        """Take in what came; returns the answer once it is whole. Raises MalformedRtsp."""
        self._octets += octets
        while True:
            response, rest = self._first()
            if response is None:
                return None
            self._octets = rest
            if response.headers.get("cseq", self._sequence) == self._sequence:
                return response

    def _first(self) -> tuple[Response | None, bytes]:
        head, end, rest = self._octets.partition(b"\r\n\r\n")
        if len(head) > MAX_HEAD_BYTES:
            raise MalformedRtsp(f"its header is longer than {MAX_HEAD_BYTES >> 10} KiB")
        if not end:
            return None, b""
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, status = first.partition(" ")
        code, _, reason = status.partition(" ")
        if not version.startswith("RTSP/") or not (code.isascii() and code.isdigit() and len(code) == 3):
            raise MalformedRtsp(f"it begins with {first[:40]!r}: this is no RTSP")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 8):
            raise MalformedRtsp(f"its length is {length[:20]!r}")
        size = int(length)
        if size > MAX_BODY_BYTES:
            raise MalformedRtsp(f"its body is longer than {MAX_BODY_BYTES >> 10} KiB")
        if len(rest) < size:
            return None, b""
        body = rest[:size].decode("utf-8", errors="replace")
        return Response(int(code), reason.strip(), headers, body), rest[size:]
