"""Which files a run reads and writes: no sink overwrites a file that is being played or recorded."""

from __future__ import annotations

import os

from phasegraph import NodeContext, NodeError


class FileLocks:
    """The files of one run, by the node that uses them. Control plane only.

    Between processes `RecordingFile` locks the file itself.
    """

    def __init__(self) -> None:
        self._read: list[tuple[str, str]] = []
        self._written: list[tuple[str, str]] = []

    def add_reader(self, path: str, node: str) -> None:
        """Note that a node plays a file."""
        self._read.append((path, node))

    def remove_reader(self, path: str, node: str) -> None:
        """Undo `add_reader`: the node plays it no longer."""
        self._read.remove((path, node))

    def add_writer(self, path: str, node: str) -> None:
        """Note that a node is about to write a file.

        Raises NodeError if another node uses the file, under this path or another path of the same file.
        """
        for used, owner in self._read:
            if _same_file(path, used):
                raise NodeError(
                    f"{path} is being played by {owner!r}, and writing would destroy it",
                    "give the sink another path",
                    option="path",
                )
        for used, owner in self._written:
            if owner != node and _same_file(path, used):
                raise NodeError(
                    f"{path} is already written by {owner!r}", "give every sink its own path", option="path"
                )
        self._written.append((path, node))

    def remove_writer(self, path: str, node: str) -> None:
        """Undo `add_writer`: nothing was written."""
        self._written.remove((path, node))

    def was_written_by(self, path: str, node: str) -> bool:
        """Whether a node has written a file in this run."""
        return any(owner == node and _same_file(path, used) for used, owner in self._written)


def file_locks(ctx: NodeContext) -> FileLocks:
    """Makes the locks of a run, for `NodeContext.shared`."""
    return FileLocks()


def _same_file(one: str, other: str) -> bool:
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
