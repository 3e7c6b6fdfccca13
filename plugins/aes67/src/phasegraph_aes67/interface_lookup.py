"""Which network interface a graph means by a name; shared by what receives and what sends."""

from __future__ import annotations

from collections.abc import Callable

from phasegraph import NodeError
from phasegraph.net import Interface


def find_interface(find: Callable[[str], Interface], name: str) -> Interface:
    """An interface by name or address; with no name, whichever the system's routes lead to.

    Raises NodeError.
    """
    if not name:
        return Interface("", 0, "0.0.0.0")
    try:
        return find(name)
    except OSError as error:
        raise NodeError(str(error), option="interface") from error
