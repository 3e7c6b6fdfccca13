"""What an HTTP request for a stream gets: a pure function from request to answer."""

from __future__ import annotations

import base64
import binascii
import hmac
import html
import ipaddress
from collections.abc import Collection

import h11
import msgspec

from .audio_encoders import AUDIO_TYPES, AudioType

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>:root {{ color-scheme: light dark }} body {{ font: 1rem sans-serif; margin: 2rem }}</style>
<h1>{title}</h1><audio controls preload="none">{sources}</audio><ul>{links}</ul></html>
"""


class HttpAnswer(msgspec.Struct, frozen=True):
    """Status, headers and body; or a stream."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    audio: AudioType | None = None
    """The stream that follows in place of the body."""


def answer_request(request: h11.Request, title: str, hosts: Collection[str], password: str = "") -> HttpAnswer:
    """The answer to a request.

    A page of another site that has its name point here (DNS rebinding) sends that name as Host: it is refused.
    Addresses, ``localhost`` and the names in ``hosts`` are accepted. With a ``password``, a request gives it with any
    user name (HTTP Basic, RFC 7617).
    """
    headers = dict(request.headers)
    if not host_accepted(headers.get(b"host", b"").decode("ascii", "replace"), hosts):
        return refusal(403, "this name is not one of this server's: use its address, or list the name in hosts")
    if password and not password_given(headers.get(b"authorization", b""), password):
        return refusal(
            401, "this needs the password", ("www-authenticate", 'Basic realm="phasegraph", charset="UTF-8"')
        )
    if request.method not in (b"GET", b"HEAD"):
        return refusal(405, "only GET and HEAD", ("allow", "GET, HEAD"))
    path = request.target.split(b"?", 1)[0].decode("ascii", "replace")
    for audio in AUDIO_TYPES:
        if path == f"/stream.{audio.name}":
            return HttpAnswer(
                200, (*_COMMON, ("content-type", audio.media_type), ("accept-ranges", "none")), audio=audio
            )
    if path == "/":
        return _page(title)
    return refusal(404, f"there is {', '.join(f'/stream.{audio.name}' for audio in AUDIO_TYPES)}")


def host_accepted(host: str, hosts: Collection[str]) -> bool:
    """Whether a Host header names this server."""
    name, _, port = host.rpartition(":")
    if not port.isdigit():
        name = host
    name = name.lower().rstrip(".")
    if name == "localhost" or name in hosts:
        return True
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def password_given(authorization: bytes, password: str) -> bool:
    """Whether an Authorization header has the password; compared in constant time."""
    scheme, _, credentials = authorization.partition(b" ")
    try:
        given = base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
    except binascii.Error:
        return False
    return scheme.lower() == b"basic" and hmac.compare_digest(given, password.encode())


def refusal(status: int, sentence: str, *headers: tuple[str, str]) -> HttpAnswer:
    """An answer that refuses."""
    body = f"{sentence}\n".encode()
    return HttpAnswer(status, (*_COMMON, *headers, *_sized("text/plain; charset=utf-8", body)), body)


_COMMON = (
    ("connection", "close"),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "cross-origin"),
)
"""A page of another origin, such as the console, may play the stream; it cannot read it."""


def _page(title: str) -> HttpAnswer:
    sources = "".join(f'<source src="/stream.{a.name}" type="{a.media_type}">' for a in AUDIO_TYPES)
    links = "".join(f'<li><a href="/stream.{a.name}">stream.{a.name}</a></li>' for a in AUDIO_TYPES)
    body = _PAGE.format(title=html.escape(title), sources=sources, links=links).encode()
    policy = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'"
    return HttpAnswer(
        200, (*_COMMON, ("content-security-policy", policy), *_sized("text/html; charset=utf-8", body)), body
    )


def _sized(media_type: str, body: bytes) -> tuple[tuple[str, str], ...]:
    return (("content-type", media_type), ("content-length", str(len(body))))
