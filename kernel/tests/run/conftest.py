"""Streams without sources, and a clock that is set by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from phasegraph import NS_PER_S, ClockEstimate, ClockState, Encoding, Stream, StreamFormat
from phasegraph.testing import counter_frames

RATE = 48000


class HandClock:
    """Local time and media time are the same until somebody says otherwise."""

    def __init__(self) -> None:
        self.newest = ClockEstimate(local_ns=0, reference_ns=0, state=ClockState.LOCKED)

    def estimate(self) -> ClockEstimate:
        return self.newest

    def set(self, *, ahead_ns: int = 0, ppm: float = 0.0, local_ns: int = 0, discontinuities: int = 0) -> None:
        self.newest = ClockEstimate(
            local_ns=local_ns,
            reference_ns=local_ns + ahead_ns,
            rate_ppb=ppm * 1000,
            state=ClockState.LOCKED,
            discontinuities=discontinuities,
        )


MakeStream = Callable[..., Stream]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def make_stream(clock: HandClock) -> MakeStream:
    """Makes a stream; ``clocked`` says whether it runs on the clock."""

    def make(
        *, clocked: bool = True, channels: int = 1, delay: int = 0, window: int = RATE, rate: int = RATE
    ) -> Stream:
        return Stream(
            StreamFormat(rate, channels, Encoding.L24),
            window_ns=window * NS_PER_S // rate,
            clock=clock if clocked else None,
            playout_delay_ns=delay * NS_PER_S // rate,
        )

    return make


@pytest.fixture
def write() -> Callable[[Stream, int, int], None]:
    """Writes the counter into a stream: sample n says that it is frame n."""

    def write(stream: Stream, first: int, count: int) -> None:
        stream.ring.write_frames(first, counter_frames(first, count, stream.format.channels))
        stream.mark_written(first, first + count)

    return write
