"""The time error of a clock, from the trace of a run (``kernel run --trace``), as CSV: what ``ntpstats`` reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


class TraceUnreadable(Exception):
    """A file is no trace, or has not the clock. The message is a sentence."""


def time_error_csv(lines: Iterable[str], clock: str | None = None) -> str:
    """Reference less local time in s, beside local time in s, both from the first estimate on.

    ``clock`` may be left out where the trace has one. Raises TraceUnreadable.
    """
    records: dict[str, list[tuple[int, int]]] = {}
    for number, line in enumerate(lines, 1):
        record = _record(line)
        if record is None:
            raise TraceUnreadable(f"line {number} is no record of a trace")
        if record.get("t") == "clock" and record.get("state") in ("locked", "holdover"):
            records.setdefault(str(record["node"]), []).append((int(record["local_ns"]), int(record["reference_ns"])))
    names = ", ".join(records) or "no clock that was locked"
    if clock is None and len(records) != 1:
        raise TraceUnreadable(f"the trace has {names}: name one with --clock")
    rows = records.get(clock if clock is not None else next(iter(records)))
    if not rows:
        raise TraceUnreadable(f"the trace has no clock {clock!r} that was locked; it has {names}")
    first_local, first_reference = rows[0]
    out = ["time,offset"]
    for local_ns, reference_ns in rows:
        elapsed_ns = local_ns - first_local
        error_ns = reference_ns - first_reference - elapsed_ns
        out.append(f"{elapsed_ns / 1e9:.9f},{error_ns / 1e9:.9f}")
    return "\n".join(out) + "\n"


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or "t" not in record:
        return None
    if record["t"] == "clock" and not all(isinstance(record.get(key), int) for key in ("local_ns", "reference_ns")):
        return None
    return record
