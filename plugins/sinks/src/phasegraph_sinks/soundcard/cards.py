"""Sound cards as PortAudio and JACK list them, and which of them a graph means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from phasegraph import NodeError

Direction = Literal["input", "output"]
_PLACE = re.compile(r" \((?:plug)?hw:\d+,\d+\)$")


class Card(msgspec.Struct, frozen=True):
    """A sound card, or a device of a sound server."""

    index: int
    name: str
    host_api: str
    inputs: int
    outputs: int
    default_rate: int
    default_for: tuple[Direction, ...] = ()

    @property
    def lasting_name(self) -> str:
        """Its name without its place among ALSA's cards, which may be another when it comes back."""
        return _PLACE.sub("", self.name)

    def channels(self, direction: Direction) -> int:
        """The most channels of one direction."""
        return self.inputs if direction == "input" else self.outputs


class CardRequest(msgspec.Struct, frozen=True):
    """Which card a node opens, and how."""

    node: str
    direction: Direction
    device: str | int | None
    rate: int
    channels: int
    latency_ns: int | Literal["lowest"] | None
    """What is asked of the driver; None for what it holds safe."""
    block: int
    """Frames of a callback; 0 for the card's own period."""
    known: Card | None = None
    """The card that was lost and is to be found again, maybe in another place."""


class OpenedCard(msgspec.Struct, frozen=True):
    """What is known of a card once it is open."""

    card: Card
    latency_s: float
    """Latency that the driver reports."""
    exact_times: str = ""
    """Source of the stamps' times, where it is known to be exact; empty where the stamps have to be examined."""
    ordinary_server: str = ""
    """The card's sound server, if that has no real-time priority: whatever ran ahead of it would delay it."""


def find_card(cards: Sequence[Card], request: CardRequest) -> Card:
    """The card that a graph names: by number, by name, by a part of a name, or the system's default.

    A whole name goes before a part of one. Raises NodeError (option ``device``), with the names of the cards.
    """
    wanted, direction = request.device, request.direction
    usable = [card for card in cards if card.channels(direction)]
    if (known := request.known) is not None:
        for card in usable:
            if (card.lasting_name, card.host_api) == (known.lasting_name, known.host_api):
                return card
        raise NodeError(f"{known.name} is not there", option="device")
    if wanted is None:
        found = [card for card in usable if direction in card.default_for] or usable[:1]
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
    if found:
        raise NodeError(f"{wanted!r} may be {listed}", "give the whole name or the number", option="device")
    what = "the system has no default sound card" if wanted is None else f"there is no sound card {wanted!r}"
    hint = f"available: {listed}" if listed else "no card was found; `kernel devices` lists them"
    raise NodeError(f"{what} for {direction}", hint, option="device")


def check_channels(card: Card, request: CardRequest) -> None:
    """Raises NodeError (option ``channels``), with what the card has, unless it has the requested channels."""
    most = card.channels(request.direction)
    if request.channels > most:
        raise NodeError(
            f"{card.name} has {most} channels for {request.direction}, not {request.channels}",
            "choose channels in input" if request.direction == "output" else f"set channels to at most {most}",
            option="channels",
        )
