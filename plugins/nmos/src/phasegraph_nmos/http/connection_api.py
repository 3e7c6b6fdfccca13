"""The Connection API (IS-05 v1.1): senders and receivers, single and in bulk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..connection.connections import BulkResult, Connections, Due
from ..connection.endpoint import ConnectionEndpoint
from ..connection.transport_params import RECEIVER, SENDER, PatchRefused
from .api_answers import (
    ApiAnswer,
    ApiHandler,
    ApiRequest,
    NmosApiError,
    encode_json,
    json_answer,
    no_such_path,
    require_method,
)

VERSIONS = ("v1.1",)
_KINDS = {"senders": SENDER, "receivers": RECEIVER}
_VIEWS = ("constraints", "staged", "active", "transporttype")
TRANSPORT = "urn:x-nmos:transport:rtp"


class Activator(Protocol):
    """Carries activations out."""

    async def activate(self, due: list[Due]) -> dict[str, int | PatchRefused]:
        """Do immediate activations together. Returns by UUID the TAI time, or why not."""

    def schedule(self) -> None:
        """There are scheduled activations that `Connections.take_due` will give."""


def connection_api(
    connections: Connections,
    activator: Activator,
    now_ns: Callable[[], int],
    transport_file: Callable[[ConnectionEndpoint], str],
) -> ApiHandler:
    """The handler of the API; ``now_ns`` is TAI."""
    api = _ConnectionApi(connections, activator, now_ns, transport_file)
    return api.answer_request


class _ConnectionApi:
    def __init__(
        self,
        connections: Connections,
        activator: Activator,
        now_ns: Callable[[], int],
        transport_file: Callable[[ConnectionEndpoint], str],
    ) -> None:
        self._connections = connections
        self._activator = activator
        self._now_ns = now_ns
        self._transport_file = transport_file

    async def answer_request(self, request: ApiRequest) -> ApiAnswer:
        """The answer to a request. Raises NmosApiError."""
        try:
            return await self._route(request)
        except PatchRefused as refused:
            raise NmosApiError(refused.status, str(refused)) from None

    async def _route(self, request: ApiRequest) -> ApiAnswer:
        match request.path:
            case ():
                require_method(request)
                return json_answer(["bulk/", "single/"])
            case ("single" | "bulk",):
                require_method(request)
                return json_answer([f"{name}/" for name in _KINDS])
            case ("bulk", plural) if plural in _KINDS:
                require_method(request, "POST")
                return await self._bulk(_KINDS[plural], request)
            case ("single", plural) if plural in _KINDS:
                require_method(request)
                return json_answer([f"{id}/" for id in self._connections.endpoints[_KINDS[plural]]])
            case ("single", plural, id, *rest) if plural in _KINDS and len(rest) <= 1:
                return await self._single(self._connections.find(_KINDS[plural], id), request, *rest)
        raise no_such_path()

    async def _single(self, endpoint: ConnectionEndpoint, request: ApiRequest, part: str = "") -> ApiAnswer:
        names = list(_VIEWS) + (["transportfile"] if endpoint.kind == SENDER else [])
        if part and part not in names:
            raise no_such_path()
        require_method(request, "GET, PATCH" if part == "staged" else "GET")
        if request.method == "PATCH":
            return await self._patch(endpoint, request.json())
        if part == "transportfile":
            return ApiAnswer(body=self._transport_file(endpoint).encode(), content_type="application/sdp")
        return json_answer(self._part(endpoint, part, names))

    @staticmethod
    def _part(endpoint: ConnectionEndpoint, part: str, names: list[str]) -> Any:
        match part:
            case "constraints":
                return endpoint.constraints
            case "staged":
                return endpoint.staged_body()
            case "active":
                return endpoint.active_body()
            case "transporttype":
                return TRANSPORT
        return [f"{name}/" for name in names]

    async def _patch(self, endpoint: ConnectionEndpoint, body: Any) -> ApiAnswer:
        activation = endpoint.patch(body, self._now_ns())
        if activation is None:
            return json_answer(endpoint.staged_body())
        if activation.due_ns is not None:
            self._activator.schedule()
            return json_answer(endpoint.staged_body(), status=202)
        done = (await self._activator.activate([(endpoint, activation)]))[endpoint.id]
        if isinstance(done, PatchRefused):
            raise done
        return json_answer(endpoint.staged_body(activation, done))

    async def _bulk(self, kind: str, request: ApiRequest) -> ApiAnswer:
        results, due = self._connections.patch_bulk(kind, request.json(), self._now_ns())
        at_once = [item for item in due if item[1].due_ns is None]
        if len(at_once) < len(due):
            self._activator.schedule()
        if at_once:
            done = await self._activator.activate(at_once)
            failed = {id: result for id, result in done.items() if isinstance(result, PatchRefused)}
            results = [
                BulkResult(id=each.id, code=failed[each.id].status, error=str(failed[each.id]))
                if each.code == 200 and each.id in failed
                else each
                for each in results
            ]
        return ApiAnswer(body=encode_json([_result(each) for each in results]))


def _result(result: BulkResult) -> dict[str, Any]:
    body: dict[str, Any] = {"id": result.id, "code": result.code}
    return body if not result.error else {**body, "error": result.error, "debug": None}
