"""What counters did lately: rates per second over the last 1, 10 and 60 s, and increases within 10 s."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

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
"""Counters that mean a loss, and how the status names their increase."""
_RECENT_LOSSES = {**LOSSES, "packets_foreign": "ignored from another sender"}
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
_MOST = 72
Metrics = Mapping[str, int | float | str]
Counters = Mapping[str, int]
_NO_COUNTERS: Counters = {}


def counters(metrics: Metrics) -> dict[str, int]:
    """The metrics that count something since the start."""
    return {name: value for name in _counters_among(tuple(metrics)) if isinstance(value := metrics[name], int)}


@lru_cache(maxsize=1024)
def _counters_among(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if any(word in name for word in _COUNTED) and not name.endswith("_ns")]


def recent_losses(recent: Mapping[str, int]) -> str:
    """What was lost in the last 10 s, as a phrase; empty where nothing was."""
    if recent.keys().isdisjoint(_RECENT_LOSSES):
        return ""
    lost = [f"{recent[name]:,} {word}".replace(",", " ") for name, word in _RECENT_LOSSES.items() if recent.get(name)]
    return f"{', '.join(lost)} in the last {RECENT_S} s" if lost else ""


class _Judged(Protocol):
    @property
    def severity(self) -> int: ...
    @property
    def trouble(self) -> str: ...
    @property
    def recent(self) -> Mapping[str, int]: ...


def urgency(judged: _Judged) -> tuple[int, bool]:
    """What nodes and edges are sorted by: severity, then trouble that goes on before losses that may be over."""
    return -judged.severity, bool(judged.trouble) and judged.trouble == recent_losses(judged.recent)


Sample = tuple[float, Mapping[str, Counters]]
"""When, and the counters of all nodes and edges by name."""


class CounterHistory:
    """Counters of nodes and edges, sampled about once a second. Lives on the control plane."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=_MOST)
        self._found: tuple[float, dict[str, Sample], Sample | None] | None = None
        """For a time: the sample that each span begins with, and that of `RECENT_S`. Every node asks for the same."""

    def add_sample(self, now_s: float, counted: Mapping[str, Counters]) -> None:
        """Record the counters of all nodes and edges, by name."""
        self._samples.append((now_s, counted))
        self._found = None

    def rates(self, now_s: float, name: str, now: Counters) -> dict[str, dict[str, float]]:
        """Rates of the counters that rise, by span in seconds; a span that the run has not lasted is left out."""
        rates = {}
        counting = [(counter, value) for counter, value in now.items() if value]  # most count what does not happen
        for span, (at_s, sample) in self._begins(now_s)[0].items():
            then, per_s = sample.get(name, _NO_COUNTERS), 1000 / (now_s - at_s)
            rates[span] = {
                counter: int((value - before) * per_s + 0.5) / 1000
                for counter, value in counting
                if value > (before := then.get(counter, 0))
            }
        return rates

    def increases(self, now_s: float, name: str, now: Counters) -> dict[str, int]:
        """What was added to counters in the last `RECENT_S`, or since the start; nothing of those that stood still."""
        sample = self._begins(now_s)[1]
        then = _NO_COUNTERS if sample is None else sample[1].get(name, _NO_COUNTERS)
        return {
            counter: value - before
            for counter, value in now.items()
            if value and value > (before := then.get(counter, 0))
        }

    def _begins(self, now_s: float) -> tuple[dict[str, Sample], Sample | None]:
        if self._found is None or self._found[0] != now_s:
            begins = {str(span_s): self._sample_before(now_s - span_s + 0.3) for span_s in SPANS_S}
            spans = {span: sample for span, sample in begins.items() if sample is not None and sample[0] < now_s}
            self._found = now_s, spans, self._sample_before(now_s - RECENT_S)
        return self._found[1:]

    def _sample_before(self, at_s: float) -> Sample | None:
        return next((sample for sample in reversed(self._samples) if sample[0] <= at_s), None)
