"""PortAudio through ``sounddevice``, loaded at first use. JACK's devices are left to `jack`."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from phasegraph import NS_PER_S, NodeError

from . import jack
from .card_memory import CaptureRing, PlayRing
from .cards import Card, CardRequest, Direction, OpenedCard, check_channels

RATES = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 176400, 192000, 352800, 384000)
"""Rates that cards are asked about."""
_WITHOUT_JACK = {"JACK_DEFAULT_SERVER": "phasegraph-no-server", "JACK_NO_START_SERVER": "1", "PIPEWIRE_NOJACK": "1"}
_loading = threading.Lock()


def sounddevice() -> Any:
    """The ``sounddevice`` module, which has listed every card but JACK's.

    Raises NodeError, with what to install, where PortAudio is missing (Linux wheels do not bring it).
    """
    try:
        with _loading, _jack_hidden():
            return importlib.import_module("sounddevice")
    except OSError as error:
        raise NodeError(
            f"PortAudio, which plays and records through sound cards, cannot be loaded: {error}",
            "install it with the system's packages: libportaudio2 on Debian and Ubuntu, portaudio elsewhere",
        ) from error


@contextmanager
def _jack_hidden() -> Iterator[None]:
    # A server that dies while PortAudio is its client ends the process (portaudio issue 819).
    before = {name: os.environ.get(name) for name in _WITHOUT_JACK}
    os.environ.update(_WITHOUT_JACK if jack.library() is not None else {})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def portaudio_cards() -> list[Card]:
    """Every card, in PortAudio's order. Raises NodeError as `sounddevice`."""
    module = sounddevice()
    hosts = module.query_hostapis()
    defaults: tuple[tuple[Direction, int], ...] = tuple(zip(("input", "output"), module.default.device, strict=True))
    return [
        Card(
            index,
            device["name"],
            hosts[device["hostapi"]]["name"],
            device["max_input_channels"],
            device["max_output_channels"],
            round(device["default_samplerate"]),
            tuple(direction for direction, default in defaults if default == index),
        )
        for index, device in enumerate(module.query_devices())
    ]


def rates_of(card: Card, direction: Direction, channels: int | None = None) -> list[int]:
    """Which of `RATES` a card accepts, with ``channels`` channels (all it has if None)."""
    return [rate for rate in RATES if supports(card, direction, rate, channels or card.channels(direction))]


def supports(card: Card, direction: Direction, rate: int, channels: int) -> bool:
    """Whether a card accepts a rate with ``channels`` channels."""
    module = sounddevice()
    check = module.check_input_settings if direction == "input" else module.check_output_settings
    try:
        check(device=card.index, channels=channels, dtype="float32", samplerate=rate)
    except (module.PortAudioError, ValueError):
        return False
    return True


class PortAudioCard:
    """An open card whose callback uses a ring. Calls may block without limit: real cards live in a child process."""

    def __init__(
        self, card: Card, request: CardRequest, ring: PlayRing | CaptureRing, now_ns: Callable[[], int]
    ) -> None:
        """Raises NodeError where the card does not have what is requested, or cannot be opened."""
        check_channels(card, request)
        direction, rate, channels = request.direction, request.rate, request.channels
        if not supports(card, direction, rate, channels):
            others = ", ".join(f"{other / 1000:g} kHz" for other in rates_of(card, direction, channels))
            raise NodeError(
                f"{card.name} does not run at {rate / 1000:g} kHz with {channels} channels",
                f"it runs at {others}; nothing is converted silently" if others else "another program may have it",
                option="rate",
            )
        module = sounddevice()
        kind = module.RawInputStream if direction == "input" else module.RawOutputStream
        wanted = request.latency_ns
        latency = wanted / NS_PER_S if isinstance(wanted, int) else "high" if wanted is None else "low"
        callback = _capture_into(ring, now_ns) if isinstance(ring, CaptureRing) else _play_from(ring, now_ns)
        try:
            self._stream = kind(
                device=card.index,
                dtype="float32",
                dither_off=True,
                samplerate=rate,
                channels=channels,
                latency=latency,
                blocksize=request.block,
                callback=callback,
            )
            try:
                self._stream.start()
            except module.PortAudioError:
                self._stream.close(ignore_errors=True)
                raise
        except (module.PortAudioError, ValueError) as error:
            raise NodeError(
                f"{card.name} cannot be opened: {error}",
                "another program may have it; `kernel devices` lists the cards",
                option="device",
            ) from error
        self.opened = OpenedCard(card, self._stream.latency)

    def is_active(self) -> bool:
        """Whether the card calls back."""
        try:
            return bool(self._stream.active)
        except sounddevice().PortAudioError:
            return False

    def time_ns(self) -> int:
        """The driver's time now; 0 where it does not say."""
        try:
            return int(self._stream.time * NS_PER_S)
        except sounddevice().PortAudioError:
            return 0

    def close(self, *, played_out: bool) -> None:
        """Stop and close; ``played_out`` waits until all frames have sounded."""
        if played_out:
            self._stream.stop(ignore_errors=True)
        else:
            self._stream.abort(ignore_errors=True)
        self._stream.close(ignore_errors=True)


def _play_from(ring: PlayRing, now_ns: Callable[[], int]) -> Callable[[Any, int, Any, Any], None]:
    def callback(out: Any, count: int, time: Any, status: Any) -> None:
        xrun = status.output_underflow
        ring.note_callback(ring.called, count, time.outputBufferDacTime, time.currentTime, now_ns(), xrun)
        ring.play(out, count)

    return callback


def _capture_into(ring: CaptureRing, now_ns: Callable[[], int]) -> Callable[[Any, int, Any, Any], None]:
    def callback(data: Any, count: int, time: Any, status: Any) -> None:
        xrun = status.input_overflow
        ring.note_callback(ring.called, count, time.inputBufferAdcTime, time.currentTime, now_ns(), xrun)
        ring.capture(data, count)

    return callback
