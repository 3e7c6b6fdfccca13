"""The Channel Mapping API (IS-08 v1.0): requests in, answers out, and changes at their time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import trio

from ..mapping.channel_mapping import ChannelMapping, MapChange, describe_input, describe_output
from .api_answers import ApiAnswer, ApiRequest, NmosApiError, json_answer, no_such_path, require_method

VERSION = "v1.0"
LEAD_NS = 500_000_000
"""How long before its time a change is given to its run, which acts at the frame. Until then it may be deleted."""
_INPUT_PATHS = {"properties": "properties", "parent": "parent", "channels": "channels", "caps": "caps"}
_OUTPUT_PATHS = {"properties": "properties", "sourceid": "source_id", "channels": "channels", "caps": "caps"}

Options = Callable[[], Mapping[str, Any]]
"""Gives the options of a run that change, as the run is when it is called."""


class MappedRuns(Protocol):
    """The runs that channel mapping changes. Every method raises NmosApiError, with the reason in words."""

    async def check_options(self, run: str, options: Options) -> None:
        """Refuse what a run cannot do without a gap."""

    async def apply_options(self, run: str, options: Options, at_tai_ns: int | None) -> int:
        """Set options of a run, at a TAI time in nanoseconds or at once (None). Returns the time when it has happened.

        ``options`` is called when no other change of the run is under way.
        """


class ChannelMappingApi:
    """Answers requests, and gives changes to their runs: `answer_request` is an ApiHandler."""

    def __init__(
        self,
        mapping: ChannelMapping,
        runs: MappedRuns,
        tai_ns: Callable[[], int],
        changed: Callable[[Collection[str]], Awaitable[None]],
        log: Any,
    ) -> None:
        """``changed`` gets the UUIDs of sources whose map has changed."""
        self._mapping = mapping
        self._runs = runs
        self._tai_ns = tai_ns
        self._changed = changed
        self._log = log
        self._woken = trio.Event()

    async def answer_request(self, request: ApiRequest) -> ApiAnswer:
        """The answer to a request. Raises NmosApiError."""
        match request.path:
            case ("map", "activations"):
                require_method(request, "GET, POST")
                return await self._post(request) if request.method == "POST" else self._get(request)
            case ("map", "activations", id):
                require_method(request, "GET, DELETE")
                if request.method == "DELETE":
                    self._mapping.cancel(id)
                    return ApiAnswer(status=204)
                return self._get(request)
        require_method(request)
        return self._get(request)

    async def run(self) -> None:
        """Give scheduled changes to their runs, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._woken = trio.Event()
                for change in self._mapping.take_due(self._tai_ns(), LEAD_NS):
                    nursery.start_soon(self._act_scheduled, change)
                due_ns = self._mapping.next_due_ns()
                wait_s = 3600.0 if due_ns is None else max(0, due_ns - LEAD_NS - self._tai_ns()) / 1e9
                with trio.move_on_after(wait_s):
                    await self._woken.wait()

    async def _post(self, request: ApiRequest) -> ApiAnswer:
        change = self._mapping.propose(request.json(), self._tai_ns())
        if change.at_tai_ns is None:
            return json_answer((await self._act(change)).described())
        self._mapping.schedule(change)
        try:
            for run in self._mapping.runs_of(change):
                await self._runs.check_options(run, partial(self._mapping.options_of, change, run))
        except BaseException:
            self._mapping.drop(change)
            raise
        self._woken.set()
        return json_answer(change.described(), 202)

    async def _act(self, change: MapChange) -> MapChange:
        # Apply a change; one run after the other, each as a whole.
        self._mapping.schedule(change)  # its outputs are locked meanwhile
        try:
            self._mapping.take_due(self._tai_ns(), LEAD_NS)
            happened_ns = self._tai_ns()
            for run in self._mapping.runs_of(change):
                options = partial(self._mapping.options_of, change, run)
                happened_ns = await self._runs.apply_options(run, options, change.at_tai_ns)
            finished = self._mapping.finish_change(change, happened_ns)
        finally:
            self._mapping.drop(change)
        await self._changed(self._mapping.sources_of(change))
        return finished

    async def _act_scheduled(self, change: MapChange) -> None:
        try:
            await self._act(change)
        except NmosApiError as error:
            self._log.error("a scheduled channel mapping was not carried out", id=change.id, reason=error.error)

    def _get(self, request: ApiRequest) -> ApiAnswer:
        match request.path:
            case ():
                return json_answer(["inputs/", "outputs/", "map/", "io/"])
            case ("io",):
                return json_answer(self._mapping.describe_io())
            case ("inputs", *rest):
                described = {id: describe_input(port) for id, port in self._mapping.ports.inputs.items()}
                return json_answer(_part_of(described, _INPUT_PATHS, rest))
            case ("outputs", *rest):
                described = {id: describe_output(port) for id, port in self._mapping.ports.outputs.items()}
                return json_answer(_part_of(described, _OUTPUT_PATHS, rest))
            case ("map", *rest):
                return json_answer(self._get_map(rest))
        raise no_such_path()

    def _get_map(self, path: Sequence[str]) -> Any:
        mapping = self._mapping
        match path:
            case []:
                return ["activations/", "active/"]
            case ["active"]:
                return mapping.describe_active()
            case ["active", id] if id in mapping.ports.outputs:
                return mapping.describe_active(id)
            case ["activations"]:
                return mapping.describe_waiting()
            case ["activations", id] if (change := mapping.find_waiting(id)) is not None:
                return change.described()[id]
        raise no_such_path()


def _part_of(described: Mapping[str, Mapping[str, Any]], names: Mapping[str, str], path: Sequence[str]) -> Any:
    # Inputs or outputs: all, the parts of one, or one part; ``names`` are the members by path.
    match path:
        case []:
            return [f"{id}/" for id in described]
        case [id] if id in described:
            return [f"{name}/" for name in names]
        case [id, name] if id in described and name in names:
            return described[id][names[name]]
    raise no_such_path()
