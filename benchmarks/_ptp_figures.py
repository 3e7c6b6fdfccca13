"""What ptp_accuracy.py makes of errors: figures of each trial, and the table of medians."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import _table
import numpy as np
from _ptp_peers import FOLLOWERS, Errors

_STEADY_S = 2.0


@dataclass(frozen=True)
class Trial:
    """The outcome of one trial; figures are absent when it failed. Errors are of the time after the warm-up."""

    condition: str
    program: str
    seed: int
    p50_us: float | None = None
    p99_us: float | None = None
    max_us: float | None = None
    bias_us: float | None = None
    sd_us: float | None = None
    told_s: float | None = None  # until it first told the time
    converged_s: float | None = None
    cpu: float | None = None  # share of a core
    samples: int | None = None
    within_3_sigma: float | None = None
    within_bound: float | None = None
    steal: float | None = None
    busy: float | None = None  # cores, of everything on the machine
    note: str = ""


def settled(errors: Errors, since_ns: int) -> dict[str, float | int]:
    """Figures of the errors since a moment. Raises RuntimeError if there are hardly any."""
    late = errors.at_ns >= since_ns
    error = errors.error_ns[late] / 1000.0
    if len(error) < 10:
        raise RuntimeError(f"told the time only {len(error)} times after the warm-up")
    size = np.abs(error)
    figures = {
        "p50_us": float(np.percentile(size, 50)),
        "p99_us": float(np.percentile(size, 99)),
        "max_us": float(size.max()),
        "bias_us": float(error.mean()),
        "sd_us": float(error.std()),
        "samples": len(error),
    }
    if errors.sigma_ns is not None and errors.bound_ns is not None:
        figures["within_3_sigma"] = float((size * 1000 <= 3 * errors.sigma_ns[late]).mean())
        figures["within_bound"] = float((size * 1000 <= errors.bound_ns[late]).mean())
    return figures


def converged_after(errors: Errors, start_ns: int, limit_ns: int) -> float | None:
    """Seconds from the start until the error stays within a limit for 2 s; None if it never does."""
    good_since: int | None = None
    for at, error in zip(errors.at_ns.tolist(), errors.error_ns.tolist(), strict=True):
        if abs(error) > limit_ns:
            good_since = None
        else:
            good_since = at if good_since is None else good_since
            if at - good_since >= _STEADY_S * 1e9:
                return (good_since - start_ns) / 1e9
    return None


def write_trials(path: Path, trials: Iterable[Trial]) -> None:
    """Every trial as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Trial))
        for trial in trials:
            values = asdict(trial).values()
            writer.writerow(round(value, 4) if isinstance(value, float) else value for value in values)


def table(conditions: Sequence[str], programs: Sequence[str], trials: Sequence[Trial]) -> str:
    """The medians as Markdown."""
    head = ["condition", "follower", "p50 us", "p99 us", "max us", "bias us", "sd us", "told s", "converged s"]
    head += ["% of a core", "p99 of best other", "steal", "remarks"]
    rows = []
    for condition in conditions:
        here = [trial for trial in trials if trial.condition == condition]
        others = [_median(here, key, "p99_us") for key in programs if not key.startswith("ours")]
        best = min((value for value in others if value is not None), default=None)
        for key in programs:
            mine = [trial for trial in here if trial.program == key]
            values = [_median(mine, key, name) for name in ("p50_us", "p99_us", "max_us", "bias_us", "sd_us")]
            ratio = values[1] / best if best and values[1] is not None else None
            row = [condition, FOLLOWERS[key].label, *(_table.number(value, 2) for value in values)]
            row += [_table.number(_median(mine, key, name)) for name in ("told_s", "converged_s")]
            row += [_table.percent(_median(mine, key, "cpu"))]
            row += [_table.number(ratio, 2), _table.percent(_median(mine, key, "steal"))]
            rows.append([*row, _remarks(mine)])
    return _table.markdown(head, rows)


def _median(trials: Sequence[Trial], program: str, name: str) -> float | None:
    return _table.median(getattr(trial, name) for trial in trials if trial.program == program)


def _remarks(trials: Sequence[Trial]) -> str:
    notes = [_table.remarks(trial.note for trial in trials)]
    for words, name in (("3 sigma", "within_3_sigma"), ("bound", "within_bound")):
        share = _table.median(getattr(trial, name) for trial in trials)
        if share is not None:
            notes.append(f"{_table.percent(share)} within its {words}")
    return "; ".join(note for note in notes if note)
