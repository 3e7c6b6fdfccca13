"""The report: what ran, what it measured, how it ended. One JSON object, and the same in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .._core.clock import ClockState
from .._core.compensation import DeviceRate
from .._core.node import Metric
from .build import BuiltEdge, BuiltGraph, BuiltNode
from .context import Services
from .crossing import CrossingTap
from .supervise import Supervisor

SCHEMA = 1


class Meter:
    """Gathers the figures of a run, while it runs and at its end."""

    def __init__(self, graph: BuiltGraph, services: Services) -> None:
        self._graph = graph
        self._services = services
        self._began_ns = services.local.now_ns()
        self._locked_after_s: dict[str, float] = {}

    @property
    def duration_s(self) -> float:
        """Seconds since the run began."""
        return (self._services.local.now_ns() - self._began_ns) / 1e9

    def sample(self) -> None:
        """Look at the clocks and crossings: several times a second, for the trace and for what happens in time."""
        now = self._services.local.now_ns()
        for node in self._graph.nodes.values():
            if node.role == "clocks":
                estimate = self._graph.clock(node.id).estimate()
                self._services.trace.clock(node.id, now, estimate)
                if estimate.state is ClockState.LOCKED:
                    self._locked_after_s.setdefault(node.id, self.duration_s)
        for edge in self._graph.edges:
            if isinstance(edge.tap, CrossingTap):
                correction = edge.tap.correction
                self._services.trace.write(
                    "correction",
                    edge.edge.compensator or "",
                    now,
                    {
                        "edge": edge.edge.name,
                        "ratio_ppb": correction.ratio_ppb,
                        "phase_frames": edge.tap.error_frames,
                        "reason": correction.reason,
                        **_device(correction.device),
                    },
                )

    def metrics(self, node: BuiltNode) -> dict[str, Metric]:
        """The figures of a node now."""
        metrics: dict[str, Metric] = {}
        if node.role == "clocks":
            now = self._services.local.now_ns()
            estimate = self._graph.clock(node.id).estimate()
            metrics |= {
                "state": estimate.state.value,
                "offset_ns": estimate.reference_at(now) - now,
                "rate_ppb": round(estimate.rate_ppb, 3),
                "sigma_ns": estimate.sigma_ns,
                "bound_ns": estimate.bound_ns,
                "grandmaster": estimate.grandmaster,
                "timescale": estimate.timescale,
            }
            if estimate.path_delay_ns is not None:
                metrics["path_delay_ns"] = estimate.path_delay_ns
            if node.id in self._graph.fallbacks:
                active = self._graph.fallbacks[node.id].active
                metrics["running_on"] = node.config.fallback if active else node.id
            if node.id in self._locked_after_s:
                metrics["time_to_lock_s"] = round(self._locked_after_s[node.id], 3)
        if node.input is not None:
            metrics["underruns"] = node.input.underruns
            metrics["underrun_frames"] = node.input.missing_frames
        try:
            metrics |= node.node.metrics()
        except Exception as error:  # whatever a plugin raises must not cost the others' figures
            metrics["metrics_failed"] = f"{type(error).__name__}: {error}"
        return _plain(metrics)

    def report(self, supervisor: Supervisor, *, graph: str, profile: str | None) -> dict[str, Any]:
        """The whole report, as the contract gives it."""
        return {
            "schema": SCHEMA,
            "graph": graph,
            "profile": profile,
            "duration_s": round(self.duration_s, 6),
            "virtual": self._services.local.virtual,
            "ended": supervisor.ended,
            "nodes": {
                node.id: {
                    "role": node.role.removesuffix("s"),
                    "kind": node.kind,
                    "state": supervisor.states[node.id].value,
                    "metrics": self.metrics(node),
                    **({"failure": supervisor.failures[node.id]} if node.id in supervisor.failures else {}),
                }
                for node in self._graph.nodes.values()
            },
            "edges": _edges(self._graph.edges),
            "events": [
                {"at_ns": event.at_ns, "node": event.node, "name": event.name, **_plain(event.fields)}
                for event in self._services.events
            ],
            "events_forgotten": self._services.events_forgotten,
        }


def _device(rate: DeviceRate | None) -> dict[str, Metric]:
    return {} if rate is None else {"device_rate_ppb": rate.rate_ppb, "device_sigma_ppb": rate.sigma_ppb}


def _plain(figures: Mapping[str, Any]) -> dict[str, Metric]:
    # What JSON does not have must not cost the whole report: numbers of numpy's are made plain, those that are not
    # finite are left out, and anything else is told in words.
    plain: dict[str, Metric] = {}
    for name, value in figures.items():
        value = value.item() if hasattr(value, "item") else value
        if not isinstance(value, float) or math.isfinite(value):
            plain[name] = value if isinstance(value, int | float | str) else str(value)
    return plain


def _edges(edges: Sequence[BuiltEdge]) -> dict[str, Any]:
    # A sink may take a source twice, with different channels.
    told: dict[str, Any] = {}
    times: Counter[str] = Counter()
    for edge in edges:
        name = edge.edge.name
        times[name] += 1
        told[name if times[name] == 1 else f"{name}#{times[name]}"] = _edge(edge)
    return told


def _edge(edge: BuiltEdge) -> dict[str, Any]:
    metrics: dict[str, Metric] = {"missing_frames": edge.tap.missing_frames}
    tap = edge.tap
    if isinstance(tap, CrossingTap):
        metrics |= {
            "ratio_ppb": round(tap.correction.ratio_ppb, 3),
            "phase_error_ns": round(tap.error_frames * 1e9 / tap.stream.format.rate),
            "phase_error_rms_frames": round(tap.error_rms_frames, 6),
            "buffer_frames": tap.buffer_frames,
            "resyncs": tap.resyncs,
        }
        if tap.locked_after_ns is not None:
            metrics["time_to_lock_s"] = tap.locked_after_ns / 1e9
    return {"crossing": edge.edge.crossing, "compensator": edge.edge.compensator, "metrics": metrics}
