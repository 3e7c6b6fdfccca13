"""From samples to observations: impossible values are dropped, and kinds of stamps are kept apart."""

from __future__ import annotations

import math
import statistics
from collections import Counter, deque
from collections.abc import Callable

from phasegraph import StampKind

from ..measurements import DelaySample, PeerDelaySample, Sample, SyncSample
from .offset_estimate import LONGEST_NS, NS_PER_S, Direction, PathObservation

BEST_FIRST = (StampKind.HARDWARE, StampKind.KERNEL, StampKind.USER)
PATIENCE_NS = 10 * NS_PER_S
"""Time without the better kind of stamp, after which a worse kind is used."""
LEARNT = 16
"""Stamps of a worse kind, beside better ones, that determine its bias."""
STALE_NS = 10 * NS_PER_S
END = 2**62
"""Times from here on (the year 2116) are refused: 64-bit arithmetic on them needs room to both sides."""


class _StampSource:
    """One direction: the kind of stamps that counts, and how much later all kinds are than was expected of packets."""

    def __init__(self) -> None:
        self.kind: StampKind | None = None
        self.newest_ns = 0
        self.bias_ns = 0
        self.doubt_ns = 0.0
        self.late: dict[StampKind, deque[float]] = {}

    def record_lateness(self, kind: StampKind, late_ns: float | None) -> None:
        if late_ns is not None:
            self.late.setdefault(kind, deque(maxlen=4 * LEARNT)).append(late_ns)

    def learned_bias(self, kind: StampKind) -> tuple[int, float]:
        """By how much a kind differs from the one that counts, and how far its earliest stamps are from that, in ns."""
        seen, counting = self.late.get(kind, ()), self.late.get(self.kind or kind, ())
        if min(len(seen), len(counting)) < LEARNT:
            return 0, 0.0
        middle = statistics.median(seen)
        return round(middle - statistics.median(counting)), middle - min(seen)


class MeasurementGate:
    """Counts samples, and admits those that can be used.

    A stamp that was taken late looks like a longer path, and one that only one direction has, like asymmetry, which
    cannot be measured. But while two kinds arrive side by side, as from a driver that loses some of its stamps, their
    difference can be measured. It is subtracted once the better kind ceases: the only asymmetry that calibrates itself.
    """

    def __init__(self) -> None:
        self.stamps: Counter[StampKind] = Counter()
        self.dropped: Counter[str] = Counter()
        self.newest_ns = 0
        self._sources = {direction: _StampSource() for direction in Direction}

    def admit(
        self, sample: Sample, expected: Callable[[PathObservation], float | None]
    ) -> tuple[PathObservation, bool] | None:
        """The observation, and whether it is the first of another kind of stamp, or None if it is not to be used.

        ``expected`` says by how much an observation's value exceeds what was expected of it, if anything was.
        """
        seen = _observation(sample)
        if seen is None:
            self.dropped["out_of_range"] += 1
            return None
        if seen.local_ns < self.newest_ns - STALE_NS:
            self.dropped["stale"] += 1
            return None
        self.newest_ns = max(self.newest_ns, seen.local_ns)
        self.stamps[sample.stamp] += 1
        return self._select_stamp(seen, sample.stamp, expected)

    def _select_stamp(
        self, seen: PathObservation, kind: StampKind, expected: Callable[[PathObservation], float | None]
    ) -> tuple[PathObservation, bool] | None:
        source = self._sources[seen.direction]
        before = source.kind
        if before is not kind:
            worse = before is not None and BEST_FIRST.index(kind) > BEST_FIRST.index(before)
            if worse and seen.local_ns - source.newest_ns < PATIENCE_NS:
                source.record_lateness(kind, expected(seen))
                self.dropped["worse_stamp"] += 1
                return None
            source.bias_ns, source.doubt_ns = source.learned_bias(kind)
            source.kind = kind
        elif source.late:
            source.record_lateness(kind, expected(seen))
        source.newest_ns = max(source.newest_ns, seen.local_ns)
        if source.bias_ns:
            seen = seen._replace(value_ns=seen.value_ns - source.bias_ns)
        return seen, before is not None and before is not kind

    @property
    def doubt_ns(self) -> float:
        """How wrong the offset may be because of biases that are being taken off; half of what a direction is."""
        return math.hypot(*(source.doubt_ns / 2 for source in self._sources.values()))

    def metrics(self) -> dict[str, int | float]:
        """Samples by kind of stamp and by reason of dropping, and biases that were learnt."""
        figures: dict[str, int | float] = {f"samples_{kind.value}": self.stamps[kind] for kind in BEST_FIRST}
        figures |= {f"samples_dropped_{reason}": count for reason, count in self.dropped.items()}
        for direction, source in self._sources.items():
            for kind in source.late.keys() - {source.kind}:
                figures[f"stamp_bias_{direction.name.lower()}_{kind.value}_ns"] = source.learned_bias(kind)[0]
        return figures


def _observation(sample: Sample) -> PathObservation | None:
    if not 0 <= sample.local_ns < END:
        return None
    match sample:
        case PeerDelaySample(local_ns=local, delay_ns=delay):
            if not math.isfinite(delay) or not -1e3 <= delay <= LONGEST_NS:
                return None
            return PathObservation(Direction.PEER, local, round(delay))
        case SyncSample(local_ns=local, reference_ns=reference) if 0 <= reference < END:
            return PathObservation(Direction.SYNC, local, local - reference - _rounded(sample.correction))
        case DelaySample(local_ns=local, reference_ns=reference) if 0 <= reference < END:
            return PathObservation(Direction.DELAY, local, reference - local - _rounded(sample.correction))
    return None


def _rounded(correction: int) -> int:
    return (correction + 0x8000) >> 16
