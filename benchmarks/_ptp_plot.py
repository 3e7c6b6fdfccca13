"""Errors over time of ptp_accuracy.py: thinned raw data, and a plot."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _ptp_peers import Errors

_KEPT_EVERY_S = 0.5


@dataclass(frozen=True)
class Curve:
    """Errors of one program in one condition, thinned."""

    condition: str
    program: str
    seconds: list[float]  # since the start of the program
    errors_ns: list[int]


def curve(condition: str, program: str, errors: Errors, start_ns: int) -> Curve:
    """Thin errors to two a second, whatever their values are."""
    seconds = (errors.at_ns - start_ns) / 1e9
    slots = np.floor(seconds / _KEPT_EVERY_S)
    kept = np.flatnonzero(np.diff(slots, prepend=-1) != 0)
    return Curve(condition, program, seconds[kept].round(2).tolist(), errors.error_ns[kept].tolist())


def write_curves(path: Path, curves: Iterable[Curve]) -> None:
    """Thinned errors as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("condition", "program", "seconds", "error_ns"))
        for one in curves:
            for at, error in zip(one.seconds, one.errors_ns, strict=True):
                writer.writerow((one.condition, one.program, at, error))


_COLOURS = ("#c1272d", "#e8833a", "#d9a800", "#0072b2", "#3a9a5b", "#7b5ea7")
_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP, _LEGEND = 420, 200, 62, 28, 34, 44
_LOWEST, _HIGHEST = 1, 7  # decades: 10 ns at the bottom, 10 ms at the top
_TICKS = {2: "100 ns", 3: "1 us", 4: "10 us", 5: "100 us", 6: "1 ms"}


def _height(error_ns: float) -> float:
    """Where an error is drawn, between 0 (10 ns or less) and 1 (10 ms or more)."""
    decade = math.log10(max(abs(error_ns), 1))
    return (min(max(decade, _LOWEST), _HIGHEST) - _LOWEST) / (_HIGHEST - _LOWEST)


def plot(curves: Sequence[Curve], labels: dict[str, str]) -> str:
    """Absolute error over time as SVG, a panel for each condition."""
    conditions = list(dict.fromkeys(one.condition for one in curves))
    programs = list(dict.fromkeys(one.program for one in curves))
    colours = {program: _COLOURS[i % len(_COLOURS)] for i, program in enumerate(programs)}
    rows = -(-len(conditions) // 2)
    full_width = 2 * (_WIDTH + _LEFT) + 20
    full_height = rows * (_HEIGHT + _TOP + _GAP) + _LEGEND
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {full_width} {full_height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{full_width}" height="{full_height}" fill="white"/>',
    ]
    for number, condition in enumerate(conditions):
        x = _LEFT + (number % 2) * (_WIDTH + _LEFT)
        y = _TOP + (number // 2) * (_HEIGHT + _TOP + _GAP)
        parts += _panel(x, y, condition, [one for one in curves if one.condition == condition], colours)
    for number, program in enumerate(programs):
        x = _LEFT + number % 3 * (full_width - _LEFT) // 3
        y = full_height - _LEGEND + 16 * (1 + number // 3)
        parts.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colours[program]}"/>')
        parts.append(f'<text x="{x + 14}" y="{y}">{labels.get(program, program)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(x: int, y: int, title: str, curves: Sequence[Curve], colours: dict[str, str]) -> list[str]:
    end = max((one.seconds[-1] for one in curves if one.seconds), default=1.0)
    parts = [f'<text x="{x}" y="{y - 8}" font-weight="bold">{title}</text>']
    for decade, text in _TICKS.items():
        level = y + _HEIGHT * (1 - _height(10**decade))
        parts.append(f'<line x1="{x}" x2="{x + _WIDTH}" y1="{level:.1f}" y2="{level:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{x - 6}" y="{level + 4:.1f}" text-anchor="end">{text}</text>')
    for one in reversed(curves):  # the first on top
        points = (
            f"{x + _WIDTH * at / end:.1f},{y + _HEIGHT * (1 - _height(error)):.1f}"
            for at, error in zip(one.seconds, one.errors_ns, strict=True)
        )
        parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colours[one.program]}"/>')
    parts.append(f'<text x="{x + _WIDTH}" y="{y + _HEIGHT + 14}" text-anchor="end">{end:.0f} s</text>')
    return parts
