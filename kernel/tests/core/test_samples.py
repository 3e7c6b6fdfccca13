"""L16 and L24 are carried without a change of a bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from phasegraph import Encoding, silence


def there_and_back(encoding: Encoding, octets: np.ndarray, channels: int) -> np.ndarray:
    encoded = octets.reshape(-1, channels * encoding.sample_bytes)
    frames = silence(len(encoded), channels)
    encoding.decode(encoded, frames)
    return encoding.encode(frames)


def test_every_16_bit_sample() -> None:
    values = np.arange(-(2**15), 2**15).astype(">i2")
    for channels in (1, 2, 8):
        octets = values.view(np.uint8)
        np.testing.assert_array_equal(there_and_back(Encoding.L16, octets, channels).reshape(-1), octets)


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_many_24_bit_samples(channels: int) -> None:
    octets = np.random.default_rng(channels).integers(0, 256, 3 * channels * 20_000, np.uint8)
    edges = np.array([0x80, 0, 0, 0x7F, 0xFF, 0xFF, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0, 0, 1] * channels, np.uint8)
    octets = np.concatenate([octets, edges])
    np.testing.assert_array_equal(there_and_back(Encoding.L24, octets, channels).reshape(-1), octets)


def test_values_are_what_the_standards_say() -> None:
    out = silence(3, 1)
    Encoding.L24.decode(np.array([[0x40, 0, 0], [0x80, 0, 0], [0, 0, 1]], np.uint8), out)
    assert out[:, 0].tolist() == [0.5, -1.0, 2.0**-23]
    Encoding.L16.decode(np.array([[0x40, 0], [0x80, 0], [0, 1]], np.uint8), out)
    assert out[:, 0].tolist() == [0.5, -1.0, 2.0**-15]


def test_am824_words_that_are_marked_are_silence() -> None:
    out = silence(2, 1)
    Encoding.AM824.decode(np.array([[0x3F, 0x40, 0, 0], [0xBF, 0x40, 0, 0]], np.uint8), out)
    assert out[:, 0].tolist() == [0.5, 0.0]


@given(
    st.sampled_from([Encoding.L16, Encoding.L24]),
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.floats(width=32)),
)
@settings(deadline=None)
def test_any_float_is_rounded_clipped_or_silenced(encoding: Encoding, frames: np.ndarray) -> None:
    step = 2.0 ** (1 - 8 * encoding.sample_bytes)
    before = frames.copy()
    out = np.empty_like(frames)
    encoding.decode(encoding.encode(frames), out)
    np.testing.assert_array_equal(frames, before)
    expected = np.clip(np.nan_to_num(frames.astype(np.float64), nan=0.0), -1.0, 1.0 - step)
    assert np.abs(out - expected).max() <= step / 2


@given(hnp.arrays(np.float32, (7, 3), elements=st.floats(width=32)))
def test_float_passes_as_it_is(frames: np.ndarray) -> None:
    out = np.empty_like(frames)
    Encoding.FLOAT32.decode(Encoding.FLOAT32.encode(frames), out)
    np.testing.assert_array_equal(out.view(np.uint32), frames.view(np.uint32))


@pytest.mark.parametrize("encoding", Encoding)
def test_no_frames_are_no_trouble(encoding: Encoding) -> None:
    encoded = encoding.encode(silence(0, 2))
    assert encoded.shape == (0, 2 * encoding.sample_bytes)
    encoding.decode(encoded, silence(0, 2))
