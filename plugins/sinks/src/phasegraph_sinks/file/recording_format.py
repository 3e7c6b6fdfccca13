"""The formats of recordings: containers, their suffixes and limits, and which samples they hold."""

from __future__ import annotations

import os

import msgspec

from phasegraph import Encoding, NodeError, StreamFormat

from .options import ContainerName, SubtypeName

BITS = {"PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
"""Bits of an integer sample; FLOAT has none."""
MAX_32_BIT_SIZE = (1 << 32) - (1 << 16)
"""Most bytes of audio in a container with 32-bit sizes, headers and trailers excluded."""


class FileContainer(msgspec.Struct, frozen=True):
    """A container format."""

    library_name: str
    """libsndfile's name for it."""
    suffixes: tuple[str, ...]
    subtypes: tuple[str, ...] = ("PCM_16", "PCM_24", "PCM_32", "FLOAT")
    most_channels: int = 1024
    max_bytes: int | None = None
    """Most bytes of audio; None where a disk is smaller."""


FILE_CONTAINERS = {
    "wav": FileContainer("RF64", (".wav",)),
    "rf64": FileContainer("RF64", (".rf64",)),
    "w64": FileContainer("W64", (".w64",)),
    "flac": FileContainer("FLAC", (".flac",), ("PCM_16", "PCM_24"), most_channels=8),
    "aiff": FileContainer("AIFF", (".aiff", ".aif"), max_bytes=MAX_32_BIT_SIZE),
    "caf": FileContainer("CAF", (".caf",)),
}


class RecordingFormat(msgspec.Struct, frozen=True):
    """The format of a recording."""

    name: str
    """Key of the container."""
    subtype: str
    rate: int
    channels: int

    @property
    def container(self) -> FileContainer:
        """The container."""
        return FILE_CONTAINERS[self.name]

    @property
    def encoding(self) -> Encoding:
        """The encoding whose samples the file holds without loss."""
        return {"PCM_16": Encoding.L16, "PCM_24": Encoding.L24}.get(self.subtype, Encoding.FLOAT32)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame, before any compression."""
        return self.channels * BITS.get(self.subtype, 32) // 8


def recording_format(path: str, format: ContainerName, subtype: SubtypeName, input: StreamFormat) -> RecordingFormat:
    """Replace ``auto`` by a format, and check that container, samples and channels fit together.

    Raises NodeError with the option that is wrong.
    """
    name = _by_suffix(path) if format == "auto" else format
    container = FILE_CONTAINERS[name]
    chosen = subtype
    if subtype == "auto":
        # FLAC has no floating-point samples; 24 bits are nearest.
        bits = input.encoding.significant_bits
        best = "PCM_16" if bits <= 16 else "PCM_24" if bits <= 24 else "FLOAT"
        chosen = best if best in container.subtypes else "PCM_24"  # type: ignore[assignment]
    if chosen not in container.subtypes:
        raise NodeError(
            f"a {name} file cannot hold {chosen} samples",
            f"use one of {', '.join(container.subtypes)}, or another format",
            option="subtype",
        )
    if input.channels > container.most_channels:
        raise NodeError(
            f"a {name} file holds at most {container.most_channels} channels, the input has {input.channels}",
            "record to wav, w64 or caf, or fewer channels",
            option="path" if format == "auto" else "format",
        )
    return RecordingFormat(name, chosen, input.rate, input.channels)


def _by_suffix(path: str) -> str:
    suffix = os.path.splitext(path)[1].lower()
    for name, container in FILE_CONTAINERS.items():
        if suffix in container.suffixes:
            return name
    known = ", ".join(suffix for container in FILE_CONTAINERS.values() for suffix in container.suffixes)
    raise NodeError(
        f"the suffix {suffix!r} of {os.path.basename(path)!r} names no format",
        f"use one of {known}, or set format; recordings are lossless",
        option="path",
    )
