"""RTSP 1.0 (RFC 2326), the part that transfers session descriptions; HTTP requests are similar. Sans-IO."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from ..sdp import decode_sdp

MAX_HEAD_BYTES = 8 << 10
MAX_BODY_BYTES = 64 << 10
MAX_BLANK_BYTES = 64
"""Blank lines before a message, which are ignored."""
SDP = "application/sdp"
_END = re.compile(rb"\r?\n\r?\n")
_LINE = re.compile(r"\r?\n")
# Devices have been seen to announce without a URI: "ANNOUNCE  RTSP/1.0".
_REQUEST = re.compile(r"([A-Z_]{1,20}) {1,3}(?:(\S{1,1000}) {1,3})?(RTSP|HTTP)/1\.\d *\Z")
_RESPONSE = re.compile(r"RTSP/\d\.\d {1,3}(\d{3})(?: (.*))?\Z", re.ASCII)


class MalformedRtsp(ValueError):
    """Octets that are not RTSP, or not the answer to a request; the message gives the reason."""


class RtspResponse(msgspec.Struct, frozen=True):
    """An answer."""

    status: int
    reason: str
    headers: dict[str, str]
    """By lower-case names."""
    body: str


class RtspRequest(msgspec.Struct, frozen=True):
    """A request."""

    method: str
    url: str
    protocol: str
    """``RTSP`` or ``HTTP``."""
    headers: dict[str, str]
    """By lower-case names."""
    body: str


RtspMessage = RtspRequest | RtspResponse


def session_url(host: str, port: int, name: str) -> str:
    """Where a RAVENNA device describes a session of this name."""
    where = f"[{host}]" if ":" in host else host
    return f"rtsp://{where}:{port}/by-name/{quote(name)}"


def message(first: str, headers: Mapping[str, object], body: str = "") -> bytes:
    """A request or an answer that begins with the line ``first``; a body is a session description."""
    octets = body.encode()
    if body:
        headers = {**headers, "Content-Type": SDP, "Content-Length": len(octets)}
    lines = (first, *(f"{name}: {value}" for name, value in headers.items()), "", "")
    return "\r\n".join(lines).encode() + octets


class RtspReader:
    """Puts the messages of a connection together, in whatever pieces they arrive.

    It keeps one message at most, and what was received with its end.
    """

    def __init__(self) -> None:
        self._octets = bytearray()
        self._needed = 0
        """Octets without which there is no whole message."""
        self._searched = 0
        """Octets that do not contain the end of a header."""
        self._blank = 0
        """Octets of blank lines before this message."""

    def receive_data(self, octets: bytes) -> None:
        """Add octets that were received."""
        self._octets += octets if self._octets else self._without_blank(octets)

    def _without_blank(self, octets: bytes) -> bytes:
        stripped = octets.lstrip(b"\r\n")
        self._blank += len(octets) - len(stripped)
        return stripped

    def next_message(self) -> RtspMessage | None:
        """The next message, once it is whole. Raises MalformedRtsp, after which nothing more can be understood."""
        octets = self._octets
        if self._blank > MAX_BLANK_BYTES:
            raise MalformedRtsp("it begins with more blank lines than are ignored")
        if len(octets) < self._needed:
            return None
        end = _END.search(octets, max(0, self._searched - 3), MAX_HEAD_BYTES + 4)
        if end is None:
            if len(octets) > MAX_HEAD_BYTES:
                raise MalformedRtsp(f"its header is longer than {MAX_HEAD_BYTES >> 10} KiB")
            self._searched = len(octets)
            return None
        first, *lines = _LINE.split(octets[: end.start()].decode("latin-1"))
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = _size(headers)
        if len(octets) < end.end() + size:
            self._needed, self._searched = end.end() + size, end.start()
            return None
        body = bytes(octets[end.end() : end.end() + size])
        rest = bytes(octets[end.end() + size :])
        self._needed = self._searched = self._blank = 0
        self._octets = bytearray(self._without_blank(rest))
        return _message(first, headers, decode_sdp(body))


def _size(headers: Mapping[str, str]) -> int:
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit() and len(length) < 8):
        raise MalformedRtsp(f"its length is {length[:20]!r}")
    if int(length) > MAX_BODY_BYTES:
        raise MalformedRtsp(f"its body is longer than {MAX_BODY_BYTES >> 10} KiB")
    return int(length)


def _message(first: str, headers: dict[str, str], body: str) -> RtspMessage:
    if found := _REQUEST.match(first):
        return RtspRequest(found[1], found[2] or "", found[3], headers, body)
    if found := _RESPONSE.match(first):
        return RtspResponse(int(found[1]), (found[2] or "").strip(), headers, body)
    raise MalformedRtsp(f"it begins with {first[:40]!r}: this is not RTSP")
