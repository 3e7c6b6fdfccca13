"""The truth of a simulation as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.units import format_duration
from .._option_types.wording import format_count, join_words


def truth_in_words(report: Mapping[str, Any]) -> list[str]:
    """The part of a simulation's report that a real run does not have, as lines of text."""
    simulation = report["simulation"]
    lines = [
        f"Scenario '{simulation['scenario']}', seed {simulation['seed']}. Simulated nodes: "
        f"{join_words(simulation['substituted'], 'and')}.",
        "True errors:",
    ]
    for id, node in report["nodes"].items():
        parts = _node_errors(node["metrics"])
        if parts:
            lines.append(f"  {node['role']} {id}: {'; '.join(parts)}")
    for name, edge in report["edges"].items():
        if edge["crossing"]:
            lines.append(f"  edge {name}: {'; '.join(_crossing_errors(edge['metrics']))}")
    for name, group in (("apart", "sound cards"), ("clocks_apart", "clocks")):
        if f"true_{name}_max_ns" in simulation:
            figures = [format_duration(simulation[f"true_{name}_{what}_ns"]) for what in ("rms", "p99", "max")]
            lines.append(f"  Time between the {group}: {figures[0]} rms, 99 % within {figures[1]}, {figures[2]} max.")
    return lines


def _node_errors(metrics: Mapping[str, Any]) -> list[str]:
    parts = []
    if "true_offset_error_rms_ns" in metrics:
        rms, most = (format_duration(metrics[f"true_offset_error_{what}_ns"]) for what in ("rms", "max"))
        parts.append(f"offset error {rms} rms, {most} max")
        if metrics["true_outside_bound"]:
            parts.append(f"{format_count(metrics['true_outside_bound'], 'time')} outside its own bound")
    if "true_recovery_s" in metrics:
        parts.append(f"back within 250 µs {format_duration(metrics['true_recovery_s'] * 1e9)} after a restart")
    if metrics.get("xruns"):
        parts.append(f"{format_count(metrics['xruns'], 'xrun')}, {format_count(metrics['lost_frames'], 'lost frame')}")
    if "true_thd_n_db" in metrics:
        parts.append(f"THD+N of a tone {metrics['true_thd_n_db']:.1f} dB")
    return parts


def _crossing_errors(metrics: Mapping[str, Any]) -> list[str]:
    if "true_alignment_error_rms_frames" not in metrics:
        return ["no frame was played"]
    lock = metrics.get("true_time_to_lock_s")
    rms, most = (metrics[f"true_alignment_error_{what}_frames"] for what in ("rms", "max"))
    aligned = "never aligned" if lock is None else f"aligned after {format_duration(lock * 1e9)}"
    parts = [f"{aligned} (within one frame)"]
    parts.append(f"alignment error {rms:.3g} frames rms, {most:.3g} max")
    parts.append(f"ratio error {metrics['true_ratio_error_rms_ppb'] / 1000:.3g} ppm rms")
    if "true_pitch_slope_max_ppb_per_s" in metrics:
        parts.append(f"pitch slope {metrics['true_pitch_slope_max_ppb_per_s'] / 1000:.3g} ppm/s max")
    parts.append(f"{format_count(metrics['underruns'], 'underrun')}, {format_count(metrics['resyncs'], 'resync')}")
    if metrics["underruns"]:
        parts.append(f"link-offset too short by up to {format_count(-metrics['true_margin_min_frames'], 'frame')}")
    parts.append(f"latency {format_duration(metrics['true_latency_ns'])}")
    return parts
