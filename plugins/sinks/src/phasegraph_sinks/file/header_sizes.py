"""Audio whose header gives a wrong length: 32-bit sizes that wrapped at 4 GiB, or sizes that a crashed recorder left.

libsndfile believes the header and plays a part, or nothing. Here the chunks of WAV, RF64, W64 and AIFF files are read,
and compared with the length of the file. Only PCM and float samples in one data chunk are considered.

- RIFF (WAV) and FORM (AIFF) sizes are 32 bits: a longer file keeps the remainder modulo 2^32.
- Unset sizes are 0 or 2^32 - 1 (in W64 and the ds64 chunk of RF64: 0, the size of the header, or 2^64 - 1).
"""

from __future__ import annotations

import os
import struct
from typing import Any, BinaryIO

import msgspec

_WRAP = 1 << 32
_UNSET_32 = (0, _WRAP - 1)
_UNSET_64 = (0, (1 << 64) - 1, (1 << 63) - 1)
_MOST_CHUNKS = 1000
_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_W64_WAVE = b"wave\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_W64_FMT = b"fmt \xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_SUBTYPES = {
    (_PCM, 8): "PCM_U8",
    (_PCM, 16): "PCM_16",
    (_PCM, 24): "PCM_24",
    (_PCM, 32): "PCM_32",
    (_FLOAT, 32): "FLOAT",
    (_FLOAT, 64): "DOUBLE",
}


class AudioRegion(msgspec.Struct, frozen=True):
    """Where the samples of a file lie, when its header gives a wrong length."""

    offset: int
    """Bytes before the first sample."""
    size: int
    """Bytes of whole frames."""
    frames: int
    header_frames: int
    """Frames by the header."""
    subtype: str
    """libsndfile's name of the samples."""
    big_endian: bool
    rate: int
    channels: int


class _SampleFormat(msgspec.Struct, frozen=True):
    subtype: str
    rate: int
    channels: int
    frame_bytes: int
    big_endian: bool = False


def mismatched_region(path: str) -> AudioRegion | None:
    """The samples of a file that is longer than its header says; None for every other file.

    Raises OSError where the file cannot be read.
    """
    with open(path, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        head = file.read(16)
        try:
            if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
                return _riff_region(file, length, head)
            if head == _W64_RIFF:
                return _w64_region(file, length)
            if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
                return _aiff_region(file, length, head)
        except struct.error:  # the header ends in the middle
            pass
    return None


def _riff_region(file: BinaryIO, length: int, head: bytes) -> AudioRegion | None:
    riff_size = struct.unpack_from("<I", head, 4)[0]
    rf64, at, long_size, format = head[:4] == b"RF64", 12, None, None
    for _ in range(_MOST_CHUNKS):
        name, size = _unpack_at(file, at, "<4sI")
        if name == b"ds64":
            riff_size, long_size = _unpack_at(file, at + 8, "<QQ")
        elif name == b"fmt ":
            format = _wave_format(file, at + 8, size)
        elif name == b"data":
            if rf64 and long_size is not None:
                return _region(format, at + 8, length, long_size, unset=long_size in _UNSET_64)
            wrapped = length - 8 >= _WRAP and (length - 8 - riff_size) % _WRAP in (0, 1)
            return _region(format, at + 8, length, size, unset=size in _UNSET_32, wrapped=wrapped)
        at += 8 + size + size % 2
    return None


def _w64_region(file: BinaryIO, length: int) -> AudioRegion | None:
    (wave,) = _unpack_at(file, 24, "<16s")
    at, format = 40, None
    for _ in range(_MOST_CHUNKS if wave == _W64_WAVE else 0):
        name, size = _unpack_at(file, at, "<16sQ")
        if name == _W64_FMT:
            format = _wave_format(file, at + 24, size - 24)
        elif name == _W64_DATA:
            return _region(format, at + 24, length, size - 24, unset=size in (*_UNSET_64, 24))
        if size < 24:
            return None
        at += (size + 7) // 8 * 8
    return None


def _aiff_region(file: BinaryIO, length: int, head: bytes) -> AudioRegion | None:
    form_size = struct.unpack_from(">I", head, 4)[0]
    at, format = 12, None
    for _ in range(_MOST_CHUNKS):
        name, size = _unpack_at(file, at, ">4sI")
        if name == b"COMM":
            format = _aiff_format(file, at + 8, size, compressed=head[8:12] == b"AIFC")
        elif name == b"SSND":
            (skipped,) = _unpack_at(file, at + 8, ">I")
            begin = at + 16 + skipped
            wrapped = length - 8 >= _WRAP and (length - 8 - form_size) % _WRAP in (0, 1)
            unset = size in (*_UNSET_32, 8)
            return _region(format, begin, length, max(0, size - 8 - skipped), unset=unset, wrapped=wrapped)
        at += 8 + size + size % 2
    return None


def _region(
    format: _SampleFormat | None, begin: int, length: int, size: int, *, unset: bool, wrapped: bool = False
) -> AudioRegion | None:
    if format is None or not format.frame_bytes:
        return None
    rest = length - begin
    if wrapped:
        true_size = size + (rest - size) // _WRAP * _WRAP  # what follows the samples is less than 4 GiB
    elif unset:
        true_size = rest
    else:
        return None
    frames = true_size // format.frame_bytes
    header_frames = 0 if unset else size // format.frame_bytes
    if frames <= header_frames:
        return None
    return AudioRegion(
        begin,
        frames * format.frame_bytes,
        frames,
        header_frames,
        format.subtype,
        format.big_endian,
        format.rate,
        format.channels,
    )


def _wave_format(file: BinaryIO, at: int, size: int) -> _SampleFormat | None:
    tag, channels, rate, _, frame_bytes, bits = _unpack_at(file, at, "<HHIIHH")
    if tag == _EXTENSIBLE and size >= 40:
        (tag,) = _unpack_at(file, at + 24, "<H")
    subtype = _SUBTYPES.get((tag, bits))
    if subtype is None or frame_bytes * 8 != channels * bits:
        return None
    return _SampleFormat(subtype, rate, channels, frame_bytes)


def _aiff_format(file: BinaryIO, at: int, size: int, *, compressed: bool) -> _SampleFormat | None:
    channels, _, bits, exponent, mantissa = _unpack_at(file, at, ">hIhHQ")  # the rate is an 80-bit float
    kind = _unpack_at(file, at + 18, ">4s")[0] if compressed and size >= 22 else b"NONE"
    tag = {b"NONE": _PCM, b"twos": _PCM, b"sowt": _PCM, b"fl32": _FLOAT, b"FL32": _FLOAT, b"fl64": _FLOAT}.get(kind)
    subtype = "PCM_S8" if (tag, bits) == (_PCM, 8) else _SUBTYPES.get((tag or 0, bits))
    shift = 16383 + 63 - exponent
    if subtype is None or channels < 1 or not 0 <= shift < 64:
        return None
    return _SampleFormat(subtype, mantissa >> shift, channels, channels * bits // 8, big_endian=kind != b"sowt")


def _unpack_at(file: BinaryIO, at: int, layout: str) -> tuple[Any, ...]:
    if at > os.fstat(file.fileno()).st_size:
        raise struct.error("a chunk begins behind the end")
    file.seek(at)
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


class RegionFile:
    """The region of a file as a file of its own, for libsndfile: from the first sample to the last."""

    def __init__(self, path: str, region: AudioRegion) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115
        self._begin, self._size, self._at = region.offset, region.size, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As a file's."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """As a file's."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """As a file's."""
        count = max(0, min(len(buffer), self._size - self._at))
        self._file.seek(self._begin + self._at)
        got = self._file.readinto(memoryview(buffer)[:count]) if count else 0
        self._at += got or 0
        return got or 0

    def read(self, count: int = -1) -> bytes:
        """As a file's."""
        left = self._size - self._at
        data = bytearray(left if count < 0 else max(0, min(count, left)))
        return bytes(data[: self.readinto(data)])

    def write(self, data: bytes) -> int:
        """Never called: the file is open for reading."""
        raise OSError("the file is open for reading")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
