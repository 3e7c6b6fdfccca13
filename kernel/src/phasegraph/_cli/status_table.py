"""The status of a run as lines of text: what is wrong first, then a table that fits a width. Pure functions.

! stage: no packet from 10.77.0.1 for 2.1 s: the sender has stopped, or the network does not carry it
  hall: running for 63 s, 1 of 4 in trouble
  NODE             STATE      NOW            LOST 10s/all  LATE/OFFSET   dBFS      PPM
! stage            running    0 packets/s            12/12  ██░░░  31%  -18.2    +1.02
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from .._control.counter_rates import LOSSES, urgency
from .._core.terminal import printable
from .._core.units import format_duration

if TYPE_CHECKING:
    from .._control.control_protocol import ControlProcessStatus, EdgeStatus, NodeStatus, RunStatus

MARKS = ("  ", "! ", "! ", "X ")
"""At the beginning of a line, by its severity: 0 fine, 1 in trouble, 2 restarting, 3 failed."""
COLOURS = ("", "yellow", "yellow", "red")
"""Of a line, by its severity."""
MOST_TROUBLES = 4
"""Nodes whose trouble stands above the table; the table has them all."""
MOST_TROUBLE_LINES = 3
WIDE = 120
"""From this width on bars are longer, and the senders are shown."""
_SILENT_DBFS = -199.0
"""Nodes report -200 dBFS for digital silence."""
Metrics = Mapping[str, int | float | str]


class TableLine(NamedTuple):
    """A line, with what its colour says."""

    severity: int
    text: str


class StatusRow(NamedTuple):
    """One node, one crossing, or one program beside the run."""

    severity: int
    name: str
    state: str
    metrics: Metrics
    rates: Mapping[str, Mapping[str, float]]
    recent: Mapping[str, int]
    trouble: str


class _Column(NamedTuple):
    title: str
    width: int
    wide: int
    """Its width in a table of ``WIDE`` columns."""
    cell: Callable[[StatusRow, int], str]
    """Its text for a row, given its width."""


def status_rows(snapshot: RunStatus) -> list[StatusRow]:
    """Every node, crossing and program beside the run, the most urgent first; what goes on before losses that ended."""
    rows = [_node_row(id, node) for id, node in snapshot.nodes.items()]
    rows += [_edge_row(name, edge) for name, edge in snapshot.edges.items() if edge.crossing]
    rows += [_control_row(f"control.{name}", process) for name, process in snapshot.control.items()]
    return sorted(rows, key=urgency)


def headline(snapshot: RunStatus) -> str:
    """The run, how long it has lasted, and how many of its nodes and crossings are in trouble."""
    count = len(status_rows(snapshot))
    well = f"all {count} are well" if count > 1 else "all is well"
    troubled = f"{len(snapshot.trouble)} of {count} in trouble" if snapshot.trouble else well
    state = "ending after" if snapshot.stopping else "running for"
    return f"{snapshot.name}: {state} {_clock_time(round(snapshot.duration_s))}, {troubled}"


def phrases_of(text: str) -> list[str]:
    """The phrases of the text of a node: it is divided at semicolons that stand outside of brackets."""
    phrases: list[str] = []
    for part in text.split("; "):
        if phrases and phrases[-1].count("(") > phrases[-1].count(")"):
            phrases[-1] += f"; {part}"
        else:
            phrases.append(part)
    return [phrase for phrase in phrases if phrase]


def status_lines(snapshot: RunStatus, width: int, height: int = 10_000, *, note: str = "") -> list[TableLine]:
    """The whole status: troubles, the headline (with a ``note`` at its end), the table; at most ``height`` lines."""
    lines = list(_troubles(snapshot, width))
    lines.append(TableLine(0, f"  {headline(snapshot)}{note}"))
    table = status_table(status_rows(snapshot), width)
    if len(lines) + len(table) > height:
        kept = max(2, height - len(lines) - 1)
        hidden = table[kept:]
        worst = max(line.severity for line in hidden)
        table = [*table[:kept], TableLine(worst, f"{MARKS[worst]}and {len(hidden)} more: kernel status --format json")]
    return [TableLine(line.severity, _cut(printable(line.text), width)) for line in [*lines, *table]]


def status_table(rows: list[StatusRow], width: int) -> list[TableLine]:
    """A heading and a line for each row. Columns that no row fills, or that do not fit, are left out."""
    if not rows:
        return []
    columns = _fitting([column for column in _COLUMNS if any(column.cell(row, column.width) for row in rows)], width)
    left = {"NODE", "STATE", "NOW", "FROM"}
    lines = []
    heading = StatusRow(0, "", "", {}, {}, {}, "")
    for row in [heading, *rows]:
        cells = []
        for column in columns:
            space = column.wide if width >= WIDE else column.width
            text = column.title if row is heading else _cut(printable(column.cell(row, space)), space)
            cells.append(text.ljust(space) if column.title in left else text.rjust(space))
        lines.append(TableLine(row.severity, MARKS[row.severity] + " ".join(cells).rstrip()))
    return lines


def node_details(snapshot: RunStatus, name: str, width: int) -> list[TableLine] | None:
    """Everything about one node, edge or program beside the run; None where there is none of that name."""
    if name in snapshot.nodes:
        node = snapshot.nodes[name]
        row, text, title = _node_row(name, node), node.text, f"{node.role} {name} ({node.kind}): {node.state}"
    elif name in snapshot.edges:
        edge = snapshot.edges[name]
        row, text, title = _edge_row(name, edge), edge.text, f"edge {name}"
    elif (process := snapshot.control.get(name.removeprefix("control."))) is not None:
        row, text, title = _control_row(name, process), process.trouble, f"program {name}: {process.state}"
    else:
        return None
    lines = [TableLine(row.severity, MARKS[row.severity] + title)]
    for phrase in phrases_of(text):
        lines += [
            TableLine(0, line)
            for line in textwrap.wrap(printable(phrase), width, initial_indent="  ", subsequent_indent="    ")
        ]
    spans = list(row.rates)
    longest = max(map(len, row.metrics), default=0)
    if spans:
        lines.append(TableLine(0, f"  {'':{longest}} {'total':>14}" + "".join(f"{span + ' s':>12}" for span in spans)))
    for metric, value in row.metrics.items():
        rises = any(metric in row.rates[span] for span in spans)
        shown = "".join(f"{row.rates[span].get(metric, 0.0):>10.6g}/s" for span in spans if rises)
        if isinstance(value, str):
            lines.append(TableLine(0, f"  {metric:{longest}} {value}"))
        else:
            lines.append(TableLine(0, f"  {metric:{longest}} {value:>14}{shown}"))
    return [TableLine(line.severity, _cut(printable(line.text), width)) for line in lines]


def _troubles(snapshot: RunStatus, width: int) -> Iterator[TableLine]:
    troubled = [row for row in status_rows(snapshot) if row.severity]
    for row in troubled[:MOST_TROUBLES]:
        wrapped = textwrap.wrap(printable(f"{row.name}: {row.trouble}"), width - 2)
        if len(wrapped) > MOST_TROUBLE_LINES:
            last = _cut(" ".join(wrapped[MOST_TROUBLE_LINES - 1 :]), width - 2)
            wrapped = [*wrapped[: MOST_TROUBLE_LINES - 1], last]
        for number, line in enumerate(wrapped):
            yield TableLine(row.severity, (MARKS[row.severity] if number == 0 else "  ") + line)


def _node_row(id: str, node: NodeStatus) -> StatusRow:
    lock = str(node.metrics.get("state", "")) if node.role == "clock" and node.state == "running" else ""
    return StatusRow(node.severity, id, lock or node.state, node.metrics, node.rates, node.recent, node.trouble)


def _edge_row(name: str, edge: EdgeStatus) -> StatusRow:
    state = str(edge.metrics.get("state", ""))
    return StatusRow(edge.severity, name, state, edge.metrics, {}, edge.recent, edge.trouble)


def _control_row(name: str, process: ControlProcessStatus) -> StatusRow:
    return StatusRow(int(bool(process.trouble)), name, process.state, {}, {}, {}, process.trouble)


def _fitting(columns: list[_Column], width: int) -> list[_Column]:
    wide = width >= WIDE

    def needed(columns: list[_Column]) -> int:
        return 1 + sum(1 + (column.wide if wide else column.width) for column in columns)

    columns = list(columns)
    for title in _DISPENSABLE:
        if needed(columns) > width:
            columns = [column for column in columns if column.title != title]
    return columns


def _now(row: StatusRow, width: int) -> str:
    """The one figure that matters."""
    metrics, rates = row.metrics, row.rates.get("1", {})
    for name in ("packets_received", "packets_sent"):
        if name in metrics:
            return f"{rates.get(name, 0):.0f} packets/s"
    if "phase_error_ns" in metrics:
        error_ns = float(metrics["phase_error_ns"])
        return f"{'-' if error_ns < 0 else '+'}{format_duration(abs(error_ns))}"
    if "bound_ns" in metrics and float(metrics["bound_ns"]) < 3.6e12:
        return f"±{format_duration(float(metrics['bound_ns']))}"
    for name in ("frames_in", "frames_out"):
        if name in metrics:
            return f"{rates.get(name, 0):.0f} frames/s"
    return ""


def _lost(row: StatusRow, width: int) -> str:
    names = [name for name in LOSSES if name in row.metrics]
    if not names:
        return ""
    recent, total = (sum(int(counts.get(name, 0)) for name in names) for counts in (row.recent, row.metrics))
    return f"{_short(recent)}/{_short(total)}"


def _lateness(row: StatusRow, width: int) -> str:
    lateness_ns = row.metrics.get("lateness_recent_p99_ns", row.metrics.get("lateness_p99_ns"))
    if lateness_ns is None or not row.metrics.get("link_offset_ns"):
        return ""
    share = float(lateness_ns) / float(row.metrics["link_offset_ns"])
    cells = width - 5
    filled = min(cells, max(0, round(share * cells)))
    return "█" * filled + "░" * (cells - filled) + f"{min(share, 9.99):>5.0%}"


def _peak(row: StatusRow, width: int) -> str:
    peaks = [float(value) for name, value in row.metrics.items() if name.startswith("level_peak_dbfs_")]
    if not peaks and "peak_dbfs" in row.metrics:
        peaks = [float(row.metrics["peak_dbfs"])]
    if not peaks:
        return ""
    return f"{max(peaks):.1f}" if max(peaks) > _SILENT_DBFS else "-inf"


def _rate(row: StatusRow, width: int) -> str:
    for name in ("ratio_ppb", "sender_rate_ppb", "device_rate_ppb", "rate_ppb"):
        if name in row.metrics:
            ppm = float(row.metrics[name]) / 1000
            return f"{ppm:+.2f}" if abs(ppm) < 1000 else f"{ppm:+.0f}"
    return ""


def _origin(row: StatusRow, width: int) -> str:
    return str(row.metrics.get("sender") or row.metrics.get("grandmaster") or "")


_COLUMNS = [
    _Column("NODE", 15, 20, lambda row, width: row.name),
    _Column("STATE", 10, 10, lambda row, width: row.state),
    _Column("NOW", 14, 14, _now),
    _Column("LOST 10s/all", 12, 13, _lost),
    _Column("LATE", 9, 15, _lateness),
    _Column("dBFS", 5, 6, _peak),
    _Column("PPM", 7, 9, _rate),
    _Column("FROM", 23, 23, _origin),
]
_DISPENSABLE = ("FROM", "dBFS", "PPM", "LATE", "LOST 10s/all", "NOW")
"""Columns that are left out where the width does not do, in this order."""


def _short(number: int) -> str:
    for limit, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if number >= limit:
            return f"{number // (1000 if unit == 'k' else limit)}{unit}"
    return str(number)


def _clock_time(seconds: int) -> str:
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
