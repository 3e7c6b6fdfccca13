"""Whether a graph fits into memory: its sources' rings are the only buffers whose size a graph decides."""

from __future__ import annotations

import os
from collections.abc import Mapping

from .._core.errors import Problem

_SHARE = 0.5
"""Of the machine's memory, for the rings of one graph."""


def memory_bytes() -> int | None:
    """The machine's memory, or the smaller limit of our control group; None if the system does not say."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
    try:
        with open("/sys/fs/cgroup/memory.max") as file:
            return min(total, int(file.read()))
    except (OSError, ValueError):  # no control groups, or "max"
        return total


def ring_problem(ring_bytes: Mapping[str, int]) -> Problem | None:
    """What is wrong with rings of these sizes, by the path of their source; None if they fit."""
    limit, wanted = memory_bytes(), sum(ring_bytes.values())
    if limit is None or wanted <= _SHARE * limit:
        return None
    path = max(ring_bytes, key=ring_bytes.__getitem__)
    return Problem(
        path,
        f"the buffers of {len(ring_bytes)} sources need {_size(wanted)} of memory, and this machine has {_size(limit)} "
        f"(this source needs {_size(ring_bytes[path])})",
        "set a shorter link-offset, or fewer channels",
    )


def _size(octets: int) -> str:
    return f"{octets / 1e9:.1f} GB" if octets >= 1e9 else f"{octets / 1e6:.0f} MB"
