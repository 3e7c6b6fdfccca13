"""The routes of the console: the page, the API, metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib import resources
from typing import Any, Literal, TypeVar

import msgspec
import trio
from msgspec import UNSET
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from phasegraph.control import AsyncRun, ChangeRefused, ChangeTime, ControlError

from .access_rules import AccessRole
from .api_bodies import (
    ApiError,
    ApplyBody,
    Done,
    PlanBody,
    RestartBody,
    RunGraph,
    RunLine,
    RunList,
    RunVerification,
    SdpBody,
    SessionList,
    StopBody,
    VerifyBody,
)
from .api_document import openapi_document
from .audit_log import AuditLog
from .event_stream import MOST_STREAMS, EventStreamResponse
from .fleet_overview import ConsoleReading, site_overview
from .fleet_watch import FleetWatch
from .followed_run import FollowedRun, json_bytes
from .openmetrics import CONTENT_TYPE, OpenMetricsPage
from .request_guard import RequestRefused, require_operator
from .run_directory import RunDirectory
from .sibling_commands import SiblingCommands, SiblingFailed

API = "/api/v1"
PAGE_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
Body = TypeVar("Body", bound=msgspec.Struct)
Action = Callable[[AsyncRun], Awaitable[object]]


class ConsoleRoutes:
    """Answers requests that the guard has let through."""

    def __init__(
        self, directory: RunDirectory, siblings: SiblingCommands, audit: AuditLog, fleet: FleetWatch | None = None
    ) -> None:
        self._directory = directory
        self._siblings = siblings
        self._fleet = fleet
        self._audit = audit
        self._page = _page_files()
        self._metrics_page = OpenMetricsPage()
        self._document = json_bytes(openapi_document())

    def application(self) -> Starlette:
        """The ASGI application."""
        run = f"{API}/runs/{{run}}"
        routes = [
            Route("/metrics", self._metrics),
            Route(f"{API}/openapi.json", self._openapi),
            Route(f"{API}/runs", self._list_runs),
            Route(f"{API}/events", self._events),
            Route(run, self._show_run),
            Route(f"{run}/history", self._history),
            Route(f"{run}/graph", self._graph),
            Route(f"{run}/plan", self._plan, methods=["POST"]),
            Route(f"{run}/apply", self._apply, methods=["POST"]),
            Route(f"{run}/restart", self._restart, methods=["POST"]),
            Route(f"{run}/stop", self._stop, methods=["POST"]),
            Route(f"{run}/verify", self._verify, methods=["POST"]),
            Route(f"{API}/fleet", self._show_fleet),
            Route(f"{API}/sessions", self._sessions),
            Route(f"{API}/sdp", self._explain_sdp, methods=["POST"]),
            Route(f"{API}/schema", self._schema),
            Route("/", self._page_file),
            Route("/{file}", self._page_file),
        ]
        handlers: dict[Any, Any] = {
            RequestRefused: _refused,
            ControlError: _refused_by_run,
            SiblingFailed: _command_failed,
            HTTPException: _http_error,
        }
        application = Starlette(routes=routes, exception_handlers=handlers)
        application.router.redirect_slashes = False
        return application

    async def _page_file(self, request: Request) -> Response:
        found = self._page.get(request.path_params.get("file", "index.html"))
        if found is None:
            raise RequestRefused(404, "there is no such page")
        content, media_type = found
        return Response(content, media_type=media_type, headers={"cache-control": "no-cache"})

    async def _openapi(self, _request: Request) -> Response:
        return _json(self._document)

    async def _metrics(self, _request: Request) -> Response:
        text = self._metrics_page.text(self._directory.runs.values(), trio.current_time())
        return Response(text, headers={"content-type": CONTENT_TYPE})

    async def _list_runs(self, _request: Request) -> Response:
        now_s = trio.current_time()
        lines = []
        for run in self._directory.runs.values():
            hello, overview = run.hello, run.overview(now_s)
            lines.append(
                RunLine(
                    name=run.name,
                    state=run.state,
                    headline=overview.headline,
                    graph=hello.graph,
                    pid=hello.pid,
                    started_at=hello.started_at,
                    version=hello.version,
                    ended_at=run.ended_at,
                )
            )
        return _json(json_bytes(RunList(runs=lines)))

    async def _show_run(self, request: Request) -> Response:
        return _json(json_bytes(self._run(request).overview(trio.current_time())))

    async def _history(self, request: Request) -> Response:
        return _json(json_bytes(self._run(request).history()))

    async def _events(self, request: Request) -> Response:
        only = request.query_params.get("run")
        if self._directory.readers >= MOST_STREAMS:
            raise RequestRefused(503, "too many readers of events", retry_after="5")
        return EventStreamResponse(self._directory, only)

    async def _graph(self, request: Request) -> Response:
        async with self._directory.command(self._run(request).name) as connection:
            return _json(json_bytes(RunGraph(graph=await connection.graph())))

    async def _plan(self, request: Request) -> Response:
        body = await _body(request, PlanBody)
        require_operator(request.state.role, request.headers.get("authorization"))
        async with self._directory.command(self._run(request).name) as connection:
            return _json(json_bytes(await connection.plan(**_edit(body))))

    async def _apply(self, request: Request) -> Response:
        body = await _body(request, ApplyBody)
        at: ChangeTime | Literal["now"] = "now" if body.at is UNSET else body.at
        return await self._act(
            request, "apply", lambda run: run.apply(**_edit(body), at=at, crossfade_ms=body.crossfade_ms)
        )

    async def _restart(self, request: Request) -> Response:
        body = await _body(request, RestartBody)
        return await self._act(request, "restart", lambda run: run.restart(body.node))

    async def _stop(self, request: Request) -> Response:
        body = await _body(request, StopBody)
        answer = await self._act(request, "stop", lambda run: run.stop(at_once=body.at_once))
        self._run(request).stop_requested = True
        return answer

    async def _verify(self, request: Request) -> Response:
        body = await _body(request, VerifyBody)

        async def verify(run: AsyncRun) -> RunVerification:
            file = await run.capture("verify")
            judged = await self._siblings.verify(file, compare_audio=body.a2a)
            return RunVerification(
                file=str(file), verdict=judged["verdict"], subjects=judged["subjects"], notes=judged["notes"]
            )

        return await self._act(request, "verify", verify)

    async def _show_fleet(self, _request: Request) -> Response:
        now_s = trio.current_time()
        own = [run.overview(now_s) for run in self._directory.runs.values()]
        here = ConsoleReading(name="here", url="", problem="", runs=own)
        others = self._fleet.readings() if self._fleet else []
        return _json(json_bytes(site_overview([here, *others])))

    async def _sessions(self, _request: Request) -> Response:
        siblings = self._siblings
        siblings.want_sessions()
        found = SessionList(listening=siblings.listening, problem=siblings.sessions_problem, sessions=siblings.sessions)
        return _json(json_bytes(found))

    async def _explain_sdp(self, request: Request) -> Response:
        body = await _body(request, SdpBody)
        return _json(json_bytes(await self._siblings.explain_sdp(body.sdp)))

    async def _schema(self, _request: Request) -> Response:
        return _json(json_bytes(await self._siblings.schema()))

    def _run(self, request: Request) -> FollowedRun:
        name = request.path_params["run"]
        run = self._directory.runs.get(name)
        if run is None:
            raise RequestRefused(404, "there is no run of this name")
        return run

    async def _act(self, request: Request, action: str, do: Action) -> Response:
        run = self._run(request)
        role: AccessRole = request.state.role
        result = "it was not done"
        try:
            require_operator(role, request.headers.get("authorization"))
            async with self._directory.command(run.name) as connection:
                answer = await do(connection)
            result = "done"
        except (RequestRefused, ControlError, SiblingFailed) as error:
            result = str(error)
            raise
        finally:
            self._audit.record_change(
                address=request.client.host if request.client else "",
                role=role,
                action=action,
                run=run.name,
                request=(await request.body()).decode("utf-8", "replace"),
                result=result,
            )
        return _json(json_bytes(Done() if answer is None else answer))


def _edit(body: PlanBody) -> dict[str, Any]:
    given = {"set": body.set, "graph": body.graph, "toml": body.toml}
    return {name: value for name, value in given.items() if value is not UNSET}


def _page_files() -> dict[str, tuple[bytes, str]]:
    # Read once: no path of a request ever reaches the file system.
    folder = resources.files("phasegraph_console") / "page"
    files = {}
    for entry in folder.iterdir():
        with suppress(KeyError):
            files[entry.name] = entry.read_bytes(), PAGE_TYPES["." + entry.name.rpartition(".")[2]]
    return files


async def _body(request: Request, type: type[Body]) -> Body:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise RequestRefused(415, "the Content-Type must be application/json")
    try:
        given = msgspec.json.decode(await request.body())
        if isinstance(given, dict) and isinstance(given.get("at"), dict):  # in JSON 5.0 is an integer too
            given["at"] = {name: _as_integer(value) for name, value in given["at"].items()}
        return msgspec.convert(given, type=type)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestRefused(400, f"the body is not as the API describes it: {error}") from None


def _as_integer(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status_code=status, media_type="application/json")


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(msgspec.to_builtins(ApiError(error=message)), status_code=status, headers=headers)


async def _refused(_request: Request, error: RequestRefused) -> Response:
    return _error(error.status, str(error), error.headers)


async def _refused_by_run(_request: Request, error: ControlError) -> Response:
    if isinstance(error, ChangeRefused):
        return _json(json_bytes(ApiError(error=str(error), problems=error.plan.problems)), 409)
    return _error(409, str(error))


async def _command_failed(_request: Request, error: SiblingFailed) -> Response:
    return _error(502, str(error))


async def _http_error(_request: Request, error: HTTPException) -> Response:
    return _error(error.status_code, error.detail, dict(error.headers or {}))
