"""The OpenAPI document of the API, made from the classes that are sent and received."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from phasegraph import __version__
from phasegraph.control import AppliedChange, ChangePlan

from .api_bodies import (
    ApiError,
    ApplyBody,
    Done,
    PlanBody,
    RestartBody,
    RunGraph,
    RunList,
    RunVerification,
    SdpBody,
    SessionList,
    StopBody,
    VerifyBody,
)
from .fleet_overview import SiteOverview
from .followed_run import RunHistory, RunOverview

LEAST_INTEGER, MOST_INTEGER = -(1 << 63), (1 << 63) - 1
"""What a time and a frame of a request may be."""


class ApiOperation(NamedTuple):
    """One operation of the API."""

    path: str
    method: str
    name: str
    summary: str
    answer: type | None
    body: type | None = None
    changes: bool = False
    """Whether it needs the operator's token."""
    errors: tuple[int, ...] = ()


OPERATIONS = (
    ApiOperation("/api/v1/runs", "get", "listRuns", "The runs of this machine, and those that ended of late.", RunList),
    ApiOperation("/api/v1/runs/{run}", "get", "showRun", "The newest snapshot of a run.", RunOverview, errors=(404,)),
    ApiOperation(
        "/api/v1/runs/{run}/history",
        "get",
        "showHistory",
        "Events and clocks of the last minutes.",
        RunHistory,
        errors=(404,),
    ),
    ApiOperation(
        "/api/v1/runs/{run}/graph", "get", "showGraph", "The graph of a run as it is now.", RunGraph, errors=(404, 409)
    ),
    ApiOperation(
        "/api/v1/runs/{run}/plan",
        "post",
        "planChange",
        "What a change would do; it does nothing.",
        ChangePlan,
        PlanBody,
        True,
        (404, 409),
    ),
    ApiOperation(
        "/api/v1/runs/{run}/apply",
        "post",
        "applyChange",
        "Change a run; answers when it has happened, or nothing has.",
        AppliedChange,
        ApplyBody,
        True,
        (404, 409),
    ),
    ApiOperation(
        "/api/v1/runs/{run}/restart",
        "post",
        "restartNode",
        "End a node and start it again.",
        Done,
        RestartBody,
        True,
        (404, 409),
    ),
    ApiOperation(
        "/api/v1/runs/{run}/verify",
        "post",
        "verifyRun",
        "Write what the flight recorder holds to a capture, and judge it as `kernel verify` does.",
        RunVerification,
        VerifyBody,
        True,
        (404, 409, 502),
    ),
    ApiOperation("/api/v1/runs/{run}/stop", "post", "stopRun", "End a run.", Done, StopBody, True, (404, 409)),
    ApiOperation(
        "/api/v1/fleet", "get", "showFleet", "The runs of this and other consoles, the worst first.", SiteOverview
    ),
    ApiOperation("/api/v1/sessions", "get", "listSessions", "Sessions that are announced on the network.", SessionList),
    ApiOperation(
        "/api/v1/sdp",
        "post",
        "explainSdp",
        "What a session description means, as `kernel sdp` explains it.",
        None,
        SdpBody,
        errors=(502,),
    ),
    ApiOperation(
        "/api/v1/schema",
        "get",
        "showSchema",
        "The JSON Schema of graph files: every kind and option explained.",
        None,
        errors=(502,),
    ),
)
_STATUS = {
    400: "The request is not as described.",
    401: "A token is needed, or the token is wrong.",
    403: "The token may only read, or another site's page has sent the request.",
    404: "There is no such run.",
    408: "The body did not arrive in time.",
    409: "The run refused, and the error says why.",
    413: "The body is too long.",
    415: "The body is not JSON.",
    421: "The Host header is not this console's.",
    429: "Too many wrong tokens of this address.",
    502: "A command that was asked has failed.",
    503: "Too many requests at once.",
}
_OF_ALL = (400, 401, 403, 421, 429, 503)
_OF_BODIES = (408, 413, 415)
_REFERENCE = "#/components/schemas/{name}"


def openapi_document() -> dict[str, Any]:
    """The document (OpenAPI 3.1)."""
    used = {kind for operation in OPERATIONS for kind in (operation.answer, operation.body) if kind} | {ApiError}
    ordered = sorted(used, key=lambda kind: kind.__name__)
    references, components = msgspec.json.schema_components(ordered, ref_template=_REFERENCE)
    reference_of = dict(zip(ordered, references, strict=True))
    for name in ("PlanBody", "ApplyBody"):
        components[name]["oneOf"] = [{"required": [given]} for given in ("set", "graph", "toml")]
    for described in components["ChangeTime"]["properties"].values():
        for choice in described.get("anyOf", ()):
            if choice.get("type") == "integer":
                choice |= {"minimum": choice.get("minimum", LEAST_INTEGER), "maximum": MOST_INTEGER}
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _describe(operation, reference_of)
    paths["/api/v1/events"] = {"get": _events()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Phasegraph console",
            "version": __version__,
            "description": "Runs of Phasegraph on one machine: seen, and changed. Reading needs a token where the "
            "console listens to more than the loopback interface; changing always needs the operator's.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _describe(operation: ApiOperation, reference_of: dict[type, dict[str, Any]]) -> dict[str, Any]:
    schema: dict[str, Any] = {} if operation.answer is None else reference_of[operation.answer]
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "security": _security(changes=operation.changes),
        "responses": {
            "200": {"description": "Done.", "content": {"application/json": {"schema": schema}}},
            **_errors(*operation.errors, *(_OF_BODIES if operation.body else ()), schema=reference_of[ApiError]),
        },
    }
    if "{run}" in operation.path:
        described["parameters"] = [
            {"name": "run", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        ]
    if operation.body is not None:
        content = {"application/json": {"schema": reference_of[operation.body]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _events() -> dict[str, Any]:
    return {
        "operationId": "followRuns",
        "summary": "Server-sent events, without end: `overview` (RunOverview), `event` (run, event, lost), `gone` "
        "(run), and `ready` after the first overviews.",
        "security": _security(changes=False),
        "parameters": [
            {
                "name": "run",
                "in": "query",
                "required": False,
                "schema": {"type": "string"},
                "description": "Of this run alone.",
            }
        ],
        "responses": {
            "200": {"description": "Events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
            **_errors(schema={"$ref": _REFERENCE.format(name="ApiError")}),
        },
    }


def _security(*, changes: bool) -> list[dict[str, list[str]]]:
    return [{"token": []}] if changes else [{}, {"token": []}]


def _errors(*statuses: int, schema: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {
        str(status): {"description": _STATUS[status], "content": content} for status in sorted({*_OF_ALL, *statuses})
    }
