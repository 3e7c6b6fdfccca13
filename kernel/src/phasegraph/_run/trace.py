"""The trace: JSON lines of clock estimates and decisions, for replay and plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from .._core.clock import UNKNOWN_NS, ClockEstimate
from .._core.errors import GraphError, Problem
from .._core.files import create_file
from .._core.node import Metric

_encoder = msgspec.json.Encoder()


class Trace:
    """Writes records where a file was asked for, and nothing otherwise.

    A disk that refuses ends the trace and not the run: ``warn`` is called.
    """

    def __init__(self, path: Path | None, warn: Callable[[str], object]) -> None:
        """Raises GraphError if the file cannot be written."""
        self._file: BinaryIO | None = None
        self._path = path
        self._warn = warn
        if path is not None:
            try:
                self._file = create_file(path)
            except OSError as error:
                raise GraphError([Problem("--trace", f"cannot write {path}: {error.strerror}")]) from error

    def write_record(self, record: str, node: str, local_ns: int, fields: Mapping[str, Metric | None]) -> None:
        """One line: the kind of record, the node, the local time, and the fields; what is not known is None."""
        if self._file is not None:
            line = _encoder.encode({"t": record, "node": node, "local_ns": local_ns, **fields}) + b"\n"
            try:
                self._file.write(line)
            except OSError as error:
                self._give_up(error)

    def clock(self, node: str, local_ns: int, estimate: ClockEstimate) -> None:
        """What a clock says at this local time."""
        self.write_record(
            "clock",
            node,
            local_ns,
            {
                "reference_ns": estimate.reference_at(local_ns),
                "rate_ppb": estimate.rate_ppb,
                "sigma_ns": _where_known(estimate.sigma_ns),
                "bound_ns": _where_known(estimate.bound_ns),
                "state": estimate.state.value,
                "grandmaster": estimate.grandmaster,
            },
        )

    def close(self) -> None:
        """Flush and close the file."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                self._give_up(error)
            self._file = None

    def _give_up(self, error: OSError) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # it would write what it still has
                file.close()
        self._warn(f"the trace {self._path} ends early: {error.strerror}")


def _where_known(figure_ns: float) -> float | None:
    return figure_ns if figure_ns < UNKNOWN_NS else None
