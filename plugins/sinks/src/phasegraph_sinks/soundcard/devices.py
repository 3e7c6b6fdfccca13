"""``kernel devices``: the sound cards, with their rates and channels."""

from __future__ import annotations

import json
from typing import Any

import click

from .cards import Card, Direction


@click.command(short_help="List sound cards, their rates and channels.")
@click.option(
    "--format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="For people or scripts."
)
def devices(format: str) -> None:
    """List the sound cards of PortAudio and JACK, with the rates and channels of each.

    A card that another program uses shows no rates.
    """
    listed = describe_cards()
    if format == "json":
        click.echo(json.dumps({"devices": listed}, indent=2))
        return
    if not listed:
        click.echo("no sound card was found")
    for card in listed:
        click.echo(f"{card['index']:>3} {card['name']}  ({card['host_api']})" + _default(card))
        for direction in ("output", "input"):
            if channels := card[f"{direction}s"]:
                rates = ", ".join(f"{rate / 1000:g}" for rate in card[f"{direction}_rates"])
                click.echo(f"      {direction:6}  up to {channels} channels at {rates or 'no'} kHz")


def describe_cards() -> list[dict[str, Any]]:
    """Every card, for JSON. Raises NodeError where PortAudio is missing."""
    from .card_host import list_cards

    return [
        {
            "index": card.index,
            "name": card.name,
            "host_api": card.host_api,
            "inputs": card.inputs,
            "outputs": card.outputs,
            "input_rates": _rates(card, "input"),
            "output_rates": _rates(card, "output"),
            "default_rate": card.default_rate,
            "default_for": list(card.default_for),
        }
        for card in list_cards()
    ]


def _rates(card: Card, direction: Direction) -> list[int]:
    from .jack import HOST_API
    from .portaudio import rates_of

    if not card.channels(direction):
        return []
    return [card.default_rate] if card.host_api == HOST_API else rates_of(card, direction)


def _default(card: dict[str, Any]) -> str:
    return f"  default for {' and '.join(card['default_for'])}" if card["default_for"] else ""
