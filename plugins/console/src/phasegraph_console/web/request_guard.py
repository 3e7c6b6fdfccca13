"""What stands before every route: who asks, from where, how much at once. ASGI, and nothing passes it unchecked.

Order of the checks: requests at once, Host, Origin, wrong tokens of this address, token, size and time of the body.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import trio

from .access_rules import AccessRole, AccessRules, FailureLimit
from .host_rules import HostRules

MOST_REQUESTS = 200
"""Requests at once, those that get events included."""
MOST_BODY_BYTES = 1 << 20
BODY_S = 10.0
# media-src: the page plays what http sinks of this computer serve, on ports of their own.
SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; media-src 'self' http://127.0.0.1:* http://localhost:*; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
PROTECTED = ("/api/", "/metrics")
"""What needs a token where reading is not open. The rest is the page, which holds nothing of a run."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class RequestRefused(Exception):
    """A request that goes no further, with the status and a sentence."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class RequestGuard:
    """Checks requests, then passes them on with their body read and the caller's role in the scope's ``state``."""

    def __init__(self, app: AsgiApp, access: AccessRules, hosts: HostRules) -> None:
        self._app = app
        self._access = access
        self._hosts = hosts
        self._failures = FailureLimit()
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
                names = {name.lower() for name, _ in message.get("headers", ())}
                message["headers"] = [*message.get("headers", ()), *(pair for pair in ours if pair[0] not in names)]
            await send(message)

        self._running += 1
        try:
            await self._serve_checked(scope, receive, send_guarded)
        except RequestRefused as refusal:
            await send_guarded(
                {
                    "type": "http.response.start",
                    "status": refusal.status,
                    "headers": [
                        (b"content-type", b"application/json"),
                        *((name.encode(), value.encode()) for name, value in refusal.headers.items()),
                    ],
                }
            )
            body = json.dumps({"error": str(refusal)}).encode()
            await send_guarded({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        finally:
            self._running -= 1

    async def _serve_checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._running > MOST_REQUESTS:
            raise RequestRefused(503, "too many requests at once", retry_after="1")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        protected = scope["path"].startswith(PROTECTED)
        if problem := self._hosts.host_problem(headers.get("host")):
            raise RequestRefused(421, problem)
        reads = scope["method"] in ("GET", "HEAD")
        if problem := self._hosts.origin_problem(headers, navigation=reads and not protected):
            raise RequestRefused(403, problem)
        if protected:
            scope.setdefault("state", {})["role"] = self._role(scope, headers.get("authorization"))
        body = await _read_body(headers, receive)
        delivered = False

        async def receive_again() -> Message:
            nonlocal delivered
            if delivered:
                return await receive()
            delivered = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_again, send)

    def _role(self, scope: Scope, authorization: str | None) -> AccessRole:
        address = scope["client"][0] if scope.get("client") else ""
        if authorization is not None and (wait_s := self._failures.wait_s(address, trio.current_time())):
            seconds = str(int(wait_s) + 1)
            raise RequestRefused(429, f"too many wrong tokens: try again in {seconds} s", retry_after=seconds)
        role = self._access.role_of(authorization)
        if role is not None:
            return role
        if authorization is not None:
            self._failures.add_failure(address, trio.current_time())
        what = "this needs a token" if authorization is None else "the token is wrong"
        raise RequestRefused(401, f"{what}: kernel console names the file that has it", www_authenticate="Bearer")


def require_operator(role: AccessRole, authorization: str | None) -> None:
    """Raises RequestRefused for a caller who may only read."""
    if role is AccessRole.OPERATOR:
        return
    if authorization is None:
        message = "changing a run needs the operator's token: kernel console names the file that has it"
        raise RequestRefused(401, message, www_authenticate="Bearer")
    raise RequestRefused(403, "this token may only read")


async def _read_body(headers: MutableMapping[str, str], receive: Receive) -> bytes:
    too_long = RequestRefused(413, f"the body is longer than {MOST_BODY_BYTES} octets", connection="close")
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise RequestRefused(400, "the Content-Length is no number", connection="close")
    if len(length) > 12 or int(length) > MOST_BODY_BYTES:
        raise too_long
    body = bytearray()
    with trio.move_on_after(BODY_S):
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise RequestRefused(400, "the request ended early")
            body += message.get("body", b"")
            if len(body) > MOST_BODY_BYTES:
                raise too_long
            if not message.get("more_body", False):
                return bytes(body)
    raise RequestRefused(408, f"the body did not arrive within {BODY_S:g} s", connection="close")
