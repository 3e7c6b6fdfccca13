"""The trace: JSON lines of clock estimates and decisions, for replay and plots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from .._core.clock import ClockEstimate
from .._core.errors import GraphError, Problem
from .._core.node import Metric

_encoder = msgspec.json.Encoder()


class Trace:
    """Writes records where a file was asked for, and nothing otherwise."""

    def __init__(self, path: Path | None) -> None:
        """Raises GraphError if the file cannot be written."""
        self._file: BinaryIO | None = None
        if path is not None:
            try:
                self._file = path.open("wb")
            except OSError as error:
                raise GraphError([Problem("--trace", f"cannot write {path}: {error.strerror}")]) from error

    def write(self, record: str, node: str, local_ns: int, fields: Mapping[str, Metric]) -> None:
        """One line: the kind of record, the node, the local time, and the fields."""
        if self._file is not None:
            self._file.write(_encoder.encode({"t": record, "node": node, "local_ns": local_ns, **fields}) + b"\n")

    def clock(self, node: str, local_ns: int, estimate: ClockEstimate) -> None:
        """What a clock says at this local time."""
        self.write(
            "clock",
            node,
            local_ns,
            {
                "reference_ns": estimate.reference_at(local_ns),
                "rate_ppb": estimate.rate_ppb,
                "sigma_ns": estimate.sigma_ns,
                "bound_ns": estimate.bound_ns,
                "state": estimate.state.value,
                "grandmaster": estimate.grandmaster,
            },
        )

    def close(self) -> None:
        """Flush and close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
