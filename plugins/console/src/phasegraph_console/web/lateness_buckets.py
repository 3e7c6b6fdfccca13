"""The lateness histogram of a stream, in the buckets that Prometheus gets. Sans-IO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

EDGES_NS = tuple(125_000 << octave for octave in range(12))
"""From 125 us, the shortest packet time, to 256 ms. Bins of the source that lie across an edge count above it."""


class LatenessBuckets(NamedTuple):
    """Packets by lateness, cumulative."""

    counts: tuple[tuple[float, int], ...]
    """(upper edge in ns, packets that are not later); the last edge is infinite."""
    sum_ns: float | None
    """Of all latenesses, each counted at the upper edge of its bin; None where some are negative."""


def parse_histogram(text: str) -> list[tuple[int, int]]:
    """(upper edge in ns, packets) of each bin of a ``lateness_histogram``. Raises ValueError."""
    pairs = (item.partition(":") for item in text.split())
    return [(int(edge), int(count)) for edge, _, count in pairs]


def lateness_buckets(metrics: Mapping[str, int | float | str]) -> LatenessBuckets | None:
    """The buckets of a stream; None where it has no histogram. The link offset is one edge, exact to the packet."""
    text = metrics.get("lateness_histogram")
    if not isinstance(text, str):
        return None
    try:
        bins = parse_histogram(text)
    except ValueError:
        return None
    total = sum(count for _, count in bins)
    counts: dict[float, int] = {edge: sum(n for upper, n in bins if upper <= edge) for edge in EDGES_NS}
    offset_ns, late = metrics.get("link_offset_ns"), metrics.get("packets_late")
    if isinstance(offset_ns, int) and isinstance(late, int):
        # Late packets are exactly those beyond the link offset; of the bin that it cuts, only they can tell.
        below = sum(count for upper, count in bins if upper <= offset_ns)
        cut = next((count for upper, count in bins if upper > offset_ns), 0)
        counts[offset_ns] = min(max(total - late, below), below + cut)
    ordered = [(edge, counts[edge]) for edge in sorted(counts)]
    rising, most = [], 0
    for edge, count in ordered:
        most = max(most, count)
        rising.append((edge, most))
    negative = any(edge <= 0 for edge, _ in bins)
    sum_ns = None if negative else float(sum(edge * count for edge, count in bins))
    return LatenessBuckets((*rising, (float("inf"), total)), sum_ns)
