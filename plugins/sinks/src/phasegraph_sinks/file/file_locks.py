"""Which files a run reads and writes, so that no sink overwrites a file that the same run is playing."""

from __future__ import annotations

import os

from phasegraph import NodeContext, NodeError


class Claims:
    """The files of one run, by the node that has them."""

    def __init__(self) -> None:
        self._read: list[tuple[str, str]] = []
        self._written: list[tuple[str, str]] = []

    def read(self, path: str, node: str) -> None:
        """Say that a node plays a file."""
        self._read.append((path, node))

    def write(self, path: str, node: str) -> None:
        """Say that a node is about to write a file.

        Raises NodeError if another node has it, under this path or another that leads to the same file.
        """
        for taken, owner in self._read:
            if _same(path, taken):
                raise NodeError(
                    f"{path} is what {owner!r} plays: writing it would destroy it",
                    "give the sink another path",
                    option="path",
                )
        for taken, owner in self._written:
            if owner != node and _same(path, taken):
                raise NodeError(
                    f"{path} is written by {owner!r} already", "give every sink its own path", option="path"
                )
        self._written.append((path, node))

    def release(self, path: str, node: str) -> None:
        """Take back what `write` said: the file could not be made."""
        self._written.remove((path, node))

    def has_written(self, path: str, node: str) -> bool:
        """Whether a node has written a file in this run."""
        return any(owner == node and _same(path, taken) for taken, owner in self._written)


def claims(ctx: NodeContext) -> Claims:
    """Makes the claims of a run, for `NodeContext.shared`."""
    return Claims()


def _same(one: str, other: str) -> bool:
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
