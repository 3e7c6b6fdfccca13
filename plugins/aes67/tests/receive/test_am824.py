"""AES3 subframes (ST 2110-31): their audio is exact, and what is no audio is not heard."""

from __future__ import annotations

import numpy as np
import pytest

from phasegraph import Encoding
from phasegraph_aes67.aes3 import BLOCK, STATUS, Aes3Flags
from phasegraph_aes67.receive.demultiplexer import Demultiplexer

BASE = 192 * 447_500_000_000
MS = 1_000_000


def subframes(frame: int, frames: int, channels: int, *, audio: bool, flags: int = 0x4B) -> np.ndarray:
    """Flags that mean nothing here, and those that do."""
    octets = np.zeros((frames, channels, 4), np.uint8)
    numbers = np.arange(frame, frame + frames)
    octets[..., 0] = flags & ~(BLOCK | STATUS) & 0x3F
    octets[numbers % 192 == 0, :, 0] |= STATUS  # professional use
    octets[numbers % 192 == 0, ::2, 0] |= BLOCK
    if not audio:
        octets[numbers % 192 == 1, 1, 0] |= STATUS
    octets[..., 1:] = np.random.default_rng(frame % 1000).integers(0, 256, (frames, channels, 3))
    return octets.reshape(frames, 4 * channels)


@pytest.mark.parametrize("size", [1, 6, 48, 191, 192, 500])
def test_what_the_channel_status_says(size):
    flags = Aes3Flags(2)
    for audio in (True, False, True):
        for at in range(0, 400, size):
            flags.marked(subframes(at, size, 2, audio=audio))
        assert flags.audio is audio


@pytest.mark.parametrize("size", [10, 192, 600])
def test_every_word_is_marked_by_its_own_block(size):
    flags = Aes3Flags(4)
    blocks = [subframes(192 * number, 192, 4, audio=number != 1) for number in range(4)]
    sent = np.concatenate(blocks)
    marked = np.concatenate([flags.marked(sent[at : at + size]) for at in range(0, len(sent), size)])
    octets = marked.reshape(-1, 4, 4)
    no_audio = np.zeros((len(sent), 4), bool)
    no_audio[192:384, :2] = True  # the pair that says so
    np.testing.assert_array_equal(octets[..., 0] & 0x80 != 0, no_audio)
    octets[..., 0] &= 0x7F
    assert octets.tobytes() == sent.tobytes()


def arriving(stage, number, *, audio=True):
    frame = BASE + 48 * number
    header = stage.packet(frame, frames=0)
    payload = subframes(frame, 48, 2, audio=audio)
    return (header + payload.tobytes(), stage.arrival(frame, MS), stage.parameters.address), payload


def test_its_audio_is_exact(make, batch_of):
    stage = make(encoding=Encoding.AM824)
    demultiplexer = Demultiplexer()
    demultiplexer.set_routes(stage.routes)
    packets = [arriving(stage, number) for number in range(40)]
    demultiplexer.distribute(batch_of([packet for packet, _ in packets]))
    out, missing = stage.read(BASE, 48 * 40)
    assert missing == 0
    octets = np.concatenate([payload for _, payload in packets]).reshape(-1, 2, 4)[..., 1:]
    assert Encoding.L24.encode(out).tobytes() == octets.tobytes()
    assert stage.events == []


def test_what_is_no_audio_is_silence_and_said(make, batch_of):
    stage = make(encoding=Encoding.AM824)
    for number in range(30):
        (packet, at, _), _ = arriving(stage, number, audio=not 10 <= number < 20)
        stage.accept(packet, at)
    assert [name for name, _ in stage.events] == ["not_audio", "audio"]
    assert not stage.read(BASE + 48 * 12, 48 * 8)[0].any()
    assert stage.read(BASE + 48 * 20, 48 * 10)[0].any(axis=1).all()
    assert stage.counted() == {"packets_received": 30}
