"""Reading session descriptions by the plugins that know them: for programs that hand streams to a run."""

from __future__ import annotations

from collections.abc import Callable

from .._core.session_offer import OfferedSession
from .loader import load


def session_parser() -> Callable[[str], OfferedSession]:
    """A function that reads a session description. It raises ValueError with the reason why one is not usable.

    Loads the plugins. Raises LookupError if none of them reads session descriptions.
    """
    for _, implementation in load().implementations("session_description_parser"):
        parser: Callable[[str], OfferedSession] = implementation()
        return parser
    raise LookupError("no plugin reads session descriptions: install phasegraph-aes67")
