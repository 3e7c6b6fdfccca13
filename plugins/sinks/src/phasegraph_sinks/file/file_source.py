"""The ``file`` source: plays an audio file into the graph."""

from __future__ import annotations

import os
from functools import partial

import trio

from phasegraph import (
    TASK_STATUS_IGNORED,
    Build,
    Frames,
    Metrics,
    NodeContext,
    NodeError,
    StreamFormat,
    duration_of,
    format_duration,
    frames_in,
)

from ..read_ahead import new_stream, write_ahead
from .file_locks import file_locks
from .file_reader import AudioHeader, FileSection, read_header
from .options import FileSourceConfig
from .rate_conversion import ConvertedSection


class FileSource:
    """Reads a file in blocks, a little ahead of its readers.

    Started again after a failure, it continues at the first frame that it has not delivered.
    """

    def __init__(self, header: AudioHeader, section: FileSection, *, endless: bool, rate: int) -> None:
        """``rate`` is the stream's. Where the file has another, the file is converted."""
        format = header.format
        self._header = header
        self._path = header.path
        self._section: FileSection | ConvertedSection = section
        if rate != format.rate:
            self._section = ConvertedSection(section, format.channels, rate=format.rate, to=rate)
            format = StreamFormat(rate, format.channels)
        self.stream = new_stream(format, endless=endless)

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Write the stream until the end of the file, or for ever if it loops.

        Raises NodeError where the file cannot be read.
        """
        header = self._header
        if header.wrong_frames is not None:
            ctx.event(
                "wrong_length_in_header",
                file=self._path,
                header_frames=header.wrong_frames,
                frames=header.frames or 0,
                reason="the sizes in the header wrapped or were never written; the file is played to its end",
            )
        ctx.shared(file_locks).add_reader(self._path, ctx.id)

        async def next_block(count: int) -> Frames:
            return await ctx.in_thread(partial(self._section.read_frames, count))

        try:
            await ctx.in_thread(partial(self._section.open_at, self.stream.head))
            await write_ahead(ctx, self.stream, next_block, ready=task_status.started)
        except BaseException:  # it failed, or leaves the graph; a file that was played to its end stays protected
            ctx.shared(file_locks).remove_reader(self._path, ctx.id)
            raise
        finally:
            self._section.close()

    def metrics(self) -> Metrics:
        """``frames_out`` so far, and the ``file``."""
        return {"frames_out": self.stream.head, "file": self._path}


def make(config: FileSourceConfig, build: Build) -> FileSource:
    """Read the file's header, which gives the stream's format.

    Raises NodeError for a file that cannot be read, or a section of it that is empty.
    """
    path = os.path.abspath(config.path)
    header = read_header(path)
    rate = header.format.rate
    start = frames_in(config.start, rate)
    length = None if config.duration is None else frames_in(config.duration, rate)
    if length is not None and length < 1:
        raise NodeError("the duration is less than one frame", "give a longer duration", option="duration")
    if header.frames is not None and start and start >= header.frames:
        raise NodeError(
            f"{path} ends before that: it lasts {format_duration(duration_of(header.frames, rate))}",
            "start earlier",
            option="start",
        )
    if config.loop and header.frames == 0:
        raise NodeError(f"{path} is empty, it cannot be repeated", "leave loop out", option="loop")
    section = FileSection(header, start=start, length=length, loop=config.loop)
    return FileSource(header, section, endless=config.loop, rate=config.rate or rate)
