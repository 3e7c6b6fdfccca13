"""`kernel devices`, and what is said where PortAudio or a card is missing."""

import json

import pytest
from click.testing import CliRunner

from phasegraph import NodeError
from phasegraph_sinks.soundcard import devices, portaudio
from phasegraph_sinks.soundcard.card_host import list_cards
from phasegraph_sinks.soundcard.cards import CardRequest, find_card


def found(wanted, direction="output"):
    return find_card(list_cards(), CardRequest("node", direction, wanted, 48_000, 2, None, 0))


def test_lists_cards_with_rates_and_channels(make_card, plug):
    module = plug(make_card(outputs=8), make_card(name="HDMI 0", inputs=0, rates=(48000,)))
    module.default.device = [0, 1]
    result = CliRunner().invoke(devices.devices, ["--format", "json"])
    assert json.loads(result.output) == {
        "devices": [
            {
                "index": 0,
                "name": "USB Audio: - (hw:1,0)",
                "host_api": "ALSA",
                "inputs": 2,
                "outputs": 8,
                "input_rates": [44100, 48000, 96000],
                "output_rates": [44100, 48000, 96000],
                "default_rate": 48000,
                "default_for": ["input"],
            },
            {
                "index": 1,
                "name": "HDMI 0",
                "host_api": "ALSA",
                "inputs": 0,
                "outputs": 2,
                "input_rates": [],
                "output_rates": [48000],
                "default_rate": 48000,
                "default_for": ["output"],
            },
        ]
    }
    text = CliRunner().invoke(devices.devices).output
    assert "  0 USB Audio: - (hw:1,0)  (ALSA)  default for input\n" in text
    assert "      output  up to 8 channels at 44.1, 48, 96 kHz\n" in text


def test_no_card_at_all(plug, refused):
    plug()
    assert CliRunner().invoke(devices.devices).output == "no sound card was found\n"
    refused(lambda: found(None), "no default sound card", "no card was found", option="device")


def test_without_portaudio_one_sentence_names_the_package(monkeypatch):
    def missing(name):
        raise OSError("PortAudio library not found")

    monkeypatch.setattr(portaudio.importlib, "import_module", missing)
    with pytest.raises(NodeError, match="libportaudio2") as caught:
        portaudio.sounddevice()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "index"),
    [(None, 1), (2, 2), ("usb audio", 0), ("USB Audio: - (hw:1,0)", 0), ("hdmi 0", 1), ("HDMI 0 b", 2)],
)
def test_finds_the_card_that_is_meant(wanted, index, make_card, plug):
    module = plug(make_card(), make_card(name="HDMI 0"), make_card(name="HDMI 0 b"))
    module.default.device = [0, 1]
    assert found(wanted).index == index


def test_a_card_that_cannot_record_is_none_to_record_from(make_card, plug, refused):
    plug(make_card(inputs=0), make_card(name="HDMI 0", inputs=0))
    refused(lambda: found("USB", "input"), "no sound card 'USB' for input", option="device")
