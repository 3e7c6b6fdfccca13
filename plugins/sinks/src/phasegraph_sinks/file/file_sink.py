"""The ``file`` sink: records its input to an audio file."""

from __future__ import annotations

import os
from functools import partial

import trio
from msgspec.structs import replace

from phasegraph import (
    TASK_STATUS_IGNORED,
    Build,
    Frames,
    Input,
    MediaPosition,
    Metrics,
    NodeContext,
    NodeError,
    duration_of,
    frames_in,
)

from ..due_frames import DueFrames
from ..peak_level import dbfs
from .broadcast_extension import broadcast_info
from .file_locks import FileLocks, file_locks
from .file_writer import RecordingFile, check_folder, check_recordable, why_not_writable
from .options import FileSinkConfig
from .recording_format import RecordingFormat, recording_format
from .recording_time import START_PATTERN, RecordingTime, has_start, path_at
from .write_queue import QueuedBlock, WriteQueue

QUEUE_NS = 30_000_000_000
"""How long a disk may stall before frames are lost."""
QUEUE_BYTES = 256 << 20
"""Most memory for a stall, where `QUEUE_NS` needs more."""
_COPY_AHEAD_NS = 1_000_000_000
"""Most of an input that is faster than real time, and can wait, that waits in the queue."""
DRAIN_S = 4.0
"""How long a cancelled sink goes on writing its queue."""


class FileSink:
    """Records its sources bit for bit.

    A queue bridges a stalled disk. Started again after a failure, the sink records the rest of the queue, and all that
    follows, to a further file. The file is made when the first frame comes.
    """

    def __init__(self, config: FileSinkConfig, input: Input) -> None:
        path = os.path.abspath(config.path)
        self._named_by_time = has_start(path)
        self._path = path if self._named_by_time else path.format()
        if config.split is not None and not self._named_by_time:
            raise NodeError(
                "the files of a split recording need names by time",
                f"write {START_PATTERN} where the time belongs, such as stage-{START_PATTERN}.wav",
                option="path",
            )
        self._time = RecordingTime(input.format.rate, config.utc_offset, config.split)
        self._overwrite = config.overwrite
        self._input = input
        self._format: RecordingFormat = recording_format(self._path, config.format, config.subtype, input.format)
        self.encoding = self._format.encoding
        """The samples of the file: `kernel check` compares them with the input's."""
        self._check_path()
        rate = input.format.rate
        queue_bytes = QUEUE_BYTES // (4 * input.format.channels)
        self._queue_frames = max(1, min(frames_in(QUEUE_NS, rate), queue_bytes))
        self._copy_frames = max(1, frames_in(_COPY_AHEAD_NS, rate))
        self._queue = WriteQueue()
        self._recording: RecordingFile | None = None
        self._next: MediaPosition | None = None  # the frame that continues the file
        self._reserved: str | None = None  # the next file, until it is made
        self._failure: NodeError | None = None
        self._gave_up = False  # stopped, with frames that the disk did not accept in time
        self._stalled = False  # written by the data plane
        self._frames_in = 0  # written by the data plane
        self._frames_done = 0  # written by the control plane, as are the figures below
        self._frames_before = 0
        self._peak_before = 0.0
        self._overruns = 0

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Record until the input has ended and all of it is in a closed file.

        Cancelled, it still writes the queue, for up to `DRAIN_S`. Raises NodeError where the disk refuses.
        """
        self._failure = None
        self._queue.expect_blocks()
        await ctx.in_thread(partial(check_folder, self._first_folder()))
        if not ctx.shared(file_locks).was_written_by(self._path, ctx.id):
            await ctx.in_thread(self._check_path)
        # Raises where another node of the run has the file; a name by time is reserved before its time is known.
        path = self._path if self._named_by_time else self._next_path(ctx, self._path)
        ctx.shared(file_locks).add_writer(path, ctx.id)
        self._reserved = path
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                # The writer is shielded. It ends by an empty queue that has ended, by a failure, or by its deadline.
                writing = trio.CancelScope(shield=True)
                nursery.start_soon(self._write_queue, ctx, writing, nursery.cancel_scope)
                try:
                    await self._fill_queue(ctx)
                except BaseException:
                    writing.deadline = trio.current_time() + DRAIN_S
                    raise
                finally:
                    self._queue.end()
        finally:
            self._release_reserved(ctx)
            if self._failure is not None:
                raise self._failure

    async def _fill_queue(self, ctx: NodeContext) -> None:
        def append(frames: Frames, now_ns: int) -> None:
            position = self._input.media_position()
            if len(frames) and position is not None:
                self._frames_in += len(frames)
                ctx.call_soon(self._append, frames, replace(position, frame=position.frame - len(frames)))

        def must_wait() -> bool:
            # Frames that are not read now stay in the graph as long as its rings hold them, and are silence after that,
            # so that the recording keeps its time.
            waiting = self._frames_in - self._frames_done
            if waiting < (self._copy_frames if due.fast else self._queue_frames):
                self._stalled &= waiting >= self._queue_frames // 2
                return False
            if not due.fast and not self._stalled:
                self._stalled = True
                ctx.call_soon(self._report_overrun, ctx)
            return True

        due = DueFrames(self._input)
        await due.run(ctx, append, must_wait=must_wait)

    def _append(self, frames: Frames, position: MediaPosition) -> None:
        # Into parts of one file each.
        while len(frames):
            count = min(len(frames), self._time.frames_left(position) or len(frames))
            self._queue.append(QueuedBlock(frames[:count], position))
            frames, position = frames[count:], replace(position, frame=position.frame + count)

    def _report_overrun(self, ctx: NodeContext) -> None:
        self._overruns += 1
        ctx.event("overrun", file=self._file, queue_ns=duration_of(self._queue.frames, self._format.rate))

    async def _write_queue(self, ctx: NodeContext, writing: trio.CancelScope, reading: trio.CancelScope) -> None:
        recording: RecordingFile | None = None
        try:
            with writing:
                while (block := await self._queue.wait_first()) is not None:
                    if recording is None or not recording.fits(len(block)) or self._splits_before(block):
                        recording = await self._next_file(ctx, block.position)
                    await ctx.in_thread(partial(recording.append, block.frames))
                    self._next = replace(block.position, frame=block.position.frame + len(block))
                    self._queue.drop_first()
                    self._frames_done += len(block)
            if writing.cancelled_caught:
                self._gave_up = True
                ctx.event("unwritten", file=self._file, frames=self._queue.frames)
        except NodeError as error:
            self._failure = error
            reading.cancel()
        finally:
            with trio.CancelScope(shield=True):
                try:
                    await self._close_file(ctx)
                except NodeError as error:
                    self._failure = self._failure or error

    def _splits_before(self, block: QueuedBlock) -> bool:
        # A jump of media time ends a file too, so that the time of every frame follows from its file's start.
        if self._time.split_ns is None or self._next is None:
            return False
        begins_period = self._time.period(block.position) != self._time.period(
            replace(self._next, frame=self._next.frame - 1)
        )
        return begins_period or block.position != self._next

    async def _next_file(self, ctx: NodeContext, position: MediaPosition) -> RecordingFile:
        await self._close_file(ctx)
        if self._recording is not None:
            self._frames_before += self._recording.frames
            self._peak_before = max(self._peak_before, self._recording.peak)
            self._recording = None
        start = self._time.start(position)
        if self._named_by_time:
            self._release_reserved(ctx)
            path = self._next_path(ctx, path_at(self._path, start))
            await ctx.in_thread(partial(check_folder, path))
            ctx.shared(file_locks).add_writer(path, ctx.id)
            self._reserved = path
        elif self._reserved is None:
            self._reserved = self._next_path(ctx, self._path)
            ctx.shared(file_locks).add_writer(self._reserved, ctx.id)
        path = self._reserved
        info = None
        if position.timescale != "arb":
            info = broadcast_info(start, self._time.samples_since_midnight(position), os.path.basename(path))
        make = partial(RecordingFile, path, self._format, overwrite=self._overwrite, broadcast_info=info)
        self._recording = recording = await ctx.in_thread(make)
        self._reserved = None
        if path != self._path:
            ctx.event("new-file", file=path)
        return recording

    async def _close_file(self, ctx: NodeContext) -> None:
        recording = self._recording
        if recording is not None:
            try:
                await ctx.in_thread(recording.close)
            finally:
                if not recording.frames:  # the file is removed, and its name is free again
                    ctx.shared(file_locks).remove_writer(recording.path, ctx.id)
                    self._recording = None

    def _release_reserved(self, ctx: NodeContext) -> None:
        path, self._reserved = self._reserved, None
        if path is not None:
            ctx.shared(file_locks).remove_writer(path, ctx.id)

    def _next_path(self, ctx: NodeContext, path: str) -> str:
        # A file that this node has written in this run is never written again. An existing file is an error where the
        # graph names it, and a further take where media time does.
        locks: FileLocks = ctx.shared(file_locks)
        stem, suffix = os.path.splitext(path)
        take, candidate = 1, path
        while locks.was_written_by(candidate, ctx.id) or (
            (take > 1 or self._named_by_time) and not self._overwrite and os.path.lexists(candidate)
        ):
            take += 1
            candidate = f"{stem}-take-{take}{suffix}"
        return candidate

    def _check_path(self) -> None:
        if not self._named_by_time:
            check_recordable(self._path, overwrite=self._overwrite)

    def why_not_writable(self) -> str:
        """Why this user could not record now; empty if nothing is in the way."""
        return why_not_writable(self._first_folder())

    def _first_folder(self) -> str:
        # A path in the folder that does not depend on time.
        return self._path[: self._path.index("{")] + "-" if self._named_by_time else self._path

    @property
    def _file(self) -> str:
        return self._path if self._recording is None else self._recording.path

    def metrics(self) -> Metrics:
        """``frames_in``, ``overruns``, ``file``; and over all files of this run ``duration_s`` and ``peak_dbfs``.

        ``unwritten_frames`` wait for a disk that has refused them.
        ``file`` is the newest file, or the path of the first before it is made.
        """
        written, peak = self._frames_before, self._peak_before
        if self._recording is not None:
            written += self._recording.frames
            peak = max(peak, self._recording.peak)
        return {
            "frames_in": self._frames_in,
            "overruns": self._overruns,
            "unwritten_frames": self._queue.frames if self._gave_up or self._failure is not None else 0,
            "file": self._file,
            "duration_s": written / self._format.rate,
            "peak_dbfs": dbfs(peak),
        }


def make(config: FileSinkConfig, build: Build, input: Input) -> FileSink:
    """Raises NodeError for a path, format and subtype that do not go together, or a path that may not be written."""
    sink = FileSink(config, input)
    if reason := sink.why_not_writable():
        build.note(reason)
    return sink
