"""The ``file`` sink: records its input to an audio file."""

from __future__ import annotations

import os
from functools import partial
from typing import Annotated

import trio
from msgspec import Meta

from phasegraph import (
    Build,
    Input,
    Metrics,
    NodeContext,
    NodeError,
    OutputFile,
    SinkConfig,
    SinkKind,
    duration_of,
    frames_in,
)

from .. import pcm
from ..due_frames import Intake
from .file_locks import Claims, claims
from .file_writer import Recording
from .recording_format import ContainerName, Recipe, SubtypeName, recipe
from .write_queue import Backlog

QUEUE_NS = 30_000_000_000
"""How long a disk may stall before anything is lost."""
QUEUE_BYTES = 256 << 20
"""The most memory that a stall may take, if that is less."""
_COPY_AHEAD_NS = 1_000_000_000
"""How much may wait of an input that is faster than real time, and can wait itself."""
DRAIN_S = 4.0
"""How long a cancelled sink goes on writing what it has taken."""


class FileSinkConfig(SinkConfig, frozen=True, kw_only=True):
    """Options of a ``file`` sink."""

    path: Annotated[OutputFile, Meta(description="The file to record to; missing folders are made.")]
    format: Annotated[
        ContainerName,
        Meta(description="Container; auto goes by the path's suffix. A wav beyond 4 GiB becomes RF64 by itself."),
    ] = "auto"
    subtype: Annotated[
        SubtypeName,
        Meta(description="Samples; auto keeps what the input has: PCM_16 for L16, PCM_24 for L24, otherwise FLOAT."),
    ] = "auto"
    overwrite: Annotated[
        bool,
        Meta(description="Replace a file that is there; if not, record beside it, to NAME-take-2 and so on."),
    ] = True


class FileSink:
    """A sink that follows its sources and records them without a change of a bit.

    A stalled disk is bridged by a queue; started again after a failure, it records what is left, and what comes, to
    a further file.
    """

    def __init__(self, config: FileSinkConfig, input: Input) -> None:
        self._path = os.path.abspath(config.path)
        self._overwrite = config.overwrite
        self._input = input
        self._recipe: Recipe = recipe(self._path, config.format, config.subtype, input.format)
        rate = input.format.rate
        queue_bytes = QUEUE_BYTES // (4 * input.format.channels)
        self._queue_frames = max(1, min(frames_in(QUEUE_NS, rate), queue_bytes))
        self._copy_frames = max(1, frames_in(_COPY_AHEAD_NS, rate))
        self._backlog = Backlog()
        self._recording: Recording | None = None
        self._failure: NodeError | None = None
        self._stalled = False
        self._frames_in = 0
        self._frames_done = 0
        self._frames_before = 0
        self._peak_before = 0.0
        self._overruns = 0

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Record until the input has ended and all of it is in a closed file.

        Cancelled, it still writes what it has taken, for up to `DRAIN_S`. Raises NodeError where the disk refuses.
        """
        self._failure = None
        self._backlog.open()
        await self._next_file(ctx)
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                # The writer is shielded: it ends by an empty, closed backlog, by a failure, or by its deadline.
                writing = trio.CancelScope(shield=True)
                nursery.start_soon(self._write_all, ctx, writing, nursery.cancel_scope)
                try:
                    await self._take_all(ctx)
                except BaseException:
                    writing.deadline = trio.current_time() + DRAIN_S
                    raise
                finally:
                    self._backlog.close()
        finally:
            if self._failure is not None:
                raise self._failure

    async def _take_all(self, ctx: NodeContext) -> None:
        def take(now_ns: int, limit: int) -> int | None:
            frames = self._input.read_due(now_ns, limit)
            if frames is None:
                return None
            if len(frames):
                self._frames_in += len(frames)
                ctx.call_soon(self._backlog.put, frames)
            return len(frames)

        def held() -> bool:
            # What is not taken now stays in the graph as long as its rings hold it, and is silence after that, so that
            # the recording keeps its time.
            waiting = self._frames_in - self._frames_done
            if waiting < (self._copy_frames if intake.fast else self._queue_frames):
                self._stalled &= waiting >= self._queue_frames // 2
                return False
            if not intake.fast and not self._stalled:
                self._stalled = True
                ctx.call_soon(self._overrun, ctx)
            return True

        intake = Intake(ctx, self._input.format, take, held)
        await intake.run()

    def _overrun(self, ctx: NodeContext) -> None:
        self._overruns += 1
        ctx.event("overrun", file=self._file, queue_ns=duration_of(self._backlog.frames, self._recipe.rate))

    async def _write_all(self, ctx: NodeContext, writing: trio.CancelScope, taking: trio.CancelScope) -> None:
        try:
            with writing:
                while (block := await self._backlog.first()) is not None:
                    if self._recording is None or not self._recording.fits(len(block)):
                        await self._next_file(ctx)
                    assert self._recording is not None
                    await ctx.in_thread(partial(self._recording.write, block))
                    self._backlog.written()
                    self._frames_done += len(block)
            if writing.cancelled_caught:
                ctx.event("unwritten", file=self._file, frames=self._backlog.frames)
        except NodeError as error:
            self._failure = error
            taking.cancel()
        finally:
            with trio.CancelScope(shield=True):
                try:
                    await self._close(ctx)
                except NodeError as error:
                    self._failure = self._failure or error

    async def _next_file(self, ctx: NodeContext) -> None:
        await self._close(ctx)
        if self._recording is not None:
            self._frames_before += self._recording.frames
            self._peak_before = max(self._peak_before, self._recording.peak)
            self._recording = None
        files = ctx.shared(claims)
        path = _free_path(files, ctx.id, self._path, overwrite=self._overwrite)
        files.write(path, ctx.id)
        try:
            self._recording = await ctx.in_thread(partial(Recording, path, self._recipe))
        except NodeError:
            files.release(path, ctx.id)
            raise
        if path != self._path:
            ctx.event("new-file", file=path)

    async def _close(self, ctx: NodeContext) -> None:
        if self._recording is not None:
            await ctx.in_thread(self._recording.close)

    @property
    def _file(self) -> str:
        return self._path if self._recording is None else self._recording.path

    def metrics(self) -> Metrics:
        """``frames_in``, ``overruns``, ``file``; and over all files of this run ``duration_s`` and ``peak_dbfs``."""
        written, peak = self._frames_before, self._peak_before
        if self._recording is not None:
            written += self._recording.frames
            peak = max(peak, self._recording.peak)
        return {
            "frames_in": self._frames_in,
            "overruns": self._overruns,
            "file": self._file,
            "duration_s": written / self._recipe.rate,
            "peak_dbfs": pcm.dbfs(peak),
        }


def _free_path(files: Claims, node: str, path: str, *, overwrite: bool) -> str:
    # A file that this node has written in this run is never written again.
    stem, suffix = os.path.splitext(path)
    take = 1
    candidate = path
    while files.has_written(candidate, node) or (not overwrite and os.path.lexists(candidate)):
        take += 1
        candidate = f"{stem}-take-{take}{suffix}"
    return candidate


def make(config: FileSinkConfig, build: Build, input: Input) -> FileSink:
    """Raises NodeError for a path, format and subtype that do not go together. Touches no file."""
    sink = FileSink(config, input)
    if os.path.isdir(config.path):
        raise NodeError(f"{config.path} is a folder", "give the path of a file", option="path")
    return sink


KIND = SinkKind(
    kind="file",
    summary="Records to an audio file, bit-exactly; survives a stalled disk and a crash.",
    config=FileSinkConfig,
    factory=make,
    domain="none",
    example="""[sinks.recording]
kind = "file"
input = "stage"
path = "recordings/stage.wav"
""",
)
