import io

import numpy as np
import pytest
import soundfile

from phasegraph import Encoding, NodeError, StreamFormat
from phasegraph_sinks.file.libsndfile import read_forward
from phasegraph_sinks.http.audio_encoders import AUDIO_TYPES

TYPES = {audio.name: audio for audio in AUDIO_TYPES}


def encoded(name, frames, format, block=4800):
    encoder = TYPES[name].make(format)
    parts = [encoder.encode(frames[at : at + block]) for at in range(0, len(frames), block)]
    return parts, encoder.finish()


@pytest.mark.parametrize("name", ["wav", "flac"])
@pytest.mark.parametrize(("encoding", "bits"), [("L16", 16), ("L24", 24), ("float32", 24)])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_what_is_lossless_is_the_same_bit_for_bit(name, encoding, bits, channels, noise, format_of):
    format = format_of(encoding, channels=channels)
    frames = np.clip(noise(format_of("L16" if encoding == "L16" else "L24", channels=channels), 48_000), -1, 1)
    parts, end = encoded(name, frames, format)
    with soundfile.SoundFile(io.BytesIO(b"".join(parts) + end)) as file:
        assert (file.samplerate, file.channels, file.subtype) == (48_000, channels, f"PCM_{bits}")
        decoded = np.zeros((48_001, channels), np.int32)
        assert read_forward(file, decoded) == 48_000
    assert np.array_equal(decoded[:-1] / 2.0**31, frames)


@pytest.mark.parametrize(("name", "delay_s"), [("wav", 0.0), ("flac", 0.11), ("opus", 0.25)])
def test_a_listener_does_not_wait_for_what_has_sounded(name, delay_s, format_of):
    at = np.arange(96_000)
    frames = np.stack([0.5 * np.sin(2 * np.pi * 440 * at / 48_000)] * 2, axis=1).astype(np.float32)
    parts, _ = encoded(name, frames, format_of("L16"), block=2400)
    octets = b"".join(parts)
    if name == "wav":
        assert len(octets) == 44 + frames.size * 2
        return
    file = soundfile.SoundFile(io.BytesIO(octets))
    decoded = 0
    try:
        while count := len(file.read(480)):
            decoded += count
    except RuntimeError:  # where the stream is cut
        pass
    assert decoded >= 96_000 - delay_s * 48_000


def test_opus_sounds_as_the_input(format_of):
    at = np.arange(96_000)
    frames = np.stack([0.5 * np.sin(2 * np.pi * 440 * at / 48_000)] * 2, axis=1).astype(np.float32)
    parts, end = encoded("opus", frames, format_of())
    decoded, _ = soundfile.read(io.BytesIO(b"".join(parts) + end), always_2d=True)
    spectrum = np.abs(np.fft.rfft(decoded[24_000:72_000, 0] * np.hanning(48_000)))
    assert spectrum.argmax() == 440
    assert np.sqrt(np.mean(decoded[24_000:72_000] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize(
    ("name", "rate", "channels", "word"),
    [("opus", 44_100, 2, "44100"), ("opus", 48_000, 9, "8 channels"), ("flac", 48_000, 9, "8 channels")],
)
def test_what_cannot_be_encoded_is_refused_in_words(name, rate, channels, word):
    with pytest.raises(NodeError, match=word):
        TYPES[name].make(StreamFormat(rate, channels, Encoding.L24))
