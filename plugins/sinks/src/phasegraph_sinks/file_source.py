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
    SourceConfig,
    SourceKind,
    duration_of,
    format_duration,
    frames_in,
)

from .claims import claims
from .feeder import feed, new_stream
from .reading import Header, Section, read_header


class FileSourceConfig(SourceConfig, frozen=True, kw_only=True):
    """Options of a ``file`` source."""

    path: Annotated[InputFile, Meta(description="The audio file: WAV, RF64, W64, FLAC, AIFF, CAF, Ogg, MP3.")]
    loop: Annotated[bool, Meta(description="Begin again at the end, without a gap, until the run stops.")] = False
    start: Annotated[Duration, Meta(description="Where in the file to begin.", ge=0)] = 0
    duration: Annotated[
        Duration | None, Meta(description="How much of the file to play; up to its end if left out.")
    ] = None


class FileSource:
    """A source that reads a file in blocks, a little ahead of whoever plays it.

    Started again after a failure, it goes on at the first frame that it has not delivered.
    """

    def __init__(self, header: Header, section: Section, *, endless: bool) -> None:
        self.stream = new_stream(header.format, endless=endless)
        self._path = header.path
        self._section = section

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
    return FileSource(header, Section(header, start=start, length=length, loop=config.loop), endless=config.loop)


KIND = SourceKind(
    kind="file",
    summary="Plays an audio file; integer files pass bit-exactly.",
    config=FileSourceConfig,
    factory=make,
    domain="none",
    example="""[sources.programme]
kind = "file"
path = "programme.wav"
""",
)
