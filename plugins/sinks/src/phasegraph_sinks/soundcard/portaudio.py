"""PortAudio through ``sounddevice``, loaded when it is first used, and its cards in words."""

from __future__ import annotations

import importlib
import re
import threading
from typing import Any, Literal

import msgspec

from phasegraph import NS_PER_S, NodeContext, NodeError

Direction = Literal["input", "output"]
RATES = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 176400, 192000, 352800, 384000)
"""Rates that cards are asked about."""
_PLACE = re.compile(r" \((?:plug)?hw:\d+,\d+\)$")


class Card(msgspec.Struct, frozen=True):
    """A sound card (or a sound server's device) as PortAudio lists it."""

    index: int
    name: str
    host_api: str
    inputs: int
    outputs: int
    default_rate: int

    @property
    def lasting_name(self) -> str:
        """Its name without its place among ALSA's cards, which another may have when it comes back."""
        return _PLACE.sub("", self.name)

    def channels(self, direction: Direction) -> int:
        """The most channels of one direction."""
        return self.inputs if direction == "input" else self.outputs


def sounddevice() -> Any:
    """The ``sounddevice`` module.

    Raises NodeError, with what to install, where PortAudio is missing (Linux wheels do not bring it).
    """
    try:
        return importlib.import_module("sounddevice")
    except OSError as error:
        raise NodeError(
            f"PortAudio, which plays and records through sound cards, cannot be loaded: {error}",
            "install it with the system's packages: libportaudio2 on Debian and Ubuntu, portaudio elsewhere",
        ) from error


def cards() -> list[Card]:
    """Every card, in PortAudio's order. Raises NodeError as `sounddevice`."""
    module = sounddevice()
    hosts = module.query_hostapis()
    return [
        Card(
            index,
            device["name"],
            hosts[device["hostapi"]]["name"],
            device["max_input_channels"],
            device["max_output_channels"],
            round(device["default_samplerate"]),
        )
        for index, device in enumerate(module.query_devices())
    ]


def find(wanted: str | int | None, direction: Direction) -> Card:
    """The card that a graph names: by number, by name, by a part of a name, or the system's default.

    A whole name goes before a part of one. Raises NodeError (option ``device``), with the names that there are.
    """
    usable = [card for card in cards() if card.channels(direction)]
    if wanted is None:
        index = sounddevice().default.device[direction == "output"]
        found = [card for card in usable if card.index == index] or usable[:1]
    elif isinstance(wanted, int):
        found = [card for card in usable if card.index == wanted]
    else:
        names = {card.index: card.name.casefold() for card in usable}
        text = wanted.casefold()
        found = [card for card in usable if text in (names[card.index], card.lasting_name.casefold())]
        found = found or [card for card in usable if text in names[card.index]]
    if len(found) == 1 or (found and wanted is None):
        return found[0]
    listed = ", ".join(f"{card.index} {card.name!r} ({card.host_api})" for card in found or usable)
    what = "the system has no default sound card" if wanted is None else f"there is no sound card {wanted!r}"
    if found:
        raise NodeError(f"{wanted!r} may be {listed}", "give the whole name or the number", option="device")
    raise NodeError(f"{what} for {direction}", f"there are {listed}" if listed else "there is none", option="device")


def rates_of(card: Card, direction: Direction, channels: int | None = None) -> list[int]:
    """Which of `RATES` a card takes, with so many channels (all it has if None)."""
    return [rate for rate in RATES if supports(card, direction, rate, channels or card.channels(direction))]


def supports(card: Card, direction: Direction, rate: int, channels: int) -> bool:
    """Whether a card takes a rate with so many channels."""
    module = sounddevice()
    check = module.check_input_settings if direction == "input" else module.check_output_settings
    try:
        check(device=card.index, channels=channels, dtype="float32", samplerate=rate)
    except (module.PortAudioError, ValueError):
        return False
    return True


def check(card: Card, direction: Direction, rate: int, channels: int) -> None:
    """Raises NodeError (option ``channels`` or ``rate``), with what the card has, unless it takes both."""
    most = card.channels(direction)
    if channels > most:
        raise NodeError(
            f"{card.name} has {most} channels for {direction}, not {channels}",
            "choose channels in input" if direction == "output" else f"set channels to at most {most}",
            option="channels",
        )
    if not supports(card, direction, rate, channels):
        there = ", ".join(f"{rate / 1000:g} kHz" for rate in rates_of(card, direction, channels))
        raise NodeError(
            f"{card.name} does not run at {rate / 1000:g} kHz with {channels} channels",
            f"it does at {there}; nothing is converted silently" if there else "another program may have it",
            option="rate",
        )


def is_active(stream: Any) -> bool:
    """Whether an open stream calls back."""
    try:
        return bool(stream.active)
    except sounddevice().PortAudioError:
        return False


def time_of(stream: Any) -> int:
    """The time now of a stream's driver, in ns; 0 where it does not say."""
    try:
        return int(stream.time * NS_PER_S)
    except sounddevice().PortAudioError:
        return 0


class Portaudio:
    """The open streams of a run, so that PortAudio is made to look for cards again only when nothing plays.

    It lists the cards once, and looks again only when it is closed and opened, with all of its streams. Shared by all
    sound card nodes of a run; its methods block, and are called in threads.
    """

    def __init__(self, ctx: NodeContext) -> None:
        self._lock = threading.Lock()
        self._open = 0

    def open(self, card: Card, direction: Direction, options: dict[str, Any]) -> Any:
        """A started stream of raw float32, with these options of sounddevice's. Raises NodeError if it cannot be."""
        module = sounddevice()
        kind = module.RawInputStream if direction == "input" else module.RawOutputStream
        with self._lock:
            try:
                stream = kind(device=card.index, dtype="float32", dither_off=True, **options)
                try:
                    stream.start()
                except module.PortAudioError:
                    stream.close(ignore_errors=True)
                    raise
            except (module.PortAudioError, ValueError) as error:
                raise NodeError(
                    f"{card.name} cannot be opened: {error}",
                    "another program may have it; `kernel devices` lists what there is",
                    option="device",
                ) from error
            self._open += 1
            return stream

    def release(self, stream: Any, *, played_out: bool = False) -> None:
        """Stop and close a stream; ``played_out`` waits for what it has been given to sound."""
        with self._lock:
            self._open -= 1
            if played_out:
                stream.stop(ignore_errors=True)
            else:
                stream.abort(ignore_errors=True)
            stream.close(ignore_errors=True)

    def find_again(self, card: Card, direction: Direction) -> Card:
        """A card that was lost, in its new place. Raises NodeError while it is not there.

        While another stream is open it can only come back to its old place.
        """
        with self._lock:
            if self._open:
                return card
            module = sounddevice()
            module._terminate()
            module._initialize()
            for found in cards():
                same = found.lasting_name == card.lasting_name and found.host_api == card.host_api
                if same and found.channels(direction):
                    return found
        raise NodeError(f"{card.name} is not there")
