"""The ASGI application: limits, CORS, tokens and error bodies for all APIs, and the way to each.

Every answer has CORS headers, every error a body as the specifications want it, and no request ends in a 500 of a
server's making. A path with and without a trailing slash is the same path.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import Any

import trio

from .api_answers import ApiAnswer, ApiHandler, ApiRequest, NmosApiError, json_answer, no_such_path, require_method

MOST_BODY_BYTES = 1 << 20
MOST_REQUESTS = 64
"""Requests that are answered at the same time; more wait."""
BODY_TIMEOUT_S = 10.0
METHODS = "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE"
_CORS = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", METHODS),
    ("Access-Control-Allow-Headers", "Content-Type, Accept, Authorization"),
    ("Access-Control-Max-Age", "3600"),
)
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = MutableMapping[str, Any]
WebSocketHandler = Callable[[Scope, Receive, Send], Awaitable[None]]
"""Serves one websocket, from ``websocket.connect`` on."""
Authorize = Callable[[str, str, tuple[str, ...], str], None]
"""Checks the token of a request: (API, method, path, Authorization header). Raises NmosApiError 401 or 403."""


class NmosApp:
    """Answers the requests to ``/x-nmos/API/VERSION/...``."""

    def __init__(self, authorize: Authorize | None = None, log: Any = None) -> None:
        self._apis: dict[str, dict[str, ApiHandler]] = {}
        self._sockets: dict[tuple[str, ...], WebSocketHandler] = {}
        self._authorize = authorize
        self._log = log
        self._limit: trio.CapacityLimiter | None = None

    def add_api(self, name: str, versions: Mapping[str, ApiHandler]) -> None:
        """Serve an API, by version."""
        self._apis[name] = dict(versions)

    def add_websocket(self, path: str, handler: WebSocketHandler) -> None:
        """Serve websockets at a path such as ``/x-nmos/ncp/v1.0``."""
        self._sockets[_parts(path)] = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI 3."""
        if scope["type"] == "lifespan":
            await _serve_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)
        elif scope["type"] == "http":
            answer = await self._answer_safely(scope, receive)
            await _send_answer(answer, send, with_body=scope["method"] != "HEAD")

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._sockets.get(_parts(scope["path"]))
        if handler is not None and self._authorize is not None:
            parts = _parts(scope["path"])
            try:
                self._authorize(parts[1], "GET", parts[3:], _header(scope, b"authorization"))
            except NmosApiError:
                handler = None
        if handler is None:
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        await handler(scope, receive, send)

    async def _answer_safely(self, scope: Scope, receive: Receive) -> ApiAnswer:
        if self._limit is None:
            self._limit = trio.CapacityLimiter(MOST_REQUESTS)
        async with self._limit:
            try:
                return await self._answer_request(scope, receive)
            except NmosApiError as error:
                return error.as_answer()
            except Exception as error:  # whatever is wrong with us, the client gets a body that it can read
                if self._log is not None:
                    self._log.error("a request failed", path=scope["path"], exc_info=error)
                return NmosApiError(
                    500, "the request failed in this node", f"{type(error).__name__}: {error}"
                ).as_answer()

    async def _answer_request(self, scope: Scope, receive: Receive) -> ApiAnswer:
        method, path = scope["method"], _parts(scope["path"])
        if method == "OPTIONS":
            return ApiAnswer(headers=(("Allow", METHODS),))
        body = await _read_body(receive)
        request = ApiRequest(method="GET" if method == "HEAD" else method, path=path, body=body)
        if len(path) < 3:
            return self._list_paths(request)
        root, name, version, *rest = path
        handler = self._apis.get(name, {}).get(version) if root == "x-nmos" else None
        if handler is None:
            raise no_such_path()
        if self._authorize is not None:
            self._authorize(name, method, tuple(rest), _header(scope, b"authorization"))
        return await handler(ApiRequest(method=request.method, path=tuple(rest), body=body))

    def _list_paths(self, request: ApiRequest) -> ApiAnswer:
        require_method(request)
        if not request.path:
            return json_answer(["x-nmos/"])
        if request.path == ("x-nmos",):
            return json_answer([f"{name}/" for name in self._apis])
        versions = self._apis.get(request.path[1])
        if request.path[0] != "x-nmos" or versions is None:
            raise no_such_path()
        return json_answer([f"{version}/" for version in versions])


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part)


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name), "")


async def _read_body(receive: Receive) -> bytes:
    body = bytearray()
    with trio.move_on_after(BODY_TIMEOUT_S) as patience:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise NmosApiError(400, "the client has gone")
            body += message.get("body", b"")
            if len(body) > MOST_BODY_BYTES:
                raise NmosApiError(413, f"the body is longer than {MOST_BODY_BYTES} octets")
            if not message.get("more_body", False):
                return bytes(body)
    assert patience.cancelled_caught
    raise NmosApiError(408, f"the body was not there within {BODY_TIMEOUT_S:g} s")


async def _send_answer(answer: ApiAnswer, send: Send, *, with_body: bool) -> None:
    headers = list(_headers(answer))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body if with_body else b""})


def _headers(answer: ApiAnswer) -> Iterator[tuple[bytes, bytes]]:
    if answer.body:
        yield b"content-type", answer.content_type.encode("ascii")
    yield b"content-length", str(len(answer.body)).encode("ascii")
    for name, value in (*_CORS, *answer.headers):
        yield name.lower().encode("ascii"), value.encode("latin-1")


async def _serve_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
