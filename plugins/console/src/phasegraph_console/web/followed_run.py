"""One run as the console knows it: its newest status, its events and its clocks of the last minutes. No I/O."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct

from phasegraph.control import EventLine, Hello, RunStatus

from .run_headline import headline

MOST_EVENTS = 500
MOST_CLOCK_POINTS = 600
"""A point a second: ten minutes."""
MOST_CLOCKS = 64


class TimedEvent(Struct, frozen=True, kw_only=True):
    """An event of a node, with the time of day."""

    number: int
    """Counts up, for each run."""
    at: str
    """Wall clock, UTC, ISO 8601."""
    node: str
    name: str
    fields: dict[str, int | float | str] = {}
    lost: int = 0
    """Events after this one that did not reach the console."""


class ClockPoint(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A clock at a moment, for the chart."""

    at_ms: int
    """Wall clock, UTC, milliseconds since 1970."""
    state: str
    correction_ns: float | None = None
    """How far the reference time is from where the estimate of the point before put it. None for the first point."""
    rate_ppb: float | None = None
    sigma_ns: float | None = None
    bound_ns: float | None = None
    path_delay_ns: float | None = None
    grandmaster: str = ""


class RunOverview(Struct, frozen=True, kw_only=True):
    """A run, for a page and for scripts."""

    name: str
    state: str
    """``running``, ``ended``, or ``unreachable`` where a socket does not answer."""
    headline: str
    """One sentence: how it is."""
    age_s: float
    """Age of ``status``."""
    interval_s: float
    """How often a status comes: less often for a large graph."""
    ended_at: str | None
    """When the run ended, or the console lost it: wall clock, UTC."""
    ended_because: str
    status: RunStatus | None
    """The newest snapshot."""
    clock_points: dict[str, ClockPoint]
    """The newest point of each clock."""


class RunHistory(Struct, frozen=True, kw_only=True):
    """What the console remembers of a run since it follows it."""

    events: list[TimedEvent]
    clocks: dict[str, list[ClockPoint]]


class FollowedRun:
    """What is known of one run. Times come from the caller: ``now_s`` counts seconds, ``wall`` is the time of day."""

    def __init__(self, name: str, hello: Hello) -> None:
        self.name = name
        self.hello = hello
        self.status: RunStatus | None = None
        self.state = "running"
        self.ended_at: str | None = None
        self.ended_because = ""
        self.ended_s: float | None = None
        self.interval_s = 1.0
        """How often a status is asked for."""
        self.stop_requested = False
        """Whether it was stopped from here."""
        self.events: deque[TimedEvent] = deque(maxlen=MOST_EVENTS)
        self._clocks: dict[str, deque[ClockPoint]] = {}
        self._readings: dict[str, tuple[int, int, float]] = {}
        """Local time, offset and rate of each clock, as last read."""
        self._status_s = 0.0
        self._events_seen = 0

    def add_status(self, status: RunStatus, now_s: float, wall: datetime) -> None:
        """A new snapshot."""
        self.status, self._status_s = status, now_s
        self.state, self.ended_at, self.ended_because, self.ended_s = "running", None, "", None
        at_ms = round(wall.timestamp() * 1000)
        for id, node in status.nodes.items():
            if node.role == "clock" and (id in self._clocks or len(self._clocks) < MOST_CLOCKS):
                points = self._clocks.setdefault(id, deque(maxlen=MOST_CLOCK_POINTS))
                points.append(self._clock_point(id, node.metrics, at_ms))
        for id in self._clocks.keys() - status.nodes.keys():
            del self._clocks[id]
            self._readings.pop(id, None)

    def add_event(self, line: EventLine, local_now_ns: int, wall: datetime) -> TimedEvent:
        """A new event; ``local_now_ns`` is the local time now, in which its own time counts."""
        self._events_seen += 1
        age = timedelta(microseconds=max(0, local_now_ns - line.event.at_ns) // 1000)
        event = TimedEvent(
            number=self._events_seen,
            at=iso_time(wall - min(age, timedelta(days=1))),
            node=line.event.node,
            name=line.event.name,
            fields=line.event.fields,
            lost=line.lost,
        )
        self.events.append(event)
        return event

    def end(self, because: str, now_s: float, wall: datetime, *, state: str = "ended") -> None:
        """The connection to the run has ended."""
        self.state, self.ended_because = state, because
        self.ended_s, self.ended_at = now_s, iso_time(wall)

    def age_s(self, now_s: float) -> float:
        """Age of the newest status."""
        return round(now_s - self._status_s, 3) if self.status else 0.0

    def overview(self, now_s: float) -> RunOverview:
        """What there is to see."""
        words = {"ended": "The run ended", "unreachable": "The run does not answer"}.get(self.state)
        said = f"{words}: {self.ended_because}." if words else headline(self.status)
        return RunOverview(
            name=self.name,
            state=self.state,
            headline=said,
            age_s=self.age_s(now_s),
            interval_s=self.interval_s,
            ended_at=self.ended_at,
            ended_because=self.ended_because,
            status=self.status,
            clock_points={id: points[-1] for id, points in self._clocks.items()},
        )

    def history(self) -> RunHistory:
        """Events and clocks, as far as they are remembered."""
        clocks = {id: list(points) for id, points in self._clocks.items()}
        return RunHistory(events=list(self.events), clocks=clocks)

    def _clock_point(self, id: str, metrics: dict[str, int | float | str], at_ms: int) -> ClockPoint:
        def number(name: str) -> float | None:
            value = metrics.get(name)
            return value if isinstance(value, int | float) else None

        correction_ns = None
        local_ns, offset_ns, rate_ppb = metrics.get("local_ns"), metrics.get("offset_ns"), number("rate_ppb") or 0.0
        if isinstance(local_ns, int) and isinstance(offset_ns, int):
            if before := self._readings.get(id):
                passed_ns = local_ns - before[0]
                correction_ns = round(offset_ns - before[1] - passed_ns * before[2] * 1e-9, 1)
            self._readings[id] = local_ns, offset_ns, rate_ppb
        return ClockPoint(
            at_ms=at_ms,
            state=str(metrics.get("state", "")),
            correction_ns=correction_ns,
            rate_ppb=number("rate_ppb"),
            sigma_ns=number("sigma_ns"),
            bound_ns=number("bound_ns"),
            path_delay_ns=number("path_delay_ns"),
            grandmaster=str(metrics.get("grandmaster", "")),
        )


def iso_time(wall: datetime) -> str:
    """A wall-clock time as text: UTC, milliseconds."""
    return wall.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_bytes(value: object) -> bytes:
    """A value as JSON."""
    return _encoder.encode(value)


_encoder = msgspec.json.Encoder()
