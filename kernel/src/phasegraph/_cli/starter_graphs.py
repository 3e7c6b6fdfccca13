"""The graphs that ``kernel init`` writes: one text for each common task."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

TASKS = {
    "record": "record a stream of the network to a file",
    "send": "send a file to the network",
    "play": "play a stream of the network on a sound card",
    "capture": "send the input of a sound card to the network",
}
"""Task -> what the graph will do."""


class Choices(NamedTuple):
    """What the graph is to be."""

    task: str
    interface: str
    clock: str
    ptp_domain: int
    session: str
    group: str
    file: str
    card: str
    name: str


def graph_text(choices: Choices) -> str:
    """A commented graph."""
    head = (
        f"# This graph will {TASKS[choices.task]}.\n# `kernel explain KIND` explains the options of a kind.\nschema = 1"
    )
    return "\n\n".join([head, _clock(choices), *_TABLES[choices.task](choices)]) + "\n"


def _clock(choices: Choices) -> str:
    if choices.clock == "system":
        comment = '# The time of this machine. On a network with a PTP grandmaster use kind = "ptp".'
        return f'{comment}\n[clocks.house]\nkind = "system"'
    comment = (
        "# Follows the PTP grandmaster of the network. UDP ports 319 and 320 need a privilege:\n"
        "# `sudo kernel run GRAPH --user NAME`, or another way of the page on PTP."
    )
    table = f'[clocks.house]\nkind = "ptp"\ninterface = {_toml(choices.interface)}\ndomain = {choices.ptp_domain}'
    return f"{comment}\n{table}"


def _received(choices: Choices, link_offset: str) -> str:
    if choices.session:
        stream = f"# The announced session of this name.\nsession = {_toml(choices.session)}"
    else:
        stream = (
            f"group = {_toml(choices.group)}\nport = 5004\n"
            '# Format of the stream; or instead of group to channels its description: sdp = "stream.sdp".\n'
            'encoding = "L24"\nrate = "48kHz"\nchannels = 2'
        )
    relative = (
        "\n# For a sender that does not share our clock: its timestamps are related only to each other.\n"
        'media-clock = "relative"'
    )
    return (
        f'[sources.stream]\nkind = "aes67"\ninterface = {_toml(choices.interface)}\n{stream}\n'
        "# From capture to playback. It must cover the delays of the sender and of the network.\n"
        f'link-offset = "{link_offset}"{relative if choices.clock == "system" else ""}'
    )


def _sent(choices: Choices, source: str, extra: str = "") -> str:
    name = choices.name or "Phasegraph"
    return (
        f'[sinks.network]\nkind = "aes67"\ninput = "{source}"\n{extra}interface = {_toml(choices.interface)}\n'
        f"group = {_toml(choices.group)}\nname = {_toml(name)}\n"
        "# Receivers find the session by its announcement (SAP), or by this description.\n"
        'announce = true\nsdp-out = "stream.sdp"'
    )


def _aligned(choices: Choices) -> str:
    kind, why = (
        ("combined", "every frame at its time")
        if choices.clock == "ptp"
        else ("buffer-feedback", "needs no clock that sender and receiver share")
    )
    return (
        "# The card runs on its own clock, so its edge is resampled. "
        f'`kernel compare` finds the best strategy.\n[compensators.align]\nkind = "{kind}"        # {why}'
    )


def _card(choices: Choices) -> str:
    if choices.card:
        return f"device = {_toml(choices.card)}"
    return '# The default card of the system; `kernel devices` lists others: device = "USB".'


def _record(choices: Choices) -> list[str]:
    file = f'[sinks.take]\nkind = "file"\ninput = "stream"\npath = {_toml(choices.file)}'
    return [_received(choices, "20ms"), file]


def _send(choices: Choices) -> list[str]:
    file = f'[sources.programme]\nkind = "file"\npath = {_toml(choices.file)}\nloop = true'
    return [file, _sent(choices, "programme")]


def _play(choices: Choices) -> list[str]:
    sink = f'[sinks.speakers]\nkind = "soundcard"\ninput = "stream"\ncompensator = "align"\n{_card(choices)}'
    return [_received(choices, "60ms"), _aligned(choices), sink]


def _capture(choices: Choices) -> list[str]:
    source = f'[sources.card]\nkind = "soundcard"\n{_card(choices)}'
    return [source, _aligned(choices), _sent(choices, "card", 'compensator = "align"\n')]


_TABLES: dict[str, Callable[[Choices], list[str]]] = {
    "record": _record,
    "send": _send,
    "play": _play,
    "capture": _capture,
}


def _toml(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
