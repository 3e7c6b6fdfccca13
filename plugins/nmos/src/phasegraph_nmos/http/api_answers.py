"""Requests and answers of the APIs, apart from any server."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec


class ApiRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to one API."""

    method: str
    path: tuple[str, ...] = ()
    """Below the API's own root, without empty parts: a trailing slash makes no difference."""
    body: bytes = b""

    def json(self) -> Any:
        """The body. Raises NmosApiError."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise NmosApiError(400, "the body is not JSON", str(error)) from None


class ApiAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


ApiHandler = Callable[[ApiRequest], Awaitable[ApiAnswer]]
"""Answers the requests to one API. Raises NmosApiError."""


class NmosApiError(Exception):
    """A request that cannot be answered as asked: status, a sentence, and what may help a programmer."""

    def __init__(
        self, status: int, error: str, debug: str | None = None, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.debug = debug
        self.headers = headers

    def as_answer(self) -> ApiAnswer:
        """The error as the specifications write it."""
        body = {"code": self.status, "error": self.error, "debug": self.debug}
        return ApiAnswer(status=self.status, body=encode_json(body), headers=self.headers)


def encode_json(value: Any) -> bytes:
    """A value as JSON."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def json_answer(value: Any, status: int = 200) -> ApiAnswer:
    """A value as the answer."""
    return ApiAnswer(status=status, body=encode_json(value))


def no_such_path() -> NmosApiError:
    """The answer to a path that does not exist."""
    return NmosApiError(404, "there is no such path")


def not_allowed(allow: str) -> NmosApiError:
    """The answer to a method that a path does not have."""
    return NmosApiError(405, f"this path has the methods {allow}", headers=(("Allow", allow),))


def require_method(request: ApiRequest, allow: str = "GET") -> None:
    """Refuse other methods than these, which are separated by commas. HEAD is answered as GET."""
    if request.method not in (name.strip() for name in allow.split(",")):
        raise not_allowed(allow)
