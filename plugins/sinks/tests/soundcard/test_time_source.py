"""Which time of a callback is believed, by host APIs as they are."""

import numpy as np
import pytest

from phasegraph_sinks.soundcard.card_memory import CallbackStamp
from phasegraph_sinks.soundcard.time_source import CALLBACKS
from phasegraph_sinks.soundcard.time_source import choose_time_source as choose

RATE = 48_000


def stamps(device, now=lambda at, entry: entry, *, jitter_s=1e-4, block=256, ppm=0.0, seed=3):
    """What a host says: functions of the true time of a block and of its callback's, in seconds."""
    random = np.random.default_rng(seed)
    result = []
    for number in range(CALLBACKS):
        at = 1000 + number * block / RATE / (1 + ppm * 1e-6)
        entry = at - 0.02 + abs(random.normal(0, jitter_s))
        said = now(at, entry)
        result.append(CallbackStamp(number * block, block, device(at, entry), said, round(entry * 1e9), False))
    return result


HOSTS = {
    "alsa": (lambda at, entry: at, None),
    "usb": (lambda at, entry: np.floor(at * 8000) / 8000, None),
    "jack": (lambda at, entry: entry + 0.0107, "scatters as much as they do"),
    "wdm-ks (portaudio 531)": (lambda at, entry: 0.0, "does not always increase"),
    "alsa to pulse (portaudio 586)": (lambda at, entry: 1000.0, "does not always increase"),
    "directsound (portaudio 530)": (lambda at, entry: entry, "is not ahead of now"),
    "another clock": (lambda at, entry: at + 5e5, "is not ahead of now"),
    "another rate": (lambda at, entry: at + (at - 1000) * 0.002, "passes -2000 ppm off"),
}


@pytest.mark.parametrize("host", HOSTS)
def test_hosts(host):
    device, objection = HOSTS[host]
    source = choose(stamps(device), RATE, latency_s=0.02)
    assert source.device == (objection is None)
    assert (objection or "the card's time") in source.reason


def test_latency_without_a_time_of_the_card():
    assert choose(stamps(lambda at, entry: 0.0), RATE, latency_s=0.035).latency_ns == 35_000_000
    assert choose(stamps(lambda at, entry: 0.0), RATE, latency_s=0.035, capture=True).latency_ns == -35_000_000
    # JACK knows its latency, if not the card's time.
    assert choose(stamps(lambda at, entry: entry + 0.0107), RATE, latency_s=0.035).latency_ns == pytest.approx(
        10_700_000
    )


def test_an_input_s_time_is_behind_now():
    heard = stamps(lambda at, entry: at - 0.04)
    assert choose(heard, RATE, latency_s=0.02, capture=True).device
    assert not choose(heard, RATE, latency_s=0.02).device
    assert not choose(stamps(lambda at, entry: at), RATE, latency_s=0.02, capture=True).device


def test_what_happens_while_buffers_fill_does_not_count():
    first = [*stamps(lambda at, entry: entry)[:10], *stamps(lambda at, entry: at)[10:]]
    assert choose(first, RATE, latency_s=0.02).device


@pytest.mark.parametrize("ppm", [-300.0, 0.0, 37.3])
def test_the_first_guess_of_the_rate(ppm):
    exact = choose(stamps(lambda at, entry: at, ppm=ppm), RATE, latency_s=0.02)
    assert exact.slope * 1e6 == pytest.approx(-ppm / (1 + ppm * 1e-6), abs=0.01)
    # Where stamps say little, the guess stays near the nominal rate.
    vague = choose(stamps(lambda at, entry: 0.0, ppm=ppm, jitter_s=5e-3), RATE, latency_s=0.02)
    assert abs(vague.slope) * 1e6 < 40
