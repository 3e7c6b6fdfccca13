"""The protocol of the control socket: one JSON object a line, in both directions. No I/O.

A client sends requests, each with a number of its choice. The server answers each with that number, in the order of the
requests, and sends status and events between the answers to clients that have subscribed. ``docs/control.md`` has the
JSON Schema, which is made from the classes below.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from .._core.graph_change import AppliedFrame, ChangePlan, ChangeTime, GraphEdit

PROTOCOL = 1
"""Version of the protocol. Additions do not change it; clients ignore fields that they do not know."""
MOST_LINE_BYTES = 1 << 20
"""A longer line of a client closes its connection."""
LEAST_INTERVAL_S = 0.2


class Hello(Struct, frozen=True, kw_only=True):
    """The first line of a server."""

    protocol: int = PROTOCOL
    version: str
    """Of Phasegraph."""
    name: str
    """Of the run: the name of its socket."""
    graph: str
    pid: int
    started_at: str
    """Wall clock, UTC, ISO 8601."""


class StatusRequest(Struct, frozen=True, kw_only=True, tag="status", tag_field="request", forbid_unknown_fields=True):
    """Asks for one `RunStatus`."""

    id: int = 0


class SubscribeRequest(
    Struct, frozen=True, kw_only=True, tag="subscribe", tag_field="request", forbid_unknown_fields=True
):
    """Asks for `RunStatus` at an interval and for events, until the connection ends. A later one replaces it."""

    id: int = 0
    interval_s: Annotated[float, Meta(ge=LEAST_INTERVAL_S, le=86400.0)] | None = None
    """Left out: no status."""
    events: bool = True


class StopRequest(Struct, frozen=True, kw_only=True, tag="stop", tag_field="request", forbid_unknown_fields=True):
    """Ends the run: sources finish, sinks drain. ``at_once`` does not wait for them."""

    id: int = 0
    at_once: bool = False


class RestartRequest(Struct, frozen=True, kw_only=True, tag="restart", tag_field="request", forbid_unknown_fields=True):
    """Ends one node and starts it again."""

    id: int = 0
    node: Annotated[str, Meta(max_length=200)]


class GraphRequest(Struct, frozen=True, kw_only=True, tag="graph", tag_field="request", forbid_unknown_fields=True):
    """Asks for the graph as it runs now."""

    id: int = 0


class PlanRequest(GraphEdit, frozen=True, kw_only=True, tag="plan", tag_field="request"):
    """Asks what a graph that is asked for would change."""

    id: int = 0


class ApplyRequest(GraphEdit, frozen=True, kw_only=True, tag="apply", tag_field="request"):
    """Changes the run to the graph that is asked for, or changes nothing."""

    id: int = 0
    at: ChangeTime | Literal["now"] = "now"
    """When inputs are switched; ``now``: as soon as everything is there."""
    crossfade_ms: Annotated[float, Meta(ge=0.0, le=10_000.0)] = 0.0
    """How long switched inputs are cross-faded."""
    wait: bool = True
    """Answer when it has happened; otherwise when it has begun, with the frames that are planned."""
    silent_after_s: Annotated[float, Meta(ge=0.0, le=60.0)] | None = None
    """An input that has delivered nothing for this time is switched to all the same; left out, it is refused."""


class SetRequest(Struct, frozen=True, kw_only=True, tag="set", tag_field="request", forbid_unknown_fields=True):
    """`ApplyRequest` with values by path alone."""

    id: int = 0
    set: dict[str, Any]
    at: ChangeTime | Literal["now"] = "now"
    crossfade_ms: Annotated[float, Meta(ge=0.0, le=10_000.0)] = 0.0
    wait: bool = True

    @property
    def apply(self) -> ApplyRequest:
        """The same as the general request."""
        return ApplyRequest(id=self.id, set=self.set, at=self.at, crossfade_ms=self.crossfade_ms, wait=self.wait)


class CaptureRequest(Struct, frozen=True, kw_only=True, tag="capture", tag_field="request", forbid_unknown_fields=True):
    """Writes what the flight recorder holds; the answer has the file."""

    id: int = 0
    reason: Annotated[str, Meta(max_length=200)] = "requested"


class CancelRequest(Struct, frozen=True, kw_only=True, tag="cancel", tag_field="request", forbid_unknown_fields=True):
    """Gives up a change that has not happened yet."""

    id: int = 0
    apply: int
    """The ``id`` of the `ApplyRequest` or `SetRequest` of the same connection, which did not ``wait``."""


Request = (
    StatusRequest
    | SubscribeRequest
    | StopRequest
    | RestartRequest
    | GraphRequest
    | PlanRequest
    | ApplyRequest
    | SetRequest
    | CaptureRequest
    | CancelRequest
)


class NodeStatus(Struct, frozen=True, kw_only=True):
    """One node of a run."""

    role: str
    kind: str
    pace: str
    """``clock``, ``device`` or ``none``: what paces the node."""
    state: str
    """``waiting``, ``running``, ``restarting``, ``ended`` or ``failed``."""
    severity: int
    """0 fine, 1 in trouble, 2 restarting, 3 failed."""
    text: str
    """What it does and how it is, most important first."""
    rate: int | None = None
    """Sample rate in Hz of what a source writes or a sink reads."""
    channels: int | None = None
    """Channels of what a source writes or a sink reads."""
    metrics: dict[str, int | float | str]
    """As in the report."""
    rates: dict[str, dict[str, float]] = {}
    """Counters per second over the last 1, 10 and 60 s, by the name of the metric; none of those that stood still."""
    recent: dict[str, int] = {}
    """What was added to counters in the last 10 s; those that stood still are left out."""
    trouble: str = ""
    """Why ``severity`` is not 0."""
    failure: str = ""


class EdgeStatus(Struct, frozen=True, kw_only=True):
    """One edge of a run."""

    crossing: bool
    severity: int = 0
    """0 fine, 1 a crossing that is not locked."""
    text: str = ""
    metrics: dict[str, int | float | str]
    recent: dict[str, int] = {}
    """As that of a node."""
    trouble: str = ""
    """Why ``severity`` is not 0."""


class ControlProcessStatus(Struct, frozen=True, kw_only=True):
    """A program beside the run."""

    state: Literal["starting", "running", "waiting"]
    """``waiting`` for its next start: it has ended, or cannot be started."""
    pid: int | None = None
    restarts: int = 0
    trouble: str = ""
    """Why it does not run."""


class RunStatus(Struct, frozen=True, kw_only=True):
    """A snapshot of a run."""

    name: str
    graph: str
    profile: str | None
    pid: int
    started_at: str
    duration_s: float
    stopping: bool
    trouble: list[str]
    """Sentences about the nodes, crossings and programs in trouble, the most urgent first; empty where all is well."""
    nodes: dict[str, NodeStatus]
    edges: dict[str, EdgeStatus]
    control: dict[str, ControlProcessStatus] = {}
    """The programs beside it, by the name of their table in ``[control]``."""
    cpu_s: dict[str, float] = {}
    """Processor time since the start, in seconds: of the ``process``, and of its thread ``engine``."""


class RunEvent(Struct, frozen=True, kw_only=True):
    """An event of a node, as in the report."""

    at_ns: int
    """Local time."""
    node: str
    name: str
    fields: dict[str, int | float | str] = {}


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one request."""

    id: int
    ok: bool
    error: str = ""
    """A sentence, where ``ok`` is false."""
    status: RunStatus | None = None
    graph: dict[str, Any] | None = None
    """The graph as it runs, in the shape of a graph file; everything that was laid over the file is in it."""
    plan: ChangePlan | None = None
    applied: dict[str, AppliedFrame] | None = None
    """By sink: the first frame of the new input, or the frame at which it ended."""
    file: str = ""
    """The capture that was written."""


class StatusLine(Struct, frozen=True, kw_only=True):
    """A status of a subscription. A slow reader gets the newest one only."""

    status: RunStatus


class EventLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event of a subscription."""

    event: RunEvent
    lost: int = 0
    """Events after this one that were dropped, since the client read too slowly."""


_requests = msgspec.json.Decoder(Request)
_encoder = msgspec.json.Encoder()


def decode_request(line: bytes) -> Request:
    """A request. Raises ValueError with a sentence for a line that is none."""
    try:
        return _requests.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no request: {error}") from None


def encode_line(value: Struct) -> bytes:
    """A value as a line."""
    return _encoder.encode(value) + b"\n"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of all lines, in both directions."""
    requests = get_args(Request)
    types = [*requests, Hello, Answer, StatusLine, EventLine]
    references, definitions = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    client, server = list(references[: len(requests)]), list(references[len(requests) :])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Control socket of Phasegraph, protocol {PROTOCOL}",
        "$defs": {
            **definitions,
            "ClientLine": {"description": "A line of a client.", "anyOf": client},
            "ServerLine": {"description": "A line of a server.", "anyOf": server},
        },
        "anyOf": [{"$ref": "#/$defs/ClientLine"}, {"$ref": "#/$defs/ServerLine"}],
    }
