"""A stand-in for ``sounddevice`` whose cards live in virtual time, and know when each frame truly sounded."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import trio

from phasegraph.testing import SimLocalClock, counter_frames, run_graph, running_graph
from phasegraph_sinks.soundcard import jack, portaudio


class PortAudioError(Exception):
    """As sounddevice's."""


class FakeCard:
    """A card with a crystal of its own. What it plays is kept, each block with the true time of its first frame."""

    def __init__(self, name="USB Audio: - (hw:1,0)", *, outputs=2, inputs=2, rates=(44100, 48000, 96000), ppm=0.0):
        self.name = name
        self.outputs, self.inputs, self.rates, self.ppm = outputs, inputs, rates, ppm
        self.block = 256
        self.latency_s = 0.008
        self.hardware_s = 0.0005  # how much later an input's block is handed over
        self.present = True
        self.noise_s = 0.0  # of its stamps
        self.lateness = lambda random: 0.0  # of its callbacks, in seconds
        self.wrong_time = None  # makes (device_s, now_s) of the true ones
        self.xruns = {}  # callback number -> frames that are lost before it
        self.announces = True
        self.played = []
        self.opened = 0
        self.requested_latency = None  # what the newest opening asked for
        self.stops = []

    def entry(self, hostapi=0):
        return {
            "name": self.name,
            "hostapi": hostapi,
            "max_input_channels": self.inputs,
            "max_output_channels": self.outputs,
            "default_samplerate": 48000.0,
        }

    def heard(self):
        """All it played, in one piece."""
        return np.concatenate([frames for _, frames in self.played])

    def true_times(self):
        """True time in seconds at which each frame of `heard` sounded."""
        return np.concatenate([start + np.arange(len(frames)) / self.running_rate for start, frames in self.played])

    def misplaced(self, house, *, link_offset_s, frequency=100.0, block=480):
        """Of a simulated source's sine: by how many seconds what sounded came too early, block by block of a
        cycle or more; as (true time, seconds), from the first frame that is not silence to the last.

        Right within half a cycle of the sine. ``house`` is the simulated clock.
        """
        heard, times = self.heard()[:, 0].astype(float), self.true_times()
        there = np.flatnonzero(heard)
        heard, times = heard[there[0] : there[-1] + 1], times[there[0] : there[-1] + 1]
        results = []
        for at in range(0, len(heard) - block + 1, block):
            when = times[at : at + block]
            media = house.true_reference(round(when[0] * 1e9)) % (10**9) / 1e9 + when - when[0] - link_offset_s
            turn = 2 * np.pi * frequency * media
            tone = np.stack([np.sin(turn), np.cos(turn)], axis=1)
            sine, cosine = np.linalg.lstsq(tone, heard[at : at + block], rcond=None)[0]
            results.append((when[0], np.arctan2(cosine, sine) / (2 * np.pi * frequency)))
        return np.array(results).T


class FakeStream:
    """A raw stream; callbacks come from a task of trio's."""

    def __init__(
        self, module, capture, *, device, dtype, dither_off, samplerate, channels, latency, blocksize, callback
    ):
        card = module.listed[device]
        if not card.present:
            raise PortAudioError("No such device [PaErrorCode -9985]")
        assert dtype == "float32"
        assert dither_off
        self.module, self.card, self.capture = module, card, capture
        self.rate, self.channels, self.block = samplerate, channels, blocksize or card.block
        self.latency = card.latency_s
        self.callback = callback
        self.active = False
        self.scope = trio.CancelScope()
        card.running_rate = samplerate * (1 + card.ppm * 1e-6)
        card.opened += 1
        card.requested_latency = latency

    @property
    def time(self):
        return self.module.local.now_ns() / 1e9

    def start(self):
        self.active = True
        self.module.streams.append(self)
        trio.lowlevel.spawn_system_task(self._run)

    def stop(self, ignore_errors=True):
        self.card.stops.append("stop")
        self._end()

    def abort(self, ignore_errors=True):
        self.card.stops.append("abort")
        self._end()

    def close(self, ignore_errors=True):
        self._end()

    def _end(self):
        self.active = False
        self.scope.cancel()
        if self in self.module.streams:
            self.module.streams.remove(self)

    async def _run(self):
        with self.scope:
            await self._call_on()

    async def _call_on(self):
        card, random = self.card, np.random.default_rng(7)
        began = trio.current_time() + 0.01
        frame = number = 0
        while self.active:
            lost = card.xruns.get(number, 0)
            frame += lost
            sounds = began + frame / card.running_rate  # the first frame of the block, at the converter
            due = sounds + self.block / card.running_rate + card.hardware_s if self.capture else sounds - card.latency_s
            await trio.sleep_until(max(trio.current_time(), due + card.lateness(random)))
            if not card.present or not self.active:
                self.active = False
                break
            self._call(frame, sounds, bool(lost) and card.announces, random)
            frame += self.block
            number += 1

    def _call(self, frame, sounds, xrun, random):
        card, count = self.card, self.block
        local = self.module.local
        device_s = local.at(round(sounds * 1e9)) / 1e9 + random.normal(0, card.noise_s)
        now_s = local.now_ns() / 1e9
        if card.wrong_time:
            device_s, now_s = card.wrong_time(device_s, now_s)
        times = SimpleNamespace(outputBufferDacTime=device_s, inputBufferAdcTime=device_s, currentTime=now_s)
        status = SimpleNamespace(output_underflow=xrun, input_overflow=xrun)
        if self.capture:
            data = counter_frames(frame, count, self.channels).tobytes()
            self.callback(data, count, times, status)
            return
        data = bytearray(b"\xff" * (count * self.channels * 4))
        self.callback(memoryview(data), count, times, status)
        card.played.append((sounds, np.frombuffer(bytes(data), np.float32).reshape(count, self.channels)))


class FakeSoundDevice:
    """What of the module is used."""

    PortAudioError = PortAudioError

    def __init__(self, *cards):
        self.cards = list(cards)
        self.local = SimLocalClock()
        self.streams = []
        self.default = SimpleNamespace(device=[0, 0])

    @property
    def listed(self):
        return [card for card in self.cards if card.present]

    def query_devices(self):
        return [card.entry() for card in self.listed]

    def query_hostapis(self):
        return [{"name": "ALSA"}]

    def check_output_settings(self, *, device, channels, dtype, samplerate):
        card = self.listed[device]
        if samplerate not in card.rates or channels > card.outputs:
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")

    def check_input_settings(self, *, device, channels, dtype, samplerate):
        card = self.listed[device]
        if samplerate not in card.rates or channels > card.inputs:
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")

    def RawOutputStream(self, **options):  # noqa: N802
        return FakeStream(self, False, **options)

    def RawInputStream(self, **options):  # noqa: N802
        return FakeStream(self, True, **options)


@pytest.fixture
def make_card():
    return FakeCard


@pytest.fixture
def plug(monkeypatch):
    """Plugs cards in: returns the module that lists them. Its ``local`` is the machine's clock."""

    def plug(*cards, local=None):
        module = FakeSoundDevice(*cards)
        module.local = local or module.local
        monkeypatch.setattr(portaudio, "sounddevice", lambda: module)
        monkeypatch.setattr(jack, "library", lambda: None)
        return module

    return plug


@pytest.fixture
def play(plug):
    """Runs a graph with cards plugged in, on one machine's clock."""

    async def play(text, *cards, for_s=None, local=None, **options):
        module = plug(*cards, local=local)
        return await run_graph(text, for_s=for_s, local=module.local, **options)

    return play


@pytest.fixture
def playing(plug):
    """As `play`, for tests that interfere meanwhile."""

    def playing(text, *cards, local=None, **options):
        module = plug(*cards, local=local)
        return running_graph(text, local=module.local, **options)

    return playing
