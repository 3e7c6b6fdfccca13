"""What only a simulation knows, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.units import format_duration
from .._option_types.wording import format_count, join_words


def truth_in_words(report: Mapping[str, Any]) -> list[str]:
    """A simulation's report beyond that of a real run, as lines of text."""
    simulation = report["simulation"]
    lines = [
        f"Scenario '{simulation['scenario']}', seed {simulation['seed']}. Stand-ins, which touch nothing outside: "
        f"{join_words(simulation['stand_ins'], 'and')}.",
        "In truth:",
    ]
    for id, node in report["nodes"].items():
        said = _node(node["metrics"])
        if said:
            lines.append(f"  {node['role']} {id}: {'; '.join(said)}")
    for name, edge in report["edges"].items():
        if edge["crossing"]:
            lines.append(f"  edge {name}: {'; '.join(_crossing(edge['metrics']))}")
    if "true_apart_max_ns" in simulation:
        rms, most = (format_duration(simulation[f"true_apart_{what}_ns"]) for what in ("rms", "max"))
        lines.append(f"  The sound cards are apart by {rms} rms, {most} at most.")
    return lines


def _node(metrics: Mapping[str, Any]) -> list[str]:
    said = []
    if "true_offset_error_rms_ns" in metrics:
        rms, most = (format_duration(metrics[f"true_offset_error_{what}_ns"]) for what in ("rms", "max"))
        said.append(f"wrong by {rms} rms, {most} at most")
        if metrics["true_outside_bound"]:
            said.append(f"{format_count(metrics['true_outside_bound'], 'time')} by more than its own bound")
    if metrics.get("xruns"):
        said.append(
            f"{format_count(metrics['xruns'], 'xrun')}, which lost {format_count(metrics['lost_frames'], 'frame')}"
        )
    if "true_thd_n_db" in metrics:
        said.append(f"THD+N of a tone {metrics['true_thd_n_db']:.1f} dB")
    return said


def _crossing(metrics: Mapping[str, Any]) -> list[str]:
    if "true_alignment_error_rms_frames" not in metrics:
        return ["nothing has sounded"]
    lock = metrics.get("true_time_to_lock_s")
    rms, most = (metrics[f"true_alignment_error_{what}_frames"] for what in ("rms", "max"))
    said = ["never within one frame" if lock is None else f"within one frame after {format_duration(lock * 1e9)}"]
    said.append(f"off by {rms:.3g} frames rms, {most:.3g} at most")
    said.append(f"ratio wrong by {metrics['true_ratio_error_rms_ppb'] / 1000:.3g} ppm rms")
    if "true_pitch_slope_max_ppb_per_s" in metrics:
        said.append(f"pitch changing by {metrics['true_pitch_slope_max_ppb_per_s'] / 1000:.3g} ppm/s at most")
    said.append(f"{format_count(metrics['underruns'], 'underrun')}, {format_count(metrics['resyncs'], 'resync')}")
    if metrics["underruns"]:
        said.append(f"a link offset short by up to {format_count(-metrics['true_margin_min_frames'], 'frame')}")
    said.append(f"latency {format_duration(metrics['true_latency_ns'])}")
    return said
