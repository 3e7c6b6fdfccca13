"""A fake run behind the console: statuses and events that a test decides, without a socket."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import trio

from phasegraph.control import ControlError, EdgeStatus, EventLine, Hello, NodeStatus, RunEvent, RunStatus

STARTED_AT = "2026-11-30T02:00:00.000Z"


def node(
    role: str, kind: str, *, severity: int = 0, text: str = "fine", node_state: str = "running", **metrics: Any
) -> NodeStatus:
    pace = {"ptp": "clock", "system": "clock", "aes67": "clock", "soundcard": "device"}.get(kind, "none")
    return NodeStatus(role=role, kind=kind, pace=pace, state=node_state, severity=severity, text=text, metrics=metrics)


def clock(**more: Any) -> NodeStatus:
    figures = {
        "state": "locked",
        "local_ns": 1_000_000_000,
        "offset_ns": 1_764_460_800_000_000_000,
        "rate_ppb": 12_000.0,
        "sigma_ns": 400,
        "bound_ns": 4000,
        "grandmaster": "62-D2-11-FF-FE-00-00-01",
        "timescale": "ptp",
        "domain": 0,
        "path_delay_ns": 2100,
    }
    return node("clock", "ptp", **(figures | more))


def stream(**more: Any) -> NodeStatus:
    figures = {
        "packets_received": 10_000,
        "packets_lost": 2,
        "packets_late": 1,
        "packets_early": 0,
        "packets_duplicate": 0,
        "packets_reordered": 0,
        "packets_malformed": 0,
        "packets_foreign": 0,
        "frames_concealed": 96,
        "lateness_p50_ns": 1_100_000,
        "lateness_p99_ns": 1_400_000,
        "lateness_max_ns": 2_600_000,
        "link_offset_ns": 3_000_000,
        "sender": "10.77.0.1",
        "ssrc": 1234,
        "sender_rate_ppb": 150.0,
        "sender_rate_sigma_ppb": 20.0,
        "socket_dropped": 0,
        "stream": "L24, 48 kHz, 2 channels, 239.69.1.10:5004",
        "level_peak_dbfs_1": -18.5,
        "level_peak_dbfs_2": -60.0,
        "phase_correlation_1_2": -0.25,
    }
    return node("source", "aes67", **(figures | more))


def sender(**more: Any) -> NodeStatus:
    figures = {
        "packets_sent": 9000,
        "send_errors": 0,
        "pacing_error_p50_ns": 15_000,
        "pacing_error_p99_ns": 90_000,
        "pacing_error_max_ns": 400_000,
        "lead_ns": 1_000_000,
        "underruns": 0,
        "underrun_frames": 0,
        "stream": "L24, 48 kHz, 2 channels, 239.69.1.20:5004",
    }
    return node("sink", "aes67", **(figures | more))


def card(**more: Any) -> NodeStatus:
    figures = {"frames_in": 480_000, "underruns": 1, "underrun_frames": 48, "overruns": 0, "device_rate_ppb": 23_000.0}
    return node("sink", "soundcard", **(figures | more))


def crossing(**more: Any) -> EdgeStatus:
    figures = {
        "state": "locked",
        "ratio_ppb": 50_119.0,
        "phase_error_ns": 120.0,
        "phase_error_rms_frames": 0.02,
        "buffer_frames": 144,
        "resyncs": 0,
        "missing_frames": 0,
    }
    return EdgeStatus(crossing=True, text="resampled at +50.119 ppm (align), locked", metrics=figures | more)


def status(name: str = "hall", nodes: Mapping[str, NodeStatus] | None = None, **more: Any) -> RunStatus:
    nodes = (
        {"house": clock(), "stage": stream(), "network": sender(), "speakers": card()} if nodes is None else dict(nodes)
    )
    troubled = sorted((id for id in nodes if nodes[id].severity), key=lambda name: -nodes[name].severity)
    fields: dict[str, Any] = {
        "name": name,
        "graph": f"{name}.toml",
        "profile": None,
        "pid": os.getpid(),
        "started_at": STARTED_AT,
        "duration_s": 12.5,
        "stopping": False,
        "trouble": [f"{id}: {nodes[id].text}" for id in troubled],
        "nodes": nodes,
        "edges": {"stage->speakers": crossing()} if "speakers" in nodes else {},
    }
    return RunStatus(**(fields | more))


HISTOGRAM = "1044000:4000 1250000:5000 2700000:998 3100000:2"


def full_status(name: str = "hall") -> RunStatus:
    """One node of each kind, with every figure that there is."""
    legs = {f"leg_{leg}_packets_{what}": 5 for leg in "ab" for what in ("received", "lost", "late")}
    return status(
        name,
        nodes={
            "house": clock(time_to_lock_s=2.5),
            "stage": stream(lateness_histogram=HISTOGRAM, **legs),
            "network": sender(),
            "speakers": card(),
        },
        edges={"stage->speakers": crossing(), "stage->network": EdgeStatus(crossing=False, metrics={})},
        cpu_s={"process": 3.5, "engine": 2.25},
    )


def event(name: str, of: str = "stage", at_ns: int = 0, **fields: Any) -> EventLine:
    return EventLine(event=RunEvent(at_ns=at_ns, node=of, name=name, fields=fields))


class FakeConnection:
    """What `RunDirectory` sees of a run."""

    def __init__(self, run: FakeRun) -> None:
        self.hello: Hello | None = run.hello
        self._run = run

    async def status(self) -> RunStatus:
        return await self._run.first_status()

    async def subscribe(
        self, *, interval_s: float | None = 1.0, events: bool = True
    ) -> AsyncIterator[RunStatus | EventLine]:
        async for line in self._run.lines:
            yield line


class FakeRun:
    """A run that sends what it is given."""

    def __init__(self, name: str = "hall") -> None:
        self.hello = Hello(version="0.1.0", name=name, graph=f"{name}.toml", pid=4711, started_at=STARTED_AT)
        self._send, self.lines = trio.open_memory_channel[RunStatus | EventLine](100)
        self.path = Path(f"{name}.sock")

    async def first_status(self) -> RunStatus:
        """The newest of those that were sent; events before it are sent again."""
        while True:
            try:
                line = await self.lines.receive()
            except trio.EndOfChannel:
                raise ControlError("the run has ended") from EOFError()
            if isinstance(line, RunStatus):
                return line
            self.send(line)
            await trio.sleep(0.01)

    def send(self, line: RunStatus | EventLine) -> None:
        self._send.send_nowait(line)

    def close(self) -> None:
        """The process of the run ends."""
        self._send.close()


class FakeMachine:
    """The runs of a machine; its methods are those that `RunDirectory` is given."""

    def __init__(self, *runs: FakeRun) -> None:
        self.runs = {run.hello.name: run for run in runs}
        self.followed: set[str] = set()
        """Those that the directory said it follows, at its last search."""

    async def find(self, followed: Collection[Path]) -> Mapping[str, Path]:
        self.followed = {path.stem for path in followed}
        return {name: run.path for name, run in self.runs.items()}

    @asynccontextmanager
    async def connect(self, path: Path) -> AsyncIterator[FakeConnection]:
        yield FakeConnection(self.runs[path.stem])

    @contextmanager
    def gone(self, name: str) -> Iterator[None]:
        run = self.runs.pop(name)
        run.close()
        yield
