"""The results of a sweep in an Arrow stream, a row for each job that has ended: readable by pandas, polars and DuckDB.

Rows are written as they come. A file that ends within a row, since its writer was killed, is read up to there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from ..._core.errors import GraphError, Problem
from ..._core.invocation import install_command
from ..compare.comparison import Result
from .sweep_jobs import SweepJob, SweepOutcome

_FIGURES = tuple(name for name in Result.__struct_fields__ if name not in ("strategy", "scenario", "points"))
_WHOLE = {"underruns", "resyncs", "missing_frames", "latency_ns"}
_TEXT = ("key", "candidate", "strategy", "scenario", "options", "failure")


def need_pyarrow() -> None:
    """Raises GraphError with the install command if pyarrow is missing."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        hint = install_command("phasegraph[sweep]")
        raise GraphError([Problem("", "a sweep needs pyarrow, which is not installed", hint)]) from None


def read_outcomes(path: Path) -> dict[str, SweepOutcome]:
    """The outcomes in a file, by the key of each job; none where there is no file. Raises GraphError."""
    need_pyarrow()
    import pyarrow as pa

    if not path.exists():
        return {}
    rows: list[Mapping[str, Any]] = []
    try:
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
            if reader.schema.names != _schema().names:
                raise _wrong_file(path, "has other columns")
            with suppress(StopIteration, pa.ArrowInvalid, OSError):  # the end, or a row that was not written whole
                while True:
                    rows += reader.read_next_batch().to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise _wrong_file(path, f"cannot be read: {error}") from None
    return {row["key"]: _outcome(row) for row in rows}


def _wrong_file(path: Path, why: str) -> GraphError:
    return GraphError([Problem("--results", f"{path} {why}", "give the sweep another file")])


def _schema() -> Any:
    import pyarrow as pa

    text = [(name, pa.string()) for name in _TEXT]
    figures = [(name, pa.int64() if name in _WHOLE else pa.float64()) for name in _FIGURES]
    return pa.schema([*text, ("seed", pa.int64()), ("for_ns", pa.int64()), *figures])


def _outcome(row: Mapping[str, Any]) -> SweepOutcome:
    if row["failure"]:
        return SweepOutcome(key=row["key"], failure=row["failure"])
    figures = {name: row[name] for name in _FIGURES}
    return SweepOutcome(key=row["key"], result=Result(strategy=row["strategy"], scenario=row["scenario"], **figures))


class ResultsFile:
    """Writes outcomes as they come. A block that ends leaves a whole file."""

    def __init__(self, path: Path, before: Iterable[tuple[SweepJob, SweepOutcome]]) -> None:
        """``before`` are the outcomes that the file keeps. Raises GraphError if it cannot be written."""
        import pyarrow as pa

        fresh = path.with_name(f"{path.name}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = fresh.open("wb")
            self._writer = pa.ipc.new_stream(self._file, _schema())
            self._writer.write_batch(
                pa.RecordBatch.from_pylist([], schema=_schema())
            )  # the head, before there are rows
            for job, outcome in before:
                self.append(job, outcome)
            self._file.flush()
            os.replace(fresh, path)
        except OSError as error:
            raise GraphError([Problem("--results", f"cannot write {path}: {error.strerror}")]) from error

    def append(self, job: SweepJob, outcome: SweepOutcome) -> None:
        """Write one outcome; it is in the file when this returns."""
        import pyarrow as pa

        figures = dict.fromkeys(_FIGURES) if outcome.result is None else msgspec.to_builtins(outcome.result)
        row: dict[str, Any] = {
            "key": outcome.key,
            "candidate": job.candidate,
            "strategy": job.strategy,
            "scenario": job.scenario,
            "options": " ".join(f"{path}={value}" for path, value in job.combination),
            "failure": outcome.failure,
            "seed": job.seed,
            "for_ns": job.for_ns,
            **{name: figures[name] for name in _FIGURES},
        }
        self._writer.write_batch(pa.RecordBatch.from_pylist([row], schema=_schema()))
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()
        self._file.close()
