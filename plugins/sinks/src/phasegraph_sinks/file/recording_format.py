"""What a recording can be: containers, their suffixes and limits, and which samples they hold."""

from __future__ import annotations

import os
from typing import Literal

import msgspec

from phasegraph import Encoding, NodeError, StreamFormat

ContainerName = Literal["auto", "wav", "rf64", "w64", "flac", "aiff", "caf"]
SubtypeName = Literal["auto", "PCM_16", "PCM_24", "PCM_32", "FLOAT"]
BITS = {"PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
"""Bits of an integer sample; FLOAT is not among them."""
MAX_32_BIT_SIZE = (1 << 32) - (1 << 16)
"""Bytes of audio in a container with 32-bit sizes, its headers and trailers left out."""


class Container(msgspec.Struct, frozen=True):
    """A container format."""

    library_name: str
    """What libsndfile calls it."""
    suffixes: tuple[str, ...]
    subtypes: tuple[str, ...] = ("PCM_16", "PCM_24", "PCM_32", "FLOAT")
    most_channels: int = 1024
    max_bytes: int | None = None
    """Bytes of audio that it can hold; None for more than any disk does."""


CONTAINERS = {
    "wav": Container("RF64", (".wav",)),
    "rf64": Container("RF64", (".rf64",)),
    "w64": Container("W64", (".w64",)),
    "flac": Container("FLAC", (".flac",), ("PCM_16", "PCM_24"), most_channels=8),
    "aiff": Container("AIFF", (".aiff", ".aif"), max_bytes=MAX_32_BIT_SIZE),
    "caf": Container("CAF", (".caf",)),
}
_SUBTYPE_OF = {Encoding.L16: "PCM_16", Encoding.L24: "PCM_24", Encoding.AM824: "PCM_24", Encoding.FLOAT32: "FLOAT"}


class Recipe(msgspec.Struct, frozen=True):
    """How a recording is written."""

    name: str
    """Key of the container."""
    subtype: str
    rate: int
    channels: int

    @property
    def container(self) -> Container:
        """The container."""
        return CONTAINERS[self.name]

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame, before any compression."""
        return self.channels * BITS.get(self.subtype, 32) // 8


def recipe(path: str, format: ContainerName, subtype: SubtypeName, input: StreamFormat) -> Recipe:
    """Fill in what was left to ``auto``, and check that the parts fit.

    Raises NodeError that names the option to blame.
    """
    name = _by_suffix(path) if format == "auto" else format
    container = CONTAINERS[name]
    chosen = subtype
    if subtype == "auto":
        # FLAC has no floating-point samples; 24 bits are what is nearest.
        best = _SUBTYPE_OF[input.encoding]
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
    return Recipe(name, chosen, input.rate, input.channels)


def _by_suffix(path: str) -> str:
    suffix = os.path.splitext(path)[1].lower()
    for name, container in CONTAINERS.items():
        if suffix in container.suffixes:
            return name
    known = ", ".join(suffix for container in CONTAINERS.values() for suffix in container.suffixes)
    raise NodeError(
        f"cannot tell from {suffix!r} which format {os.path.basename(path)!r} is to have",
        f"use one of {known}, or set format; recordings are lossless",
        option="path",
    )
