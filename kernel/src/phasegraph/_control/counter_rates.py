"""What counters did lately: rates per second over the last 1, 10 and 60 s, and increases within 10 s."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import lru_cache

SPANS_S = (1, 10, 60)
RECENT_S = 10
LOSSES = {
    "packets_lost": "lost",
    "packets_late": "late",
    "packets_early": "early",
    "socket_dropped": "dropped by the system",
    "send_errors": "not sent",
    "underrun_frames": "frames missing",
    "overruns": "overruns",
    "lost_frames": "frames lost by the card",
}
"""Counters that mean a loss, and what is said of their increase."""
_COUNTED = (
    "packets_",
    "frames_",
    "underrun",
    "overrun",
    "resyncs",
    "send_errors",
    "socket_dropped",
    "missing_frames",
    "lost_frames",
)
_MOST = 62
Metrics = Mapping[str, int | float | str]


def counters(metrics: Metrics) -> dict[str, int]:
    """The metrics that count something since the start."""
    return {name: value for name, value in metrics.items() if isinstance(value, int) and _is_counter(name)}


@lru_cache(maxsize=4096)
def _is_counter(name: str) -> bool:
    return any(word in name for word in _COUNTED) and not name.endswith("_ns")


class CounterHistory:
    """Counters of nodes and edges, sampled once a second. Lives on the control plane."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, dict[str, dict[str, int]]]] = deque(maxlen=_MOST)

    def add_sample(self, now_s: float, metrics: Mapping[str, Metrics]) -> None:
        """Record the metrics of all nodes and edges, by name."""
        self._samples.append((now_s, {name: counters(each) for name, each in metrics.items()}))

    def rates(self, now_s: float, name: str, metrics: Metrics) -> dict[str, dict[str, float]]:
        """Rates of counters, by span in seconds; a span that the run has not lasted is left out."""
        now, rates = counters(metrics), {}
        for span_s in SPANS_S:
            sample = self._sample_before(now_s - span_s + 0.3)
            if sample is not None and now_s > sample[0]:
                then = sample[1].get(name, {})
                passed_s = now_s - sample[0]
                rates[str(span_s)] = {
                    counter: round((value - before) / passed_s, 3) if value > (before := then.get(counter, 0)) else 0.0
                    for counter, value in now.items()
                }
        return rates

    def increases(self, now_s: float, name: str, metrics: Metrics) -> dict[str, int]:
        """What was added to counters in the last `RECENT_S`, or since the start; nothing of those that stood still."""
        before = self._sample_before(now_s - RECENT_S)
        then = {} if before is None else before[1].get(name, {})
        added = {counter: value - then.get(counter, 0) for counter, value in counters(metrics).items()}
        return {counter: value for counter, value in added.items() if value > 0}

    def _sample_before(self, at_s: float) -> tuple[float, dict[str, dict[str, int]]] | None:
        return next((sample for sample in reversed(self._samples) if sample[0] <= at_s), None)
