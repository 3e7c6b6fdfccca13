import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from phasegraph import Encoding
from phasegraph_sinks import pcm


@pytest.mark.parametrize("bits", [8, 16, 20, 24])
def test_every_integer_sample_survives(bits):
    for first in range(-(2 ** (bits - 1)), 2 ** (bits - 1), 1 << 20):
        values = np.arange(first, min(first + (1 << 20), 2 ** (bits - 1)), dtype=np.int64)
        words = (values << (32 - bits)).astype(np.int32).reshape(-1, 2)
        frames = pcm.from_words(words)
        assert frames.dtype == np.float32
        assert np.array_equal(frames.reshape(-1).astype(np.float64) * 2.0 ** (bits - 1), values)
        assert np.array_equal(pcm.to_words(frames, bits), words)


@given(
    hnp.arrays(np.float32, (4, 2), elements=st.floats(width=32)),
    st.sampled_from([16, 24, 32]),
)
def test_any_float_becomes_the_nearest_sample(frames, bits):
    words = pcm.to_words(frames, bits)
    for value, word in zip(frames.reshape(-1).tolist(), words.reshape(-1).tolist(), strict=True):
        assert word % (1 << (32 - bits)) == 0
        if np.isnan(value):
            assert word == 0
            continue
        lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        clipped = min(max(value, -2.0), 2.0) * 2.0 ** (bits - 1)
        assert word >> (32 - bits) == min(max(round(clipped), lowest), highest)


def test_does_not_touch_what_it_converts():
    frames = np.full((3, 2), 0.3, np.float32)
    frames.flags.writeable = False
    pcm.to_words(frames, 16)
    pcm.to_words(frames, 32)


@pytest.mark.parametrize(
    ("subtype", "encoding", "integer"),
    [
        ("PCM_U8", Encoding.L16, True),
        ("PCM_16", Encoding.L16, True),
        ("PCM_24", Encoding.L24, True),
        ("PCM_32", Encoding.FLOAT32, True),
        ("FLOAT", Encoding.FLOAT32, False),
        ("DOUBLE", Encoding.FLOAT32, False),
        ("MPEG_LAYER_III", Encoding.FLOAT32, False),
        ("something new", Encoding.FLOAT32, False),
    ],
)
def test_least_encoding(subtype, encoding, integer):
    assert pcm.encoding_of(subtype) is encoding
    assert pcm.is_integer(subtype) is integer
