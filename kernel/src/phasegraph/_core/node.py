"""Nodes, and what the kernel gives them.

A node is made once, from its configuration and a `Build`, without side effects; its ``run`` does the work and
ends by being cancelled (clocks, sources) or when its input has ended and everything is written (sinks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec
import numpy as np
import trio
from numpy.typing import NDArray

from .clock import ClockEstimate
from .localtime import LocalClock
from .samples import Encoding, Frames
from .stream import ClockReader, Stream, StreamFormat

if TYPE_CHECKING:
    from ..net import Network

T = TypeVar("T")
_NEVER_NS = 1 << 60


class _IgnoredTaskStatus:
    def started(self, value: object = None) -> None:
        """As trio's."""


TASK_STATUS_IGNORED: trio.TaskStatus[None] = _IgnoredTaskStatus()
"""The default of ``task_status``: as ``trio.TASK_STATUS_IGNORED``, which would import trio where a node is defined."""

Metric = int | float | str
Metrics = Mapping[str, Metric]
"""Names carry their unit: ``offset_ns``, ``buffer_frames``."""
Step = Callable[[int], int]
"""A node's part of the data plane: given local time, does the work that is due and returns when to be called next.

The work of one call is bounded: other nodes wait for it."""
RawSampleReader = Callable[[int, NDArray[np.uint8]], NDArray[np.bool_]]
"""Given the sink's frame and an array (frames, channels, bytes of a sample), fills in samples as they were received.

Returns of which frames and channels; for the others `Input.read` has all that there is to know.
"""


class MediaPosition(msgspec.Struct, frozen=True, gc=False):
    """A place in media time: a frame of a stream, counted from the epoch of its clock."""

    frame: int
    """Absolute frame index; the link offset is not part of it."""
    timescale: str
    """What the clock counts: ``ptp`` (TAI), ``utc`` or ``arb``."""


class Build(Protocol):
    """The services of a factory. None has a side effect on files or the network."""

    id: str
    """The node's id in the graph."""
    local: LocalClock

    def clock(self, id: str | None) -> ClockReader:
        """The clock with this id; with None the graph's only clock.

        Raises NodeError if the graph has none, or several.
        """

    def read_text(self, path: str) -> str:
        """Contents of an input file, or the text that another node of this graph provides under that path."""

    def provide(self, path: str, text: str) -> None:
        """Announce the text that this node will write to an output file, for nodes of the same graph that read it."""

    def note(self, text: str) -> None:
        """A sentence about what is odd and no error; ``kernel check`` prints it."""


class Input(Protocol):
    """The input of a sink: the frames of its sources, side by side, in the sink's own order of frames."""

    @property
    def format(self) -> StreamFormat:
        """Rate, channels in all, and an encoding that holds every source."""

    @property
    def ready(self) -> bool:
        """Whether reading can begin: False while a file or tone has not delivered its first frames."""

    @property
    def can_read_ahead(self) -> bool:
        """Whether every source is paced by the sink (files, tones), so that reading ahead loses nothing."""

    def read_due(self, local_ns: int, limit: int) -> Frames | None:
        """For a sink without a clock: up to ``limit`` frames that have become due by ``local_ns``, in sequence.

        Gaps are silence. The array is the caller's to keep. Empty when nothing is due; None when the input has ended
        and all of it was taken.
        """

    def skip_due(self, local_ns: int, limit: int) -> int | None:
        """As `read_due`, for a sink that needs only the number of frames."""

    def media_position(self) -> MediaPosition | None:
        """Of the next frame that `read_due` returns; None while that is unknown.

        Frames of an input without a clock count from 0, on timescale ``arb``. To be called by the step that reads.
        """

    def read(self, frame: int, out: Frames, local_ns: int) -> int:
        """For a sink with a clock: fill ``out`` with the sound from its frame ``frame`` on.

        ``local_ns`` is the local time at which that frame sounds. Returns how many of the frames come before the
        input's end: fewer than ``len(out)`` means the last ones.
        """

    def raw_samples(self, encoding: Encoding, together: int = 1) -> RawSampleReader | None:
        """A reader of samples as they were received, beside `read`. None where there are none.

        It reads the channels that are copied from streams of this encoding.

        ``together`` says how many neighbouring channels belong together (2: AES3 pairs). Those that a channel map has
        parted or turned round are left out.
        """

    def available(self, frame: int) -> int:
        """How many frames from the sink's frame ``frame`` on have already arrived."""

    def note_loss(self, frames: int) -> None:
        """For a sink with a clock: about this many frames that were read have passed unplayed (an xrun).

        The times of later frames may be off by more than usual, and the next `read` takes that into account.
        """

    def set_device(self, device: str) -> None:
        """For a sink with a clock of its own: name the device, the same from run to run, before the first `read`.

        Its compensator then begins with the rate of the device that earlier runs have measured.
        """


class NodeContext(Protocol):
    """The services of a running node."""

    id: str
    local: LocalClock
    network: Network
    log: Any
    """A structlog logger bound to the node. Never used on the sample path."""

    def attach(self, step: Step) -> Callable[[], None]:
        """Join the data plane until ``run`` ends: ``step`` is called from the engine's thread.

        Returns a function for any thread: it has the step called soon, whenever it asked to be called.
        """

    def quantum_ns(self) -> int:
        """How often the data plane should read the network, given the latency that the graph allows."""

    def give_up_priority(self, reason: str) -> None:
        """The run keeps no real-time priority until its end: the node depends on a program that has none."""

    def shared(self, make: Callable[[NodeContext], T]) -> T:
        """One object per run and maker, which all nodes of a kind share, such as their sockets.

        It is closed by its ``close``. Where one of its steps fails, all nodes that use it have failed.
        """

    def call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """From a step: call a function on the control plane, soon, in order."""

    async def sleep(self, duration_ns: int) -> None:
        """Wait, in real or virtual time."""

    async def in_thread(
        self, work: Callable[[], T], *, abandon: bool = False, too_late: Callable[[T], object] | None = None
    ) -> T:
        """Do blocking work (files) without delaying the run; inline where time is virtual.

        Cancellation waits until the work is done: what it uses may be closed after it. Only a run that is ended at
        once (by a second signal) leaves the work's thread behind.

        ``abandon`` is for a call that may never return (a sound server, a pipe): cancellation leaves its thread behind
        at once. What the call uses must then stay open. ``too_late`` gets the result of a call that returns after it
        was left, in the call's own thread, to release what it holds. Raises NodeError where too many earlier calls of
        the node have not returned.
        """

    def event(self, name: str, **fields: Metric) -> None:
        """Emit an event: it goes to the log (limited in lines), the report and observing plugins."""

    def trace(self, record: str, **fields: Metric) -> None:
        """Write a line of the trace, where there is one."""


class Node(Protocol):
    """Anything that the kernel runs."""

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Do the node's work. Calls ``task_status.started()`` once, when it is ready."""

    def metrics(self) -> Metrics:
        """The node's figures now. Cheap; may be called at any time, from the control plane."""


class ClockSource(Node, Protocol):
    """A node that knows a reference time."""

    def estimate(self) -> ClockEstimate:
        """The newest snapshot; never waits. Before the first observation it is ``unlocked``."""


class Source(Node, Protocol):
    """A node that offers a stream."""

    stream: Stream


class Sink(Node, Protocol):
    """A node that plays an input. ``run`` returns when the input has ended and all of it is out."""


class LiveNode(Node, Protocol):
    """A node with options that can change while it runs (`Live`)."""

    def change_options(self, config: Any) -> None:
        """Take new options, of which only live ones differ. Called on the control plane; steps see a published value
        at their next call. It does not fail: what could go wrong is checked by ``accepts_options``."""


class CountingNode(Node, Protocol):
    """A node whose `Node.metrics` take more than a few microseconds. A run samples counters each second."""

    def counters(self) -> Metrics:
        """Those of the metrics that count something since the start, alone: the same names and values."""


def read_counters(node: Node) -> Metrics:
    """Metrics of a node with its counters among them: its own ``counters()`` alone, where it has that."""
    read: Callable[[], Metrics] = getattr(node, "counters", node.metrics)
    return read()


def accepts_options(node: Node, config: Any) -> bool:
    """Whether a node can take these options while it runs: its own ``accepts_options(config)``, where it has one."""
    accepts = getattr(node, "accepts_options", None)
    return hasattr(node, "change_options") and (accepts is None or bool(accepts(config)))


async def run_until_end(
    ctx: NodeContext, step: Callable[[int], int | None], task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED
) -> None:
    """Attach a step, say that the node is ready, and return when the step has returned None: its input has ended."""
    ended = trio.Event()

    def step_until_end(local_ns: int) -> int:
        due_ns = None if ended.is_set() else step(local_ns)
        if due_ns is None:
            ctx.call_soon(ended.set)
            return local_ns + _NEVER_NS
        return due_ns

    ctx.attach(step_until_end)
    task_status.started()
    await ended.wait()


def path_in(folder: Path, text: str) -> str:
    """A path of a graph made absolute: relative to the graph's folder."""
    return str((folder / text).resolve())
