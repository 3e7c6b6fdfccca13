"""Encodes a stream that never ends, piece by piece: WAV by hand, FLAC and Opus by libsndfile. Blocking."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import numpy as np

from phasegraph import Frames, NodeError, StreamFormat

from .. import pcm
from ..file.libsndfile import set_struct, soundfile

_SET_OGG_PAGE_LATENCY_MS = 0x1302
_PAGE_LATENCY_MS = 100.0
"""libsndfile's own is 1 s, which a listener would wait for."""
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_UNKNOWN_SIZE = 0xFFFF_FFFF


class AudioEncoder(Protocol):
    """Turns frames into the octets of one stream."""

    def encode(self, frames: Frames) -> bytes:
        """The octets that follow; may be none yet."""

    def finish(self) -> bytes:
        """The octets that end the stream."""


class AudioType(msgspec.Struct, frozen=True):
    """One way to encode a stream."""

    name: str
    """Suffix of its path."""
    media_type: str
    make: Callable[[StreamFormat], AudioEncoder]
    """Raises NodeError for a stream that cannot be encoded this way."""


class WavEncoder:
    """WAV of 16 or 24 bits, with the sizes of a stream: as large as a header can say."""

    def __init__(self, format: StreamFormat) -> None:
        self._bits = _bits(format)
        frame_bytes = format.channels * self._bits // 8
        shape = (1, format.channels, format.rate, format.rate * frame_bytes, frame_bytes, self._bits)
        self._head = struct.pack(
            "<4sI4s4sIHHIIHH4sI", b"RIFF", _UNKNOWN_SIZE, b"WAVE", b"fmt ", 16, *shape, b"data", _UNKNOWN_SIZE
        )

    def encode(self, frames: Frames) -> bytes:
        """See `AudioEncoder.encode`."""
        words = np.ascontiguousarray(pcm.to_words(frames, self._bits), "<i4")
        samples = words.reshape(-1, 1).view(np.uint8)[:, 4 - self._bits // 8 :]
        head, self._head = self._head, b""
        return head + samples.tobytes()

    def finish(self) -> bytes:
        """See `AudioEncoder.finish`."""
        head, self._head = self._head, b""
        return head


class LibsndfileEncoder:
    """FLAC of 16 or 24 bits, or Opus."""

    def __init__(self, format: StreamFormat, container: str, subtype: str) -> None:
        """Raises NodeError where libsndfile refuses the format."""
        self._sink = _ForwardFile()
        self._bits = None if subtype == "OPUS" else _bits(format)
        try:
            self._file: Any = soundfile().SoundFile(
                self._sink, "w", samplerate=format.rate, channels=format.channels, format=container, subtype=subtype
            )
        except (RuntimeError, ValueError, TypeError) as error:
            raise NodeError(f"libsndfile refuses {subtype} of {format}: {error}") from error
        set_struct(self._file, _SET_OGG_PAGE_LATENCY_MS, struct.pack("=d", _PAGE_LATENCY_MS))

    def encode(self, frames: Frames) -> bytes:
        """See `AudioEncoder.encode`."""
        self._file.write(np.ascontiguousarray(frames) if self._bits is None else pcm.to_words(frames, self._bits))
        return self._sink.take_written()

    def finish(self) -> bytes:
        """See `AudioEncoder.finish`."""
        self._file.close()
        return self._sink.take_written()


class _ForwardFile(io.RawIOBase):
    # A file for libsndfile, of which only the octets in sequence are kept. What is written again at the end, such as
    # the length in a header, is left out: it was sent long ago.

    def __init__(self) -> None:
        self._written = bytearray()
        self._position = 0
        self._end = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        count = len(data)
        new = self._position + count - self._end
        if new > 0:
            self._written += memoryview(data).cast("B")[max(0, count - new) :]
            self._end += new
        self._position += count
        return count

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self._end)[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def take_written(self) -> bytes:
        """The octets since the last call."""
        written = bytes(self._written)
        self._written.clear()
        return written


def _bits(format: StreamFormat) -> int:
    return 16 if format.encoding.significant_bits <= 16 else 24


def _flac(format: StreamFormat) -> AudioEncoder:
    if format.channels > 8:
        raise NodeError(f"FLAC has at most 8 channels, and the input has {format.channels}")
    return LibsndfileEncoder(format, "FLAC", f"PCM_{_bits(format)}")


def _opus(format: StreamFormat) -> AudioEncoder:
    if format.rate not in _OPUS_RATES:
        raise NodeError(f"Opus has no rate of {format.rate} Hz; it has {', '.join(map(str, _OPUS_RATES))}")
    if format.channels > 8:
        raise NodeError(f"Opus has at most 8 channels, and the input has {format.channels}")
    return LibsndfileEncoder(format, "OGG", "OPUS")


AUDIO_TYPES = (
    AudioType("flac", "audio/flac", _flac),
    AudioType("opus", "audio/ogg; codecs=opus", _opus),
    AudioType("wav", "audio/wav", WavEncoder),
)
