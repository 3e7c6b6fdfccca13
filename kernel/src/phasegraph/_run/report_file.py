"""The file of a report: replaced as a whole, so that a reader always finds a complete one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from .._core.errors import GraphError, Problem
from .._core.files import create_file


class ReportFile:
    """Writes reports to one path. An earlier report stays until there is a new one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # The real path of a pipe under /dev/fd is no path.
        special = path.exists() and not path.is_file()
        self._target = path if special else Path(os.path.realpath(path))
        self._beside = self._target.with_name(f".{self._target.name}.{os.getpid()}")
        self._device: BinaryIO | None = None
        """A device or a pipe, open since it was checked: a pipe's reader ends when its writer closes it."""

    @property
    def replaceable(self) -> bool:
        """Whether the file can be replaced while the run goes on: not a device or a pipe."""
        return not self._target.exists() or self._target.is_file()

    def check(self) -> None:
        """Raise GraphError if a report cannot be written: before the run, so that hours of it are not lost."""
        try:
            if self.replaceable:
                self._beside.touch()
                self._beside.unlink()
            else:
                self._device = create_file(self._target)
        except OSError as error:
            raise GraphError([Problem("--report", f"cannot write {self.path}: {error.strerror}")]) from error

    def write_report(self, report: Mapping[str, Any]) -> None:
        """Replace the file. Raises OSError, and leaves the earlier report in that case."""
        text = json.dumps(report, indent=2) + "\n"
        if not self.replaceable:
            device, self._device = self._device or create_file(self._target), None
            with device:
                device.write(text.encode())
            return
        try:
            with self._beside.open("w") as file:
                file.write(text)
            if self._target.exists():
                shutil.copymode(self._target, self._beside)
            self._beside.replace(self._target)
        except OSError:
            self._beside.unlink(missing_ok=True)
            raise
