"""The built-in plugin: the ``system`` clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ._plugins.specs import hookimpl

if TYPE_CHECKING:
    from ._core.kinds import ClockKind


@hookimpl
def register_clocks() -> Iterable[ClockKind[Any]]:
    """The clock that every machine has."""
    from ._core.kinds import ClockKind
    from ._system_clock import SystemClock, SystemClockConfig

    return [
        ClockKind(
            kind="system",
            summary="This machine's own time of day, followed but never touched.",
            config=SystemClockConfig,
            factory=SystemClock,
            example='[clocks.house]\nkind = "system"\n',
        )
    ]
