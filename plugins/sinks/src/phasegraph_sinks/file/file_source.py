"""The ``file`` source: plays an audio file into the graph."""

from __future__ import annotations

import os
from functools import partial
from typing import Annotated

import trio
from msgspec import Meta

from phasegraph import (
    Build,
    Duration,
    Frames,
    InputFile,
    Metrics,
    NodeContext,
    NodeError,
    SampleRate,
    SourceConfig,
    SourceKind,
    StreamFormat,
    duration_of,
    format_duration,
    frames_in,
)

from ..read_ahead import feed, new_stream
from .file_locks import claims
from .file_reader import Header, Section, read_header
from .rate_conversion import Converted


class FileSourceConfig(SourceConfig, frozen=True, kw_only=True):
    """Options of a ``file`` source."""

    path: Annotated[InputFile, Meta(description="The audio file: WAV, RF64, W64, FLAC, AIFF, CAF, Ogg, MP3.")]
    loop: Annotated[bool, Meta(description="Begin again at the end, without a gap, until the run stops.")] = False
    start: Annotated[Duration, Meta(description="Where in the file to begin.", ge=0)] = 0
    duration: Annotated[
        Duration | None, Meta(description="How much of the file to play; up to its end if left out.")
    ] = None
    rate: Annotated[
        Annotated[SampleRate, Meta(ge=1000, le=768_000)] | None,
        Meta(description="Convert to this rate; the file's own, and no conversion, if left out."),
    ] = None


class FileSource:
    """A source that reads a file in blocks, a little ahead of whoever plays it.

    Started again after a failure, it goes on at the first frame that it has not delivered.
    """

    def __init__(self, header: Header, section: Section, *, endless: bool, rate: int) -> None:
        """``rate`` the stream's; where it is not the file's, the file is converted."""
        format = header.format
        self._path = header.path
        self._section: Section | Converted = section
        if rate != format.rate:
            self._section = Converted(section, format.channels, rate=format.rate, to=rate)
            format = StreamFormat(rate, format.channels)
        self.stream = new_stream(format, endless=endless)

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Feed the stream until the end of the file, or for ever if it loops.

        Raises NodeError where the file cannot be read on.
        """
        ctx.shared(claims).read(self._path, ctx.id)

        async def next_block(count: int) -> Frames:
            return await ctx.in_thread(partial(self._section.read, count))

        try:
            await ctx.in_thread(partial(self._section.open, self.stream.head))
            await feed(ctx, self.stream, next_block, ready=task_status.started)
        finally:
            self._section.close()

    def metrics(self) -> Metrics:
        """``frames_out`` so far, and the ``file``."""
        return {"frames_out": self.stream.head, "file": self._path}


def make(config: FileSourceConfig, build: Build) -> FileSource:
    """Read the file's header, which says what the stream is.

    Raises NodeError for a file that cannot be read, or a section of it that is empty.
    """
    path = os.path.abspath(config.path)
    header = read_header(path)
    rate = header.format.rate
    start = frames_in(config.start, rate)
    length = None if config.duration is None else frames_in(config.duration, rate)
    if length is not None and length < 1:
        raise NodeError("less than one frame would be played", "give a longer duration", option="duration")
    if header.frames is not None and start and start >= header.frames:
        raise NodeError(
            f"{path} is over before that: it lasts {format_duration(duration_of(header.frames, rate))}",
            "begin earlier",
            option="start",
        )
    if config.loop and header.frames == 0:
        raise NodeError(f"{path} is empty, it cannot be repeated", "leave loop out", option="loop")
    section = Section(header, start=start, length=length, loop=config.loop)
    return FileSource(header, section, endless=config.loop, rate=config.rate or rate)


KIND = SourceKind(
    kind="file",
    summary="Plays an audio file, integer files bit-exactly, or converts it to another rate.",
    config=FileSourceConfig,
    factory=make,
    domain="none",
    example="""[sources.programme]
kind = "file"
path = "programme.wav"
""",
)
