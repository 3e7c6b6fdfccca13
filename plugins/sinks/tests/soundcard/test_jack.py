"""JACK's cycles without JACK: a library that counts frames and times as a server does."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

from phasegraph import NodeError
from phasegraph.testing import SimLocalClock, counter_frames
from phasegraph_sinks.soundcard import jack
from phasegraph_sinks.soundcard.callback_stamps import CallbackStamps
from phasegraph_sinks.soundcard.card_host import list_cards, open_card
from phasegraph_sinks.soundcard.card_memory import CaptureRing, PlayRing
from phasegraph_sinks.soundcard.cards import CardRequest, OpenedCard

RATE = 48_000


class FakeServer:
    """What `jack` calls, with JACK 2's delay-locked loop. `cycle` runs one period, woken at a true time."""

    def __init__(self, period=256, rate=RATE, latency=512):
        self.period, self.rate, self.latency = period, rate, latency
        self.nominal_us = period / rate * 1e6
        self.frame, self.next_us, self.period_us = (
            4_294_967_000,
            10_000_000,
            float(np.float32(self.nominal_us)),
        )  # soon wraps
        self.current_us = 0
        self.now_us = self.woken_us = 10_000_000.0
        self.asked_us = self.now_us
        self.random = np.random.default_rng(1)
        self.callbacks = {}
        self.connected = []
        self.activated = False
        self.closed = 0
        self.names = {}
        self.buffers = {}

    def wake(self, late_us=0.0):
        omega = 7.854e-7 * self.nominal_us
        lag = late_us + self.now_us - self.next_us
        self.current_us, self.woken_us = self.next_us, self.now_us + late_us
        self.frame = (self.frame + self.period) % (1 << 32)
        self.period_us = float(np.float32(self.period_us + omega * omega * lag))
        self.next_us += int(np.floor(self.period_us + 1.41 * omega * lag + 0.5))
        self.now_us += self.nominal_us

    def cycle(self, late_us=0.0):
        self.wake(late_us)
        self.callbacks["process"](self.period, None)

    def port(self, name):
        return next(key for key, value in self.names.items() if value == name)

    def samples(self, name):
        return np.array(self.buffers[self.port(name)])

    # The library's functions.

    def jack_client_open(self, name, options, status):
        self.name = name.decode()
        return 1

    def jack_client_close(self, client):
        self.closed += 1

    def jack_activate(self, client):
        self.activated = True
        return 0

    def jack_is_realtime(self, client):
        return 1

    def jack_get_sample_rate(self, client):
        return self.rate

    def jack_get_buffer_size(self, client):
        return self.period

    def jack_get_version_string(self):
        return b"1.9.21"

    def jack_get_time(self):
        self.asked_us = self.woken_us + self.random.uniform(20.0, 60.0)
        return int(self.asked_us)

    def jack_frames_since_cycle_start(self, client):
        return int((self.asked_us - self.woken_us) * self.rate // 1e6)

    def jack_port_register(self, client, name, type, flags, size):
        key = 100 + len(self.names)
        self.names[key] = f"{self.name}:{name.decode()}"
        self.buffers[key] = (ctypes.c_float * self.period)()
        return key

    def jack_port_name(self, port):
        return self.names[port].encode()

    def jack_port_by_name(self, client, name):
        return 7

    def jack_port_get_buffer(self, port, count):
        return ctypes.addressof(self.buffers[port])

    def jack_port_get_latency_range(self, port, mode, span):
        span._obj.min = span._obj.max = self.latency

    def jack_connect(self, client, *names):
        self.connected.append(tuple(name.decode() for name in names))

    def jack_get_ports(self, client, pattern, type, flags):
        word = "playback" if flags == 1 else "capture"
        self.listed = (ctypes.c_char_p * 4)(f"system:{word}_1".encode(), f"system:{word}_2".encode(), None)
        return self.listed

    def jack_free(self, names):
        pass

    def jack_set_process_callback(self, client, callback, argument):
        self.callbacks["process"] = callback

    def jack_set_xrun_callback(self, client, callback, argument):
        self.callbacks["xrun"] = callback

    def jack_on_info_shutdown(self, client, callback, argument):
        self.callbacks["shutdown"] = callback

    def jack_get_cycle_times(self, client, frames, current, following, period):
        frames._obj.value, current._obj.value = self.frame, self.current_us
        following._obj.value, period._obj.value = self.next_us, self.period_us
        return 0


@pytest.fixture
def server(monkeypatch, plug):
    plug()
    server = FakeServer()
    monkeypatch.setattr(jack, "library", lambda: server)
    return server


def opened(server, direction="output", **changes):
    kind = PlayRing if direction == "output" else CaptureRing
    ring = kind(2, RATE)
    options = {"node": "speakers", "device": "system", "rate": RATE, "channels": 2, "latency_ns": None, "block": 0}
    request = CardRequest(direction=direction, **{**options, **changes})
    return open_card(request, ring, lambda: int(server.now_us * 1000)), ring


def test_the_server_s_clients_are_cards(server):
    (card,) = list_cards()
    assert (card.name, card.inputs, card.outputs, card.default_rate) == ("system", 2, 2, RATE)
    assert server.closed == 1


def test_connects_its_ports_and_plays_each_channel(server):
    card, ring = opened(server)
    assert server.connected == [
        ("phasegraph-speakers:out_0", "system:playback_1"),
        ("phasegraph-speakers:out_1", "system:playback_2"),
    ]
    ring.write_frames(256, counter_frames(0, 1000, 2))
    for _ in range(3):
        server.cycle()
    heard = np.stack([server.samples(f"phasegraph-speakers:out_{channel}") for channel in (0, 1)], axis=1)
    assert np.array_equal(heard, counter_frames(256, 256, 2))
    card.close(played_out=True)
    assert server.closed == 2


def test_captures_each_channel(server):
    _, ring = opened(server, "input")
    frames = counter_frames(0, 256, 2)
    for channel in (0, 1):
        server.buffers[server.port(f"phasegraph-speakers:in_{channel}")][:] = frames[:, channel].tolist()
    server.cycle()
    assert np.array_equal(ring.read_until(256)[1], frames)


def test_a_missed_cycle_is_counted_and_later_frames_keep_their_time(server):
    _, ring = opened(server)
    server.cycle()
    server.wake()  # the client is too late for this one
    server.wake()
    server.cycle()
    assert (ring.called, ring.lost_frames, ring.lost_cycles) == (4 * 256, 512, 1)
    first, second = ring.read_stamps()
    assert second.called - first.called == 3 * 256
    assert second.device_s - first.device_s == pytest.approx(3 * 256 / RATE, abs=2e-6)


def test_a_stamp_is_the_server_s_time_and_the_latency_of_its_ports(server):
    card, ring = opened(server)
    for _ in range(100):
        server.cycle()
    stamp = ring.read_stamps()[-1]
    assert stamp.now_s == pytest.approx(server.current_us * 1e-6, abs=20e-6)
    assert stamp.device_s - stamp.now_s == pytest.approx(512 / RATE)
    assert card.opened.exact_times
    server.latency = 1024
    card.update_latency()
    server.cycle()
    (stamp,) = ring.read_stamps()
    assert stamp.device_s - stamp.now_s == pytest.approx(1024 / RATE)


def followed(server, ring):
    """The stamps of a ring on a line, as the data plane sees them."""
    local = SimLocalClock()
    stamps = CallbackStamps(ring, RATE, local)
    stamps.card_opened(OpenedCard(list_cards()[0], 0.01, "JACK's cycle times"))
    stamps._clocks[-1] = local.now_ns  # both clocks are the same here
    return stamps


@pytest.mark.parametrize("period", [pytest.param(64, marks=pytest.mark.slow), 256, 1024])
@pytest.mark.parametrize("lost_us", [300.0, 2_000.0, 20_000.0])
def test_two_clients_agree_at_once_after_the_server_lost_time(period, lost_us, monkeypatch, plug):
    # The loop of the server needs 4 s to follow; both clients know within 0.1 s, and they know the same.
    plug()
    server = FakeServer(period)
    monkeypatch.setattr(jack, "library", lambda: server)
    random = np.random.default_rng(3)
    readers, processes = [], []
    for start in (0, 300):  # the second room starts later
        for _ in range(start):
            server.wake(abs(random.normal(0, 30)))
            [process(period, None) for process in processes]
        _, ring = opened(server)
        processes.append(server.callbacks["process"])
        readers.append((followed(server, ring), ring, server.callbacks["xrun"]))
    for number in range(int(2 * RATE / period)):
        if number == RATE // period:
            server.now_us += lost_us
            for _, _, xrun in readers:
                xrun(None)
        server.wake(abs(random.normal(0, 30)))
        for process, (stamps, _, _) in zip(processes, readers, strict=True):
            process(period, None)
            stamps.read_new_stamps()
        if number == RATE // period + max(6, RATE // 10 // period):
            places = [stamps.timeline.time_of(ring.called + stamps.skipped) for stamps, ring, _ in readers]
            assert abs(places[0] - places[1]) < 1e9 / RATE
            assert server.now_us - server.current_us > 0.5 * lost_us  # the loop is far behind
            truth_ns = (server.now_us + 512 / RATE * 1e6) * 1000
            assert abs(places[0] - truth_ns) < 100_000
    for stamps, _, _ in readers:
        assert stamps.lost_frames == pytest.approx(lost_us * RATE / 1e6, abs=3)
        assert stamps.xruns == 1


@pytest.mark.parametrize("period", [*(pytest.param(it, marks=pytest.mark.slow) for it in (64, 256, 1024)), 4096, 8192])
@pytest.mark.parametrize("xruns", [0, 1])
def test_wake_ups_that_scatter_are_no_loss(period, xruns, monkeypatch, plug):
    # Of a quarter of a second, a long period has too few for a steady median. An xrun of another client takes no time.
    plug()
    server = FakeServer(period)
    monkeypatch.setattr(jack, "library", lambda: server)
    _, ring = opened(server)
    stamps, random = followed(server, ring), np.random.default_rng(5)
    seconds = 20 if period < 1024 else 90
    for number in range(seconds * RATE // period):
        if xruns and number % (3 * RATE // period) == RATE // period:
            server.callbacks["xrun"](None)
        late_us = random.exponential(3_000.0) if random.random() < 0.05 else 0.0
        server.cycle(late_us + abs(random.normal(0, 30)))
        stamps.read_new_stamps()
    # The median of three wake-ups after a report may be far off by chance, once in thirty times.
    assert stamps.xruns <= xruns
    assert abs(stamps.skipped) <= 2 * stamps.xruns


@pytest.mark.parametrize("period", [*(pytest.param(it, marks=pytest.mark.slow) for it in (256, 1024, 4096)), 8192])
@pytest.mark.parametrize("ppm", [100.0, -150.0, 500.0, -1000.0])
def test_a_card_that_is_off_its_rate_loses_nothing(ppm, period, monkeypatch, plug):
    plug()
    server = FakeServer(period)
    monkeypatch.setattr(jack, "library", lambda: server)
    _, ring = opened(server)
    stamps, random = followed(server, ring), np.random.default_rng(5)
    for _ in range((20 if period < 1024 else 90) * RATE // period):
        server.now_us += server.nominal_us * ppm * 1e-6
        late_us = random.exponential(3_000.0) if random.random() < 0.05 else 0.0
        server.cycle(late_us + abs(random.normal(0, 30)))
        stamps.read_new_stamps()
    assert (stamps.lost_frames, stamps.skipped, stamps.xruns) == (0, 0, 0)
    assert stamps.timeline.rate_ppb == pytest.approx(1e9 / (1 + ppm * 1e-6) - 1e9, abs=1000)


def test_a_server_that_is_late_for_long_has_lost_no_time(server):
    # Its wake-ups are late by other times each: a jump would move all alike.
    _, ring = opened(server)
    stamps, random = followed(server, ring), np.random.default_rng(6)
    for number in range(2000):
        server.cycle(random.uniform(200.0, 3_000.0) if number % 500 > 460 else abs(random.normal(0, 30)))
        stamps.read_new_stamps()
    assert (stamps.lost_frames, stamps.xruns) == (0, 0)


@pytest.mark.parametrize("period", [256, 8192])
def test_a_jump_that_the_server_does_not_report_is_found(period, monkeypatch, plug):
    plug()
    server = FakeServer(period)
    monkeypatch.setattr(jack, "library", lambda: server)
    _, ring = opened(server)
    stamps, random = followed(server, ring), np.random.default_rng(7)
    for number in range(100):
        server.now_us += 1_000.0 * (number == 50)
        server.cycle(abs(random.normal(0, 30)))
        stamps.read_new_stamps()
    assert stamps.lost_frames == pytest.approx(48, abs=2)
    assert stamps.xruns == 1


def test_a_server_that_ends_is_known_at_once(server):
    card, _ = opened(server)
    assert card.is_active()
    server.callbacks["shutdown"](0, b"JACK server has been closed", None)
    assert not card.is_active()
    assert card.lost_reason == "JACK server has been closed"
    card.close(played_out=False)
    assert server.closed == 1  # only the client that listed: closing waits for a server that is gone


@pytest.mark.parametrize("realtime", [True, False])
def test_ahead_of_a_server_without_priority_nothing_runs(realtime, server, monkeypatch):
    given_up = []
    server.jack_is_realtime = lambda client: int(realtime)
    monkeypatch.setattr(jack, "give_up_priority", lambda: given_up.append(server.activated))
    card, _ = opened(server)
    assert given_up == ([] if realtime else [False])  # before the library starts the thread that calls back
    assert card.opened.ordinary_server == ("" if realtime else "the JACK server")


def test_a_server_at_another_rate_is_refused(server, refused):
    refused(lambda: opened(server, rate=44_100), "runs at 48 kHz, not 44.1 kHz", "nothing is converted", option="rate")
    refused(lambda: opened(server, channels=3), "has 2 channels for output, not 3", option="channels")
    assert server.closed >= 2


def test_a_server_that_does_not_answer(monkeypatch, plug, make_card):
    plug(make_card())
    monkeypatch.setattr(jack, "library", lambda: SimpleNamespace(jack_client_open=lambda *arguments: None))
    assert [card.name for card in list_cards()] == ["USB Audio: - (hw:1,0)"]


def test_without_portaudio_jack_s_cards_are_enough(server, monkeypatch):
    from phasegraph_sinks.soundcard import portaudio

    def missing():
        raise NodeError("PortAudio cannot be loaded")

    monkeypatch.setattr(portaudio, "sounddevice", missing)
    assert [card.index for card in list_cards()] == [0]


@pytest.mark.parametrize("period", [64, 256, 1024])
def test_the_stamps_are_in_their_place_from_the_first_cycles_after_an_xrun(period):
    off_us = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        nominal_us, true_us = period / RATE * 1e6, 10_000_000.0
        wakes = jack._WakeFilter(nominal_us, 1e6 / RATE)
        for cycle in range(800):
            if cycle == 500:
                true_us += 300.0
                wakes.expect_jump()
            begin_us = wakes.begin_us(cycle, int(true_us), true_us + random.uniform(-30.0, 30.0))
            if cycle > 500 and wakes.since_moved < 4:
                off_us.append(begin_us - true_us)
            true_us += nominal_us
    assert 0.0 < np.sqrt(np.mean(np.square(off_us))) < 25.0


@pytest.mark.parametrize("period", [pytest.param(64, marks=pytest.mark.slow), 256, 1024, 4096, 8192])
@pytest.mark.parametrize("ppm", [0.0, 180.0, 500.0, -1000.0])
def test_a_clock_of_the_server_that_is_set_right_slowly_is_followed(period, ppm):
    random = np.random.default_rng(8)
    nominal_us, true_us, off_us = period / RATE * 1e6, 10_000_000.0, []
    wakes = jack._WakeFilter(nominal_us, 1e6 / RATE)
    cycles = int(40e6 / nominal_us)
    for cycle in range(cycles):
        late_us = random.exponential(3_000.0) if random.random() < 0.05 else 0.0
        begin_us = wakes.begin_us(cycle, int(true_us), true_us + abs(random.normal(0, 30)) + late_us)
        off_us.append(begin_us - true_us)
        assert wakes.since_moved
        true_us += nominal_us * (1 + ppm * 1e-6 * (cycle > cycles // 4))
    assert np.max(np.abs(off_us[cycles // 2 :])) < 100.0
