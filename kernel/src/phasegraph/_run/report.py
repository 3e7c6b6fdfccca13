"""The report: what ran, what it measured, how it ended. One JSON object; ``summary`` has the same in sentences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from .._core.clock import UNKNOWN_NS, ClockEstimate, ClockState
from .._core.compensation import DeviceRate
from .._core.node import Metric, read_counters
from .build import BuiltEdge, BuiltGraph, BuiltNode
from .context import Services
from .crossing import CrossingTap
from .inputs import SinkInput
from .supervise import Supervisor

SCHEMA = 1
_PLAIN = (int, str)


class Meter:
    """Gathers the figures of a run, while it runs and at its end. Lives on the control plane."""

    def __init__(self, graph: BuiltGraph, services: Services) -> None:
        self._graph = graph
        self._services = services
        self._began_ns = services.local.now_ns()
        self.started_at = _wall_clock()
        """Wall clock, UTC, ISO 8601."""
        self._locked_after_s: dict[str, float] = {}
        self._jumps: dict[str, int] = {}
        """Jumps of media time that were reported, by sink."""

    @property
    def duration_s(self) -> float:
        """Seconds since the run began."""
        return (self._services.local.now_ns() - self._began_ns) / 1e9

    def sample(self) -> None:
        """Record clocks and crossings: several times a second, for the trace, times to lock and events."""
        now = self._services.local.now_ns()
        for node in self._graph.nodes.values():
            if node.role == "clocks":
                self._sample_clock(node.id, now)
            elif node.input is not None:
                self._report_jumps(node.id, node.input)
        for edge in self._graph.edges:
            if isinstance(edge.tap, CrossingTap):
                figures = edge.tap.figures.latest
                correction = figures.correction
                self._services.trace.write_record(
                    "correction",
                    edge.edge.compensator or "",
                    now,
                    {
                        "edge": edge.edge.name,
                        "ratio_ppb": correction.ratio_ppb,
                        "phase_frames": figures.error_frames,
                        "reason": correction.reason,
                        **_device(correction.device),
                    },
                )

    def _sample_clock(self, id: str, now: int) -> None:
        estimate = self._estimate(id)
        if estimate is None:
            return
        self._services.trace.clock(id, now, estimate)
        if estimate.state is ClockState.LOCKED:
            self._locked_after_s.setdefault(id, self.duration_s)

    def _estimate(self, id: str) -> ClockEstimate | None:
        try:
            return self._graph.clock(id).estimate()
        except Exception:  # an error of a plugin, which its metrics report
            return None

    def _report_jumps(self, id: str, input: SinkInput) -> None:
        figures = input.figures.latest
        if figures.media_time_jumps > self._jumps.get(id, 0):
            self._jumps[id] = figures.media_time_jumps
            jump_s = figures.last_jump_frames / input.format.rate
            reason = "the clock shows another time; the sink continues there, without the time between"
            self._services.event(id, "media_time_jumped", {"jump_s": round(jump_s, 6), "reason": reason})

    def metrics(self, node: BuiltNode) -> dict[str, Metric]:
        """The figures of a node now. What was not measured is left out."""
        metrics: dict[str, Metric] = {}
        if node.input is not None:
            figures = node.input.figures.latest
            metrics["underruns"] = figures.underruns
            metrics["underrun_frames"] = figures.missing_frames
        try:
            if node.role == "clocks":
                metrics |= self._clock_metrics(node)
            metrics |= node.node.metrics()
        except Exception as error:  # whatever a plugin raises must not cost the others' figures
            metrics["metrics_failed"] = f"{type(error).__name__}: {error}"
        return plain_metrics(metrics)

    def counters(self, node: BuiltNode) -> dict[str, Metric]:
        """Of the figures of a node at least those that count something: cheap, for those who sample them."""
        metrics: dict[str, Metric] = {}
        if node.input is not None:
            figures = node.input.figures.latest
            metrics = {"underruns": figures.underruns, "underrun_frames": figures.missing_frames}
        try:
            metrics |= read_counters(node.node)
        except Exception as error:  # as in `metrics`
            metrics["metrics_failed"] = str(error)
        return plain_metrics(metrics)

    def _clock_metrics(self, node: BuiltNode) -> dict[str, Metric]:
        now = self._services.local.now_ns()
        estimate = self._graph.clock(node.id).estimate()
        metrics: dict[str, Metric] = {
            "state": estimate.state.value,
            "local_ns": now,
            "offset_ns": estimate.reference_at(now) - now,
            "rate_ppb": round(estimate.rate_ppb, 3),
            "grandmaster": estimate.grandmaster,
            "timescale": estimate.timescale,
        }
        accuracy = {"sigma_ns": estimate.sigma_ns, "bound_ns": estimate.bound_ns}
        metrics |= {name: value for name, value in accuracy.items() if value < UNKNOWN_NS}
        if estimate.domain is not None:
            metrics["domain"] = estimate.domain
        if estimate.path_delay_ns is not None:
            metrics["path_delay_ns"] = estimate.path_delay_ns
        if node.id in self._graph.fallbacks:
            active = self._graph.fallbacks[node.id].active
            metrics["running_on"] = node.config.fallback if active else node.id
        apart_ns = self._apart_ns(node, estimate, now)
        if apart_ns is not None:
            metrics["apart_ns"] = apart_ns
        if node.id in self._locked_after_s:
            metrics["time_to_lock_s"] = round(self._locked_after_s[node.id], 3)
        return metrics

    def _apart_ns(self, node: BuiltNode, estimate: ClockEstimate, now: int) -> int | None:
        # From the clocks of the run that follow the same reference: the rooms of one group.
        if estimate.state is not ClockState.LOCKED or not estimate.grandmaster:
            return None
        time_ns = estimate.reference_at(now)
        clocks = (other.id for other in self._graph.nodes.values() if other.role == "clocks" and other.id != node.id)
        distances = [
            abs(time_ns - other.reference_at(now))
            for other in map(self._estimate, clocks)
            if other is not None and other.state is ClockState.LOCKED and other.grandmaster == estimate.grandmaster
        ]
        return max(distances, default=None)

    def node(self, node: BuiltNode, supervisor: Supervisor) -> dict[str, Any]:
        """A node's part of the report."""
        return {
            "role": node.role.removesuffix("s"),
            "kind": node.kind,
            "pace": node.pace,
            "state": supervisor.state(node).value,
            "metrics": self.metrics(node),
            **({"failure": failure} if (failure := supervisor.failure(node)) else {}),
        }

    def edges(self) -> dict[str, Any]:
        """The edges' part of the report."""
        return {name: edge_report(edge) for name, edge in named_edges(self._graph.edges)}

    def report(
        self, supervisor: Supervisor, *, graph: str, profile: str | None, running: bool = False
    ) -> dict[str, Any]:
        """The whole report, as the contract gives it; of a run that is still ``running`` as far as it has come."""
        virtual = self._services.local.virtual
        ended_at = {} if running else {"ended_at": _wall_clock()}
        return {
            "schema": SCHEMA,
            "graph": graph,
            "profile": profile,
            **({} if virtual else {"started_at": self.started_at, **ended_at}),
            "duration_s": round(self.duration_s, 6),
            "virtual": virtual,
            "ended": "running" if running else supervisor.ended,
            "nodes": {node.id: self.node(node, supervisor) for node in self._graph.nodes.values()},
            "edges": self.edges(),
            "events": [
                {"at_ns": event.at_ns, "node": event.node, "name": event.name, **plain_metrics(event.fields)}
                for event in self._services.events
            ],
            "events_forgotten": self._services.events_forgotten,
        }


def silent_nodes(report: Mapping[str, Any]) -> list[str]:
    """Ids of the nodes of a report that handled nothing: not one usable packet or frame, in or out."""
    return [id for id, node in report["nodes"].items() if _handled_nothing(node["metrics"])]


def _handled_nothing(metrics: Mapping[str, Any]) -> bool:
    if "packets_received" in metrics:
        unusable = sum(metrics.get(f"packets_{name}", 0) for name in ("early", "late", "malformed"))
        return bool(metrics["packets_received"] <= unusable)
    counted = [metrics[name] for name in ("packets_sent", "frames_in", "frames_out") if name in metrics]
    return bool(counted) and not any(counted)


def exit_code(report: Mapping[str, Any], *, strict: bool = False) -> int:
    """1 where a node failed, was restarting or was without its device at the end (``strict``: or handled nothing), 0
    otherwise."""
    nodes = report["nodes"].values()
    bad = report["ended"] == "failed" or not {"failed", "restarting"}.isdisjoint(node["state"] for node in nodes)
    bad = bad or any(node["metrics"].get("device_lost") for node in nodes)
    return 1 if bad or (strict and silent_nodes(report)) else 0


def _wall_clock() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _device(rate: DeviceRate | None) -> dict[str, Metric]:
    return {} if rate is None else {"device_rate_ppb": rate.rate_ppb, "device_sigma_ppb": rate.sigma_ppb}


def plain_metrics(figures: Mapping[str, Any]) -> dict[str, Metric]:
    """Figures as JSON has them: numbers of numpy become plain, numbers that are not finite are left out, and anything
    else becomes text."""
    plain = dict(figures)
    for name in [name for name, value in figures.items() if type(value) not in _PLAIN]:
        value = figures[name].item() if hasattr(figures[name], "item") else figures[name]
        plain[name] = value if isinstance(value, int | float | str) else str(value)
        if isinstance(value, float) and not math.isfinite(value):
            del plain[name]
    return plain


def named_edges(edges: Sequence[BuiltEdge]) -> list[tuple[str, BuiltEdge]]:
    """Each edge with its name in the report. A sink may read a source twice, with different channels."""
    named, times = [], Counter[str]()
    for edge in edges:
        name = edge.edge.name
        times[name] += 1
        named.append((name if times[name] == 1 else f"{name}#{times[name]}", edge))
    return named


def edge_report(edge: BuiltEdge) -> dict[str, Any]:
    """An edge's part of the report."""
    tap = edge.tap
    metrics: dict[str, Metric] = {"missing_frames": tap.missing_frames}
    if isinstance(tap, CrossingTap):
        figures = tap.figures.latest
        metrics = {
            "missing_frames": figures.missing_frames,
            "state": "locked" if figures.correction.locked else "acquiring",
            "ratio_ppb": round(figures.correction.ratio_ppb, 3),
            "phase_error_ns": round(figures.error_frames * 1e9 / tap.stream.format.rate),
            "phase_error_rms_frames": round(figures.error_rms_frames, 6),
            "buffer_frames": figures.buffer_frames,
            "resyncs": figures.resyncs,
        }
        if figures.locked_after_ns is not None:
            metrics["time_to_lock_s"] = figures.locked_after_ns / 1e9
    return {"crossing": edge.edge.crossing, "compensator": edge.edge.compensator, "metrics": metrics}
