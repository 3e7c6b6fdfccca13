"""What sender and receiver agree on."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasegraph import Encoding
from phasegraph_aes67.parameters import StreamParameters, frames_per_packet


@pytest.mark.parametrize(
    ("packet_time_ns", "rate", "frames"),
    [
        (1_000_000, 48_000, 48),
        (125_000, 48_000, 6),
        (120_000, 48_000, 6),  # Lawo writes 0.12 ms
        (250_000, 48_000, 12),
        (333_000, 48_000, 16),
        (333_333, 48_000, 16),
        (4_000_000, 48_000, 192),
        (5_000_000, 48_000, 240),
        (1_000_000, 96_000, 96),
        (125_000, 96_000, 12),
        (250_000, 96_000, 24),
        (333_000, 96_000, 32),
        (4_000_000, 96_000, 384),
        (125_000, 192_000, 24),
        # The nominal packet times have as many frames at 44.1 kHz as at 48 kHz ...
        (1_000_000, 44_100, 48),
        (125_000, 44_100, 6),
        (250_000, 44_100, 12),
        (333_000, 44_100, 16),
        (333_333, 44_100, 16),
        (4_000_000, 44_100, 192),
        (1_000_000, 88_200, 96),
        (125_000, 88_200, 12),
        (333_000, 88_200, 32),
        (1_000_000, 176_400, 192),
        # ... and descriptions give the time that these then last.
        (1_088_435, 44_100, 48),
        (1_088_400, 44_100, 48),
        (1_090_000, 44_100, 48),
        (136_000, 44_100, 6),
        (272_000, 44_100, 12),
        (362_800, 44_100, 16),
        (4_354_000, 44_100, 192),
        (4_353_741, 44_100, 192),
        (5_442_000, 44_100, 240),
        # Two decimals, rounded or cut off.
        (120_000, 192_000, 24),
        (130_000, 192_000, 24),
        (330_000, 192_000, 64),
        (120_000, 384_000, 48),
        (330_000, 384_000, 128),
        (330_000, 96_000, 32),
        (140_000, 176_400, 24),
        (130_000, 88_200, 12),
        (360_000, 176_400, 64),
        (340_000, 48_000, 16),
        # Never none.
        (1, 48_000, 1),
        (0, 48_000, 1),
        (0, 44_100, 1),
    ],
)
def test_frames_per_packet(packet_time_ns: int, rate: int, frames: int) -> None:
    assert frames_per_packet(packet_time_ns, rate) == frames


@settings(derandomize=True, deadline=None, database=None)
@given(st.integers(1, 2000), st.sampled_from([8_000, 32_000, 48_000, 96_000, 192_000]))
def test_a_packet_time_that_was_written_to_six_places_is_understood(frames: int, rate: int) -> None:
    assert frames_per_packet(round(frames * 1e9 / rate), rate) == frames


def test_what_follows_from_the_parameters() -> None:
    parameters = StreamParameters(
        address="239.1.2.3", encoding=Encoding.L16, rate=44_100, channels=6, frames_per_packet=48
    )
    assert parameters.frame_bytes == 12
    assert parameters.multicast
    assert not StreamParameters(address="10.0.0.7").multicast
    assert str(parameters.format) == "L16 44.1 kHz 6 ch"
    assert str(parameters) == "L16 44.1 kHz 6 ch, 48 frames a packet, 239.1.2.3:5004"
    assert str(StreamParameters(address="10.0.0.7")) == "L24 48 kHz 2 ch, 10.0.0.7:5004"
