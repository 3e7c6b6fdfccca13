"""Recent rates of counters: per second over the last 1, 10 and 60 s."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import lru_cache

SPANS_S = (1, 10, 60)
_COUNTED = ("packets_", "frames_", "underrun", "overrun", "resyncs", "send_errors", "socket_dropped", "missing_frames")
_MOST = 62


def counters(metrics: Mapping[str, int | float | str]) -> dict[str, int]:
    """The metrics that count something since the start."""
    return {name: value for name, value in metrics.items() if isinstance(value, int) and _is_counter(name)}


@lru_cache(maxsize=4096)
def _is_counter(name: str) -> bool:
    return any(word in name for word in _COUNTED) and not name.endswith("_ns")


class CounterHistory:
    """Counters of nodes, sampled once a second. Lives on the control plane."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, dict[str, dict[str, int]]]] = deque(maxlen=_MOST)

    def add_sample(self, now_s: float, nodes: Mapping[str, Mapping[str, int | float | str]]) -> None:
        """Record the metrics of all nodes."""
        self._samples.append((now_s, {id: counters(metrics) for id, metrics in nodes.items()}))

    def rates(self, now_s: float, id: str, metrics: Mapping[str, int | float | str]) -> dict[str, dict[str, float]]:
        """Rates of a node's counters, by span in seconds; a span that the run has not lasted is left out."""
        now, rates = counters(metrics), {}
        for span_s in SPANS_S:
            sample = next(
                ((at_s, then) for at_s, then in reversed(self._samples) if now_s - at_s >= span_s - 0.3), None
            )
            if sample is not None and now_s > sample[0]:
                then = sample[1].get(id, {})
                passed_s = now_s - sample[0]
                rates[str(span_s)] = {
                    name: round((value - before) / passed_s, 3) if value > (before := then.get(name, 0)) else 0.0
                    for name, value in now.items()
                }
        return rates
