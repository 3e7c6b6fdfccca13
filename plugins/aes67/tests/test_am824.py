"""AES3 subframes in AM824 words (ST 2110-31), bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph import Encoding, StreamFormat, silence
from phasegraph.testing import counter_frames
from phasegraph_aes67 import am824, sdp
from phasegraph_aes67.parameters import StreamParameters
from phasegraph_aes67.send.packetiser import Packetiser


def labelled(frame: int, frames: np.ndarray, rate: int = 48_000) -> np.ndarray:
    words = am824.Subframes(frames.shape[1], rate, None).words(frame, Encoding.AM824.encode(frames))
    return words.view(">u4").astype(np.uint32)


def test_the_crc_is_that_of_ebu_tech_3250() -> None:
    assert am824.crc(b"123456789") == 0x97


@given(st.integers(0, 2**50), st.integers(1, 400), st.sampled_from([2, 4, 8]))
def test_every_bit(frame: int, count: int, channels: int) -> None:
    program = counter_frames(frame % 1_000_000, count, channels)
    words = labelled(frame, program)
    assert not (words >> 30).any(), "the upper two bits are zero"
    first = np.broadcast_to(np.arange(channels) % 2 == 0, words.shape)
    assert ((words >> 28 & 1) == first).all(), "F marks the first subframe of a pair"
    begins = (frame + np.arange(count)) % 192 == 0
    assert ((words >> 29 & 1) == (first & begins[:, None])).all(), "B marks its first one of a block"
    assert not (words >> 24 & 3).any(), "valid, no user data"
    octets = (words & 0x0FFFFFFF).astype(">u4").view(np.uint8).reshape(count, channels, 4)
    assert not (np.unpackbits(octets, axis=2).sum(axis=2) % 2).any(), "parity is even, without the preamble's bits"
    again = silence(count, channels)
    Encoding.AM824.decode(words.astype(">u4").view(np.uint8), again)
    expected = silence(count, channels)
    Encoding.L24.decode(Encoding.L24.encode(program), expected)
    assert again.tobytes() == expected.tobytes(), "the audio of 24 bits"


@pytest.mark.parametrize(("rate", "first"), [(48_000, 0x85), (44_100, 0x45), (96_000, 0x05)])
def test_channel_status(rate: int, first: int) -> None:
    words = labelled(384 * 10, silence(192, 2), rate)
    bits = (words >> 26 & 1).astype(np.uint8)
    for channel in (0, 1):
        octets = np.packbits(bits[:, channel], bitorder="little").tobytes()
        assert (octets[0], octets[2]) == (first, 0x2C)
        assert octets[23] == am824.crc(octets[:23])


def test_packets_go_on_where_the_last_one_ended() -> None:
    parameters = StreamParameters(address="239.1.1.1", encoding=Encoding.AM824, frames_per_packet=48, channels=2)
    packetiser = Packetiser(parameters, 1)
    program = counter_frames(0, 480, 2)
    rows = np.zeros((10, packetiser.packet_bytes), np.uint8)
    packetiser.fill(rows, np.zeros(10, np.int64), 4800, program)
    sent = rows[:, 12:].reshape(-1, 2, 4).view(">u4")[..., 0]
    assert (sent == labelled(4800, program)).all()


def test_its_description() -> None:
    parameters = StreamParameters(address="239.1.1.1", encoding=Encoding.AM824, frames_per_packet=48, channels=2)
    text = sdp.write(parameters, name="a", origin="10.0.0.1", session_id=1)
    assert "a=rtpmap:98 AM824/48000/2\r\n" in text
    assert sdp.parse(text).streams[0].format == StreamFormat(48_000, 2, Encoding.AM824)
