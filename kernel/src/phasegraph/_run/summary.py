"""A report in words: what each node did, from the metrics that the contract names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.units import format_duration

_ENDED = {
    "completed": "completed",
    "time": "ended when its time was up",
    "signal": "ended by a signal",
    "failed": "failed",
}
_NOTHING_KNOWN_NS = 3_600_000_000_000
"""A clock whose bound is an hour or more has no accuracy to speak of."""


def in_words(report: Mapping[str, Any]) -> list[str]:
    """The report as lines of text."""
    seconds = format_duration(report["duration_s"] * 1e9)
    lines = [f"The run {_ENDED[report['ended']]} after {seconds}{' of virtual time' if report['virtual'] else ''}."]
    for id, node in report["nodes"].items():
        if node["state"] == "failed":
            said = f"failed: {node.get('failure', 'no reason given')}"
        else:
            said = "; ".join(phrases(node["metrics"])) or node["state"]
        lines.append(f"  {node['role']} {id} ({node['kind']}): {said}")
    for name, edge in report["edges"].items():
        if edge["crossing"]:
            metrics = edge["metrics"]
            lines.append(
                f"  edge {name}: steered by {edge['compensator']}, ratio {metrics['ratio_ppb'] / 1000:+.3f} ppm, "
                f"{_many(metrics['resyncs'], 'resync')}"
            )
    return lines


def phrases(metrics: Mapping[str, Any]) -> list[str]:
    """What a node's metrics say, most important first."""
    said: list[str] = []
    if "bound_ns" in metrics:
        known = metrics["bound_ns"] < _NOTHING_KNOWN_NS
        said.append(metrics["state"] + (f", right within {format_duration(metrics['bound_ns'])}" if known else ""))
    if "packets_received" in metrics:
        said += _received(metrics)
    if "packets_sent" in metrics:
        said += _sent(metrics)
    for name, verb in (("frames_in", "took"), ("frames_out", "gave")):
        if name in metrics:
            said.append(f"{verb} {_many(metrics[name], 'frame')}")
    if metrics.get("underrun_frames"):
        said.append(f"{_many(metrics['underrun_frames'], 'frame')} were not there in time and are silence")
    if metrics.get("overruns"):
        said.append(f"{_many(metrics['overruns'], 'overrun')}")
    said += [str(metrics[name]) for name in ("stream", "file") if name in metrics]
    return said


def _received(metrics: Mapping[str, Any]) -> list[str]:
    said = [f"received {_many(metrics['packets_received'], 'packet')}"]
    troubles = [
        f"{_many(metrics[f'packets_{name}'])} {name}"
        for name in ("lost", "late", "early", "duplicate", "reordered", "malformed", "foreign")
        if metrics.get(f"packets_{name}")
    ]
    if metrics.get("socket_dropped"):
        troubles.append(f"{_many(metrics['socket_dropped'])} dropped by the system before they were read")
    if troubles:
        said.append(", ".join(troubles))
    elif metrics["packets_received"]:
        said.append("none lost or late")
    if metrics.get("frames_concealed"):
        said.append(f"{_many(metrics['frames_concealed'], 'frame')} concealed")
    if "lateness_p50_ns" in metrics:
        median, most, all_but = (format_duration(metrics[f"lateness_{name}_ns"]) for name in ("p50", "max", "p99"))
        said.append(f"they came {median} after their media time (median; 99 % within {all_but}, at most {most})")
        if "link_offset_ns" in metrics:
            said.append(f"the link offset is {format_duration(metrics['link_offset_ns'])}")
    if metrics.get("trouble"):
        said.append(str(metrics["trouble"]))
    return said


def _sent(metrics: Mapping[str, Any]) -> list[str]:
    said = [f"sent {_many(metrics['packets_sent'], 'packet')}"]
    if metrics.get("send_errors"):
        said.append(f"the system refused {_many(metrics['send_errors'])}")
    if "pacing_error_p50_ns" in metrics:
        median, worst = format_duration(metrics["pacing_error_p50_ns"]), format_duration(metrics["pacing_error_p99_ns"])
        said.append(f"{median} behind their time (median; 99 % within {worst})")
    return said


def _many(count: int, noun: str = "") -> str:
    number = f"{count:,}".replace(",", " ")
    return f"{number} {noun}{'' if count == 1 else 's'}" if noun else number
