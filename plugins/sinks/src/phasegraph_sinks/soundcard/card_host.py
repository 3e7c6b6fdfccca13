"""Lists and opens cards in this process: the child of `card_process`, `kernel devices`, and simulated cards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from phasegraph import NodeError, bracketed_offset

from . import jack, portaudio
from .card_memory import CaptureRing, CardMemory, PlayRing
from .cards import Card, CardRequest, OpenedCard, find_card


class OpenCard(Protocol):
    """A card that calls back."""

    opened: OpenedCard

    def is_active(self) -> bool:
        """Whether it calls back."""

    def time_ns(self) -> int:
        """The driver's own time; 0 where it is a clock of the system's."""

    def close(self, *, played_out: bool) -> None:
        """Close it; ``played_out`` waits until all frames have sounded."""


def list_cards() -> list[Card]:
    """Every card: PortAudio's, then JACK's. Raises NodeError where PortAudio is missing and JACK is not running."""
    try:
        cards = portaudio.portaudio_cards()
    except NodeError:
        cards = jack.jack_cards(0)
        if not cards:
            raise
        return cards
    return cards + jack.jack_cards(len(cards))


def open_card(request: CardRequest, ring: PlayRing | CaptureRing, now_ns: Callable[[], int]) -> OpenCard:
    """Find and open a card. Raises NodeError where there is no such card, or it refuses."""
    card = find_card(list_cards(), request)
    if card.host_api == jack.HOST_API:
        return jack.JackCard(card, request, ring, now_ns)
    return portaudio.PortAudioCard(card, request, ring, now_ns)


def measure_clock(card: OpenCard, ring: CardMemory, now_ns: Callable[[], int]) -> None:
    """Write how far the driver's own time is ahead of local time, where it has one."""
    if card.time_ns():
        ring.clock_offset_ns = bracketed_offset(now_ns, card.time_ns)
