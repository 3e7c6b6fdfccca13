"""Failures as sentences: problems of a graph, and errors of a running node."""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong with a graph: where, what was expected, and what would mend it."""

    path: str
    """Place in the graph, dotted: ``sinks.speakers.input``; empty for the file as a whole."""
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.path}: " if self.path else ""
        return f"{place}{self.message}" + (f" ({self.hint})" if self.hint else "")


class GraphError(Exception):
    """A graph cannot run as it is written. Carries every problem that was found, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class NodeError(Exception):
    """A node cannot do its work, for a reason that its user can act on.

    The message is shown as it is, without a traceback; ``hint`` says what to do about it, and ``option``
    names the option of the node's table that is to blame, where one is.
    """

    def __init__(self, message: str, hint: str = "", *, option: str = "") -> None:
        super().__init__(message + (f" ({hint})" if hint else ""))
        self.message = message
        self.hint = hint
        self.option = option


class NodeConflict(NodeError):
    """A node needs what another node of the run has. It may be the node in whose place it is to run."""
