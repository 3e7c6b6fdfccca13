"""Frames in, packets out: every byte."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from phasegraph import Encoding
from phasegraph_aes67.parameters import StreamParameters
from phasegraph_aes67.rtp import parse_header
from phasegraph_aes67.send.packetiser import Packetiser, random_ssrc

CALM = settings(derandomize=True, deadline=None, database=None)


def packetiser(
    encoding: Encoding = Encoding.L24, channels: int = 2, frames: int = 4, offset: int | None = 0
) -> Packetiser:
    parameters = StreamParameters(
        address="239.1.2.3",
        encoding=encoding,
        channels=channels,
        frames_per_packet=frames,
        payload_type=98,
        mediaclk_offset=offset,
    )
    return Packetiser(parameters, 0xDEADBEEF)


def packets(made: Packetiser, frame: int, frames: NDArray[np.float32]) -> list[bytes]:
    count = -(-len(frames) // made.frames_per_packet)
    rows = np.full((count, made.packet_bytes + 8), 0xAA, np.uint8)
    lengths = np.zeros(count, np.int64)
    made.prepare(rows)
    made.fill(rows, lengths, frame, frames)
    return [row[:length].tobytes() for row, length in zip(rows, lengths.tolist(), strict=True)]


def test_l24_bytes() -> None:
    samples = [[-1.0, 1.0], [0.0, 2.0**-23], [-(2.0**-23), 0.5], [0x123456 / 2**23, -0.5]]
    (packet,) = packets(packetiser(), 0, np.array(samples, np.float32))
    assert packet.hex(" ", 3) == bytes.fromhex(
        "80620000 00000000 deadbeef 800000 7fffff 000000 000001 ffffff 400000 123456 c00000".replace(" ", "")
    ).hex(" ", 3)


def test_l16_bytes() -> None:
    samples = [[-1.0], [1.0], [0.0], [0x1234 / 2**15]]
    (packet,) = packets(packetiser(Encoding.L16, channels=1), 8, np.array(samples, np.float32))
    assert packet == bytes.fromhex("8062 0002 00000008 deadbeef 8000 7fff 0000 1234")


def test_a_sender_must_know_its_packet_time() -> None:
    with pytest.raises(ValueError, match="packet time"):
        Packetiser(StreamParameters(address="239.1.2.3"), 1)


def test_the_last_packet_may_be_short() -> None:
    got = packets(packetiser(), 0, np.zeros((10, 2), np.float32))
    assert [len(packet) for packet in got] == [12 + 24, 12 + 24, 12 + 12]
    assert got[2][12:] == bytes(12)


def test_one_frame_alone() -> None:
    (packet,) = packets(packetiser(), 400, np.full((1, 2), 0.5, np.float32))
    assert packet[12:] == bytes.fromhex("400000400000")


@pytest.mark.parametrize("offset", [0, 1, 3_969_992_633, None])
def test_numbers_follow_from_media_time_and_wrap(offset: int | None) -> None:
    made = packetiser(offset=offset)
    first = 4 * (5 * 2**32 - 2)  # both wrap behind the second packet (the timestamp does where offset is 0)
    got = [parse_header(packet) for packet in packets(made, first, np.zeros((16, 2), np.float32))]
    assert [header.sequence for header in got] == [65534, 65535, 0, 1]
    assert [header.timestamp for header in got] == [(first + 4 * n + (offset or 0)) % 2**32 for n in range(4)]
    assert {(header.ssrc, header.payload_type) for header in got} == {(0xDEADBEEF, 98)}


@CALM
@given(
    st.sampled_from([Encoding.L16, Encoding.L24]),
    st.integers(1, 9),
    st.integers(1, 50),
    st.integers(1, 200),
    st.integers(0, 2**47),
)
def test_what_is_packed_can_be_unpacked(
    encoding: Encoding, channels: int, per_packet: int, count: int, index: int
) -> None:
    made = packetiser(encoding, channels, per_packet)
    first = index // per_packet * per_packet
    bits = 8 * encoding.sample_bytes - 1
    samples = np.random.default_rng(count).integers(-(2**bits), 2**bits, (count, channels))
    frames = (samples / 2.0**bits).astype(np.float32)
    out = np.empty_like(frames)
    at = 0
    for number, packet in enumerate(packets(made, first, frames)):
        header = parse_header(packet)
        assert header.timestamp == (first + number * per_packet) % 2**32
        assert header.sequence == (first // per_packet + number) % 2**16
        payload = np.frombuffer(packet, np.uint8, offset=header.payload_start)
        payload = payload.reshape(-1, channels * encoding.sample_bytes)
        encoding.decode(payload, out[at : at + len(payload)])
        at += len(payload)
    assert at == count
    assert (out == frames).all()


def test_every_sender_has_its_own_ssrc() -> None:
    found = {random_ssrc() for _ in range(1000)}
    assert len(found) > 990
    assert all(0 <= ssrc < 2**32 for ssrc in found)
