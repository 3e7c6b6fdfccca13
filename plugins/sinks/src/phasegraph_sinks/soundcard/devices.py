"""``kernel devices``: the sound cards, with their rates and channels."""

from __future__ import annotations

import json
from typing import Any

import click


@click.command(short_help="List sound cards, their rates and channels.")
@click.option(
    "--format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="For people or scripts."
)
def devices(format: str) -> None:
    """List the sound cards that PortAudio finds, with the rates and channels of each.

    A card that another program has shows no rates.
    """
    listed = describe()
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


def describe() -> list[dict[str, Any]]:
    """Every card, for JSON. Raises NodeError where PortAudio is missing."""
    from .portaudio import cards, rates_of, sounddevice

    defaults = dict(zip(("input", "output"), sounddevice().default.device, strict=True))
    return [
        {
            "index": card.index,
            "name": card.name,
            "host_api": card.host_api,
            "inputs": card.inputs,
            "outputs": card.outputs,
            "input_rates": rates_of(card, "input") if card.inputs else [],
            "output_rates": rates_of(card, "output") if card.outputs else [],
            "default_rate": card.default_rate,
            "default_for": [direction for direction, index in defaults.items() if index == card.index],
        }
        for card in cards()
    ]


def _default(card: dict[str, Any]) -> str:
    return f"  default for {' and '.join(card['default_for'])}" if card["default_for"] else ""
