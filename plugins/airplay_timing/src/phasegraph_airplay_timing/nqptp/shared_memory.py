"""The shared memory of nqptp, for its writer and for a reader."""

from __future__ import annotations

import os
from pathlib import Path

from ..mapped_file import DIRECTORY, MappedFile
from .nqptp_record import FIRST, SECOND, SIZE, MemoryNotServed, NqptpRecord, encode_version, read

KEPT_NS = 10_000_000_000
"""A restart takes less time than this. Two clocks part by 1 ms in it at 100 ppm, which a receiver does not hear."""


class MemoryWriter:
    """nqptp's memory. At the end its record stays: readers go on with it while the next writer starts."""

    def __init__(self, name: str, directory: str = DIRECTORY, *, now_ns: int) -> None:
        """``now_ns`` is local time: a record that is older than `KEPT_NS` then, or younger than it, is cleared.

        Raises NodeError where the file cannot be opened.
        """
        self._file = MappedFile(name, directory, SIZE)
        self.kept = self._recent(now_ns)
        """The record of the last writer, where it is still of use; all zero where not."""
        self.write(self.kept)
        self._file.memory[: len(encode_version())] = encode_version()

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def write(self, record: NqptpRecord) -> None:
        """Write a record; no reader sees a part of it."""
        self._file.write_twice(record.encode(), FIRST, SECOND)

    def close(self) -> None:
        """Let go of the file, which stays as it is."""
        self._file.close()

    def _recent(self, now_ns: int) -> NqptpRecord:
        try:
            record = read(lambda: bytes(self._file.memory))
        except MemoryNotServed:
            return NqptpRecord()
        return record if record is not None and 0 <= now_ns - record.local_ns <= KEPT_NS else NqptpRecord()


class MemoryReader:
    """A shared memory of another process. It is read and not mapped: its owner may truncate it."""

    def __init__(self, name: str, directory: str = DIRECTORY) -> None:
        self.path = Path(directory) / name.removeprefix("/")

    def read_record(self) -> NqptpRecord | None:
        """The record now; None if the writer was in the way. Raises MemoryNotServed."""
        if not self.path.parent.is_dir():
            raise MemoryNotServed(f"there is no directory {self.path.parent}")
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                return read(lambda: os.pread(file, SIZE + 1, 0))
            finally:
                os.close(file)
        except OSError as error:
            raise MemoryNotServed(f"cannot read {self.path}: {error.strerror}") from None
