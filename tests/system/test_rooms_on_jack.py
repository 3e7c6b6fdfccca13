"""Two rooms on a simulated JACK server that loses time: each of its cycles gets the same place of the stream."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from phasegraph import ClockEstimate, ClockState, Encoding, Frames, StreamFormat
from phasegraph._run.crossing import CrossingTap
from phasegraph_compensation.combined import Combined
from phasegraph_compensation.feed_forward import FeedForwardConfig
from phasegraph_sinks.soundcard import jack
from phasegraph_sinks.soundcard.card_memory import PlayRing
from phasegraph_sinks.soundcard.card_player import CardPlayer
from phasegraph_sinks.soundcard.cards import Card, CardRequest

RATE = 48_000
MEDIA_S = 1_700_000_000
START_US = 10_000_000.0
SECOND_ROOM_S, SETTLED_S, SECONDS = 2.0, 6, 10.0
APART_FRAMES = 2.0
PUBLISH_NS = 125_000_000


class Server:
    """The functions of libjack that a card calls, for a server that the test wakes."""

    def __init__(self, period: int) -> None:
        self.period, self.frame, self.now_us, self.woken_us = period, 0, START_US, START_US
        self.buffer = (ctypes.c_float * period)()

    def __getattr__(self, name: str) -> Any:
        values = {
            "jack_get_sample_rate": RATE,
            "jack_get_buffer_size": self.period,
            "jack_get_version_string": b"1.9.21",
        }
        value = values.get(name, 0 if name == "jack_activate" else 1)
        return lambda *arguments: value

    def jack_port_name(self, port: int) -> bytes:
        return b"port"

    def jack_get_ports(self, *arguments: Any) -> Any:
        return (ctypes.c_char_p * 3)(b"system:playback_1", b"system:playback_2", None)

    def jack_port_get_buffer(self, port: int, count: int) -> int:
        return ctypes.addressof(self.buffer)

    def jack_port_get_latency_range(self, port: int, mode: int, span: Any) -> None:
        span._obj.max = 2 * self.period

    def jack_get_time(self) -> int:
        return int(self.now_us)

    def jack_frames_since_cycle_start(self, client: int) -> int:
        return int((self.now_us - self.woken_us) * RATE / 1e6)

    def jack_get_cycle_times(self, client: int, frames: Any, current: Any, following: Any, period: Any) -> int:
        frames._obj.value, current._obj.value = self.frame, int(self.woken_us)
        return 0


class Local:
    """Local time, which is the server's."""

    virtual = True

    def __init__(self, server: Server) -> None:
        self.server = server

    def now_ns(self) -> int:
        return round(self.server.now_us * 1000)


class Room:
    """A run's crossing, player and card, without samples: `positions` are what it would have played."""

    def __init__(self, server: Server) -> None:
        self.server, self.local = server, Local(server)
        self.xruns: list[float] = []  # when the server reports them
        self.stalled_us = self.due_ns = 0.0
        self._known = ClockEstimate(local_ns=0, reference_ns=0)
        self._cycles: list[tuple[int, int]] = []
        self._blocks: list[tuple[int, float, float, bool]] = []
        clock = SimpleNamespace(estimate=self._estimate)
        ring = SimpleNamespace(read=lambda *arguments: 0, capacity=1 << 30)
        stream: Any = SimpleNamespace(
            clock=clock,
            ring=ring,
            format=StreamFormat(RATE, 2, Encoding.L24),
            conceal=False,
            playout_delay_frames=3840,
            head=0,
            arrivals=[],
            first=None,
            end=None,
            on_read=lambda: None,
        )
        self._tap = CrossingTap(stream, Combined(FeedForwardConfig(), RATE), SimpleNamespace(reach=16))  # type: ignore[arg-type]
        self._ring = PlayRing(2, RATE)
        request = CardRequest("speakers", "output", "system", RATE, 2, None, 0)
        card = jack.JackCard(Card(0, "system", jack.HOST_API, 2, 2, RATE), request, self._ring, self.local.now_ns)
        self.process, self.report_xrun, _ = card._callbacks
        input: Any = SimpleNamespace(
            format=stream.format,
            ready=True,
            available=lambda frame: 1 << 60,
            read=self._read,
            note_loss=self._tap.note_loss,
        )
        self._player = CardPlayer(
            input,
            self.local,  # type: ignore[arg-type]
            self._ring,
            buffer_ns=10_000_000,
            before=None,
            on_end=lambda: None,
        )
        self._player.stamps.card_opened(card.opened)
        self._player.stamps._clocks[-1] = self.local.now_ns

    def _estimate(self) -> ClockEstimate:
        at_ns = self.local.now_ns() // PUBLISH_NS * PUBLISH_NS
        if at_ns != self._known.local_ns:
            reference_ns = at_ns + MEDIA_S * 10**9
            self._known = ClockEstimate(
                local_ns=at_ns, reference_ns=reference_ns, sigma_ns=500.0, bound_ns=3000.0, state=ClockState.LOCKED
            )
        return self._known

    def _read(self, first: int, out: Frames, sounds_ns: int) -> int:
        self._tap.skip(first, len(out), sounds_ns)
        whole, fraction = self._tap.block_start
        correction = self._tap.correction
        place = whole - MEDIA_S * RATE + fraction
        self._blocks.append((first, place, 1 + correction.ratio_ppb * 1e-9, not correction.silent))
        return len(out)

    def call(self) -> None:
        """One callback."""
        self.process(self.server.period, None)
        frame = self._ring.called - self.server.period + self._ring.skipped
        if self._ring.begin <= frame and frame + self.server.period <= self._ring.end:
            self._cycles.append((self.server.frame, frame))

    def step(self) -> None:
        """The engine's calls that are due."""
        if self.local.now_ns() >= self.due_ns:
            self.due_ns = self._player.step(self.local.now_ns())

    def positions(self) -> dict[int, float]:
        """Where in the stream the room was at each cycle of the server that it filled."""
        firsts = np.array([block[0] for block in self._blocks])
        found = {}
        for cycle, frame in self._cycles:
            first, place, pace, sounds = self._blocks[int(np.searchsorted(firsts, frame, side="right")) - 1]
            if sounds and frame >= first:
                found[cycle] = place + (frame - first) * pace
        return found


def wake_ups(period: int, stalls_a_second: float, random: np.random.Generator) -> list[tuple[float, bool]]:
    """When the server wakes, and whether it reports an xrun then: as JACK's timed driver, on a busy machine."""
    period_us, now_us, anchor_us, count, xrun = period / RATE * 1e6, START_US, 0.0, 0, False
    found = []
    while now_us < START_US + SECONDS * 1e6:
        found.append((now_us, xrun))
        now_us += 60.0 * random.uniform(0.5, 1.5)  # its clients are called
        count += 1
        if count == 1:
            anchor_us = now_us
        rest_us = anchor_us + count * period_us - now_us
        xrun = rest_us < 0.0
        if xrun:
            count, rest_us = 0, 0.0
        late_us = random.exponential(40.0)
        late_us += random.exponential(4000.0) * (random.random() < stalls_a_second * 1e-6 * period_us)
        late_us += random.exponential(400.0) * (random.random() < 20e-6 * period_us)
        now_us += rest_us + late_us
    return found


@pytest.mark.parametrize("seed", [1, 4, pytest.param(5, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("period", "stalls"), [(64, 1.0), (64, 5.0), (256, 1.0)])
def test_after_xruns_two_rooms_are_within_two_frames(
    period: int, stalls: float, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Up to seven times a second the server loses time, and clients miss cycles and find no frames, each at other times.
    random = np.random.default_rng(seed)
    server = Server(period)
    monkeypatch.setattr(jack, "library", lambda: server)
    rooms: list[Room] = []
    for woken_us, xrun in wake_ups(period, stalls, random):
        server.now_us = server.woken_us = woken_us
        server.frame += period
        if len(rooms) < 1 + (woken_us > START_US + SECOND_ROOM_S * 1e6):
            rooms.append(Room(server))
        chances = random.random((len(rooms), 2)) / (period / RATE)  # below the number of such events in a second
        for room, (missed, stalled) in zip(rooms, chances, strict=True):
            if xrun:
                room.xruns.append(woken_us + random.exponential(8000.0))
            server.now_us = woken_us + 30.0 + random.exponential(20.0)
            if room.xruns and room.xruns[0] <= woken_us:
                room.xruns.clear()
                room.report_xrun(None)
            if missed > 2.0:
                room.call()
            if stalled < 1.0:
                room.stalled_us = woken_us + random.exponential(10_000.0)
            if woken_us > room.stalled_us:
                room.step()
    first, second = (room.positions() for room in rooms)
    both = np.array(sorted(first.keys() & second.keys()))
    apart = np.array([first[frame] - second[frame] for frame in both])
    seconds = [np.abs(apart[both // RATE == second]) for second in range(SETTLED_S, int(both[-1]) // RATE)]
    assert len(seconds) >= 3
    assert max(np.median(second) for second in seconds) <= APART_FRAMES  # what a correlation finds
    assert np.mean(np.concatenate(seconds) <= APART_FRAMES) > 0.9
