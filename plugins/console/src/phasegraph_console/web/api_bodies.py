"""What clients of the API send, and what they get besides `RunOverview` and `RunHistory`."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from phasegraph.control import ChangeTime

NodeId = Annotated[str, Meta(min_length=1, max_length=200)]
OptionPath = Annotated[str, Meta(min_length=3, max_length=300)]


class RunList(Struct, frozen=True, kw_only=True):
    """The runs of this machine."""

    runs: list[RunLine]


class RunLine(Struct, frozen=True, kw_only=True):
    """One run in a list."""

    name: str
    state: str
    headline: str
    graph: str
    pid: int
    started_at: str
    version: str
    """Of Phasegraph."""
    ended_at: str | None


class PlanBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a run's graph: exactly one of ``set``, ``graph`` and ``toml``."""

    set: Annotated[dict[OptionPath, Any], Meta(min_length=1, max_length=1000)] | UnsetType = UNSET
    """New values by path: ROLE.ID.OPTION, or ROLE.ID with a whole table; null removes."""
    graph: dict[str, Any] | UnsetType = UNSET
    """A whole graph, in the shape of a graph file."""
    toml: Annotated[str, Meta(max_length=1 << 20)] | UnsetType = UNSET
    """The text of a whole graph file."""

    def __post_init__(self) -> None:
        """Raises ValueError unless exactly one is given."""
        if sum(given is not UNSET for given in (self.set, self.graph, self.toml)) != 1:
            raise ValueError("give one of set, graph and toml")


class ApplyBody(PlanBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change, and when it happens."""

    at: ChangeTime | UnsetType = UNSET
    """When inputs are switched; left out: as soon as everything is there."""
    crossfade_ms: Annotated[float, Meta(ge=0, le=10_000)] = 0.0


class RestartBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which node to end and start again."""

    node: NodeId


class StopBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to end a run."""

    at_once: bool = False
    """Do not wait for sinks to write and send what they have."""


class VerifyBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to judge what the flight recorder of a run holds."""

    a2a: bool = False
    """Compare the sound of streams too."""


class RunVerification(Struct, frozen=True, kw_only=True):
    """What ``kernel verify`` says of a run's packets."""

    file: str
    """The capture, on the run's machine."""
    verdict: str
    """PASS or FAIL."""
    subjects: list[dict[str, Any]]
    """Streams and PTP domains: ``name``, ``description``, ``verdict``, and ``checks``: a figure beside each limit."""
    notes: list[str]


class SdpBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A session description to explain."""

    sdp: Annotated[str, Meta(max_length=65_536)]


class RunGraph(Struct, frozen=True, kw_only=True):
    """The graph of a run as it is now."""

    graph: dict[str, Any]
    """In the shape of a graph file."""


class Done(Struct, frozen=True, kw_only=True):
    """The run has done what was asked."""

    ok: bool = True


class ApiError(Struct, frozen=True, kw_only=True):
    """Why a request was refused."""

    error: str
    """A sentence."""
    problems: list[str] = []
    """Of a change that was refused: all of them."""


class SessionList(Struct, frozen=True, kw_only=True):
    """Announced sessions, as ``kernel discover --format json`` lists them."""

    listening: bool
    """Whether more may be found: devices announce every 30 s."""
    problem: str
    """Why there are none, where the command failed."""
    sessions: list[dict[str, Any]]
