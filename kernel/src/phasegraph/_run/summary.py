"""Sentences about a run, for people: the summary at its end and the live status are made here, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from .._core.units import format_duration
from .._option_types.wording import join_words
from .report import silent_nodes

_ENDED = {
    "completed": "Completed after {}",
    "time": "Stopped after --for {}",
    "signal": "Stopped by a signal after {}",
    "failed": "Failed after {}",
    "stopped": "Stopped by request after {}",
}
_FRAME_LOSSES = {
    "overruns": "overrun",
    "underruns": "underrun",
    "lost_frames": "lost frame",
    "unwritten_frames": "unwritten frame",
}
_FRAMES_READ = {
    ("source", "none"): "read",
    ("source", "device"): "captured",
    ("sink", "none"): "received",
    ("sink", "device"): "played",
}
"""What a node does with its frames, by its role and by what paces it (see `phasegraph._core.kinds.Domain`)."""
_UNKNOWN_ACCURACY_NS = 3_600_000_000_000
"""A clock whose bound is an hour or more has no accuracy worth a word."""
_PACKET_LOSSES = {f"packets_{word}": word for word in ("lost", "late", "early", "duplicate", "reordered", "malformed")}


def summary_lines(report: Mapping[str, Any], *, strict: bool = False) -> list[str]:
    """A report as lines of text: how the run ended, then each node and each crossing, then what is missing.

    ``strict`` says that nodes which handled nothing are a failure.
    """
    duration = format_duration(report["duration_s"] * 1e9)
    lines = [_ENDED[report["ended"]].format(duration) + (" of virtual time." if report["virtual"] else ".")]
    for id, node in report["nodes"].items():
        lines.append(f"  {node['role']} {id} ({node['kind']}): {'; '.join(node_phrases(node))}")
    for name, edge in report["edges"].items():
        if edge["crossing"]:
            lines.append(f"  edge {name}: {'; '.join(edge_phrases(edge))}")
    if silent := silent_nodes(report):
        nothing = f"Nothing at all passed through {join_words(silent, 'and')}"
        lines.append(f"{nothing}: a failure, by --strict." if strict else f"{nothing}.")
    return lines


def severity(node: Mapping[str, Any]) -> int:
    """How urgent a node is: 3 failed, 2 restarting, 1 in trouble, 0 fine."""
    state = node["state"]
    if state in ("failed", "restarting"):
        return 3 if state == "failed" else 2
    metrics = node["metrics"]
    unlocked = node["role"] == "clock" and metrics.get("state", "locked") != "locked"
    return 1 if unlocked or metrics.get("trouble") else 0


def node_phrases(node: Mapping[str, Any]) -> list[str]:
    """What a node did and how it is, most important first. ``node`` is its part of a report."""
    metrics = node["metrics"]
    phrases = _trouble(node)
    if node["role"] == "clock" and "state" in metrics:
        phrases += _clock(metrics)
    if "packets_received" in metrics:
        phrases += _received(metrics)
    if "packets_sent" in metrics:
        phrases += _sent(metrics)
    verb = _FRAMES_READ.get((node["role"], node.get("pace", "none")), "handled")
    if node["role"] == "sink" and "file" in metrics:
        verb = "recorded"
    for name in ("frames_in", "frames_out"):
        if name in metrics:
            phrases.append(f"{verb} {_count(metrics[name], 'frame')}")
    phrases += _levels(metrics)
    if metrics.get("underrun_frames"):
        phrases.append(f"{_count(metrics['underrun_frames'], 'frame')} missing when due, replaced by silence")
    phrases += [_count(metrics[name], word) for name, word in _FRAME_LOSSES.items() if metrics.get(name)]
    if "stream" in metrics:
        phrases.append(str(metrics["stream"]))
    if "file" in metrics:
        made = node["role"] != "sink" or metrics.get("frames_in")  # a sink makes it when the first frame comes
        phrases.append(str(metrics["file"]) if made else f"no file so far: {metrics['file']}")
    return phrases or [node["state"]]


def _trouble(node: Mapping[str, Any]) -> list[str]:
    phrases = []
    if node["state"] in ("failed", "restarting"):
        phrases.append(f"{node['state']}: {node.get('failure') or 'no reason given'}")
    if node["metrics"].get("trouble"):
        phrases.append(str(node["metrics"]["trouble"]))
    return phrases


def edge_phrases(edge: Mapping[str, Any]) -> list[str]:
    """How a crossing is. ``edge`` is its part of a report."""
    metrics = edge["metrics"]
    state = f", {metrics['state']}" if "state" in metrics else ""
    phrases = [f"resampled at {metrics['ratio_ppb'] / 1000:+.3f} ppm ({edge['compensator']}){state}"]
    if metrics.get("phase_error_rms_frames"):
        phrases.append(f"alignment rms {metrics['phase_error_rms_frames']:.3g} frames")
    phrases.append(_count(metrics["resyncs"], "resync"))
    return phrases


def _clock(metrics: Mapping[str, Any]) -> list[str]:
    bound_ns = metrics.get("bound_ns", _UNKNOWN_ACCURACY_NS)
    accuracy = f", accurate to ±{format_duration(bound_ns)}" if bound_ns < _UNKNOWN_ACCURACY_NS else ""
    silent = " (the reference is silent)" if metrics["state"] == "holdover" else ""
    phrases = [metrics["state"] + silent + accuracy]
    if metrics.get("grandmaster") not in (None, "", "system"):
        domain = f", domain {metrics['domain']}" if "domain" in metrics else ""
        phrases.append(f"grandmaster {metrics['grandmaster']}{domain}")
    if "path_delay_ns" in metrics:
        phrases.append(f"path delay {format_duration(metrics['path_delay_ns'])}")
    if metrics.get("ntp") == "not synchronised":
        phrases.append("the system's time is not synchronised by NTP: start chrony or the like if others go by it")
    elif "ntp_max_error_ns" in metrics:
        phrases.append(f"the system's time is synchronised by NTP to ±{format_duration(metrics['ntp_max_error_ns'])}")
    if "running_on" in metrics:
        phrases.append(f"readers get {metrics['running_on']}")
    return phrases


def _received(metrics: Mapping[str, Any]) -> list[str]:
    phrases = [f"received {_count(metrics['packets_received'], 'packet')}"]
    losses = [f"{_count(metrics[name])} {word}" for name, word in _PACKET_LOSSES.items() if metrics.get(name)]
    if metrics.get("packets_foreign"):
        sender = f" ({metrics['foreign_sender']})" if metrics.get("foreign_sender") else ""
        losses.append(f"{_count(metrics['packets_foreign'])} ignored from another sender{sender}")
    if metrics.get("socket_dropped"):
        losses.append(f"{_count(metrics['socket_dropped'])} dropped by the system before they were read")
    if losses:
        phrases.append(", ".join(losses))
    elif metrics["packets_received"]:
        phrases.append("none lost or late")
    if metrics.get("frames_concealed"):
        phrases.append(f"{_count(metrics['frames_concealed'], 'frame')} concealed")
    if "lateness_p50_ns" in metrics:
        most, p99 = (format_duration(metrics[f"lateness_{name}_ns"]) for name in ("max", "p99"))
        median_ns = metrics["lateness_p50_ns"]  # below zero of a relative stream whose first packet was late
        median = f"{format_duration(abs(median_ns))} {'before' if median_ns < 0 else 'after'}"
        phrases.append(f"arrived {median} media time (median; 99 % within {p99}, at most {most})")
        if "link_offset_ns" in metrics:
            phrases.append(f"link offset {format_duration(metrics['link_offset_ns'])}")
    return phrases


def _levels(metrics: Mapping[str, Any]) -> list[str]:
    peaks = [metrics[name] for name in _peaks_among(tuple(metrics))]
    phrases = [f"peak {max(peaks):.1f} dBFS"] if peaks else []
    if "loudness_short_term_lufs" in metrics:
        phrases.append(f"loudness {metrics['loudness_short_term_lufs']:.1f} LUFS")
    return phrases


@lru_cache(maxsize=1024)
def _peaks_among(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if name.startswith("level_peak_dbfs_")]


def _sent(metrics: Mapping[str, Any]) -> list[str]:
    phrases = [f"sent {_count(metrics['packets_sent'], 'packet')}"]
    if metrics.get("send_errors"):
        phrases.append(f"the system refused {_count(metrics['send_errors'])}")
    if "pacing_error_p50_ns" in metrics:
        median, p99 = (format_duration(metrics[f"pacing_error_{name}_ns"]) for name in ("p50", "p99"))
        means = {"queue": "the interface's queue", "io-uring": "io_uring"}.get(metrics.get("pacing", "thread"))
        verb = "left" if means is None else f"given to {means} to leave"
        phrases.append(f"{verb} {median} after the planned time (median; 99 % within {p99})")
    return phrases


def _count(number: int, noun: str = "") -> str:
    # Thousands apart: 297 600 frames.
    text = f"{number:,}".replace(",", " ")
    return f"{text} {noun}{'' if number == 1 else 's'}" if noun else text
