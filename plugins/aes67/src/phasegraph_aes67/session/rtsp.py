"""As much of RTSP 1.0 (RFC 2326) as hands session descriptions about, and HTTP's requests, which are alike. Sans-IO."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

MAX_HEAD_BYTES = 8 << 10
MAX_BODY_BYTES = 64 << 10
SDP = "application/sdp"
_END = re.compile(rb"\r?\n\r?\n")
_LINE = re.compile(r"\r?\n")
_REQUEST = re.compile(r"([A-Z_]{1,20}) (\S{1,1000}) (RTSP|HTTP)/1\.\d\Z")
_RESPONSE = re.compile(r"RTSP/\d\.\d (\d{3})(?: (.*))?\Z", re.ASCII)


class MalformedRtsp(ValueError):
    """What came is no RTSP, or not what was asked for; the message says why."""


class Response(msgspec.Struct, frozen=True):
    """An answer."""

    status: int
    reason: str
    headers: dict[str, str]
    """By names in small letters."""
    body: str


class Request(msgspec.Struct, frozen=True):
    """Something that is asked of whoever reads it."""

    method: str
    url: str
    protocol: str
    """``RTSP`` or ``HTTP``."""
    headers: dict[str, str]
    """By names in small letters."""
    body: str


Message = Request | Response


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


class MessageReader:
    """Puts the messages of a connection together, however they come in pieces."""

    def __init__(self) -> None:
        self._octets = b""
        self._least = 0
        """Octets without which there is no whole message."""

    def feed(self, octets: bytes) -> None:
        """Take in what came."""
        self._octets += octets

    def take(self) -> Message | None:
        """The next message, once it is whole. Raises MalformedRtsp, after which nothing more can be understood."""
        if len(self._octets) < self._least:
            return None
        octets = self._octets.lstrip(b"\r\n")
        end = _END.search(octets, 0, MAX_HEAD_BYTES + 4)
        if end is None:
            if len(octets) > MAX_HEAD_BYTES:
                raise MalformedRtsp(f"its header is longer than {MAX_HEAD_BYTES >> 10} KiB")
            return None
        first, *lines = _LINE.split(octets[: end.start()].decode("latin-1"))
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = _size(headers)
        self._least = end.end() + size
        if len(octets) < self._least:
            self._octets = octets
            return None
        self._octets, self._least = octets[self._least :], 0
        return _message(first, headers, octets[end.end() : end.end() + size].decode("utf-8", errors="replace"))


def _size(headers: Mapping[str, str]) -> int:
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit() and len(length) < 8):
        raise MalformedRtsp(f"its length is {length[:20]!r}")
    if int(length) > MAX_BODY_BYTES:
        raise MalformedRtsp(f"its body is longer than {MAX_BODY_BYTES >> 10} KiB")
    return int(length)


def _message(first: str, headers: dict[str, str], body: str) -> Message:
    if found := _REQUEST.match(first):
        return Request(found[1], found[2], found[3], headers, body)
    if found := _RESPONSE.match(first):
        return Response(int(found[1]), (found[2] or "").strip(), headers, body)
    raise MalformedRtsp(f"it begins with {first[:40]!r}: this is no RTSP")
