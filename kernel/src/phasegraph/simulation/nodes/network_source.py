"""A simulated network source: the packets of a stream arrive as the scenario's network lets them."""

from __future__ import annotations

import bisect

import numpy as np
import trio
from numpy.typing import NDArray

from ..._core.clock import NS_PER_S, duration_of
from ..._core.node import Metrics, NodeContext
from ..._core.stream import Stream
from ..local_clock import SimLocalClock, true_now_ns
from ..media_sender import Sender
from ..packet_arrivals import PACKETS, Arrivals
from ..signals import Signal

_STRETCH_NS = 4 * NS_PER_S
"""So much is sent at a time."""
_BIN_NS = 10_000
_BINS = 100_000


class SimulatedSource:
    """Writes what arrives into the stream that the real source has made, and counts what a receiver would."""

    def __init__(
        self, stream: Stream, sender: Sender, arrivals: Arrivals, local: SimLocalClock, signal: Signal
    ) -> None:
        self.stream = stream
        stream.on_read = lambda: None  # packets have the sender's time here, whatever becomes of the clock
        self._sender = sender
        self._arrivals = arrivals
        self._local = local
        self._signal = signal
        self._lasts_ns = duration_of(sender.size, stream.format.rate)
        self._quantum_ns = 1
        self._began_ns = self._sent_until = 0
        self._packets: NDArray[np.void] = np.zeros(0, PACKETS)
        self._times: list[int] = []
        self._local_times: list[int] = []
        self._frames: list[int] = []
        self._at = 0
        self._counted = 0
        self._counts = dict.fromkeys(("received", "lost", "late", "early", "duplicate", "reordered", "malformed"), 0)
        self._lateness: NDArray[np.int64] = np.zeros(_BINS, np.int64)
        self._latest_ns = 0

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        self._quantum_ns = ctx.quantum_ns()
        self._began_ns = self._sent_until = true_now_ns()
        ctx.attach(self._step)
        task_status.started()
        await trio.sleep_forever()

    def _step(self, local_ns: int) -> int:
        self.look(true_now_ns())
        return local_ns + _STRETCH_NS // 4

    def look(self, now: int) -> None:
        """Find what a receiver that looks once a quantum has found by a true time.

        Whoever reads the stream calls this before: what is not looked at needs not be brought up to date.
        """
        while self._sent_until <= now:
            self._send(self._sent_until)
        now -= (now - self._began_ns) % self._quantum_ns
        until = bisect.bisect_right(self._times, now, self._at)
        begin, size = self._at, self._sender.size
        while begin < until:
            # As many as simply follow each other, nearly always all of them.
            end, first = until, self._frames[begin]
            if self._frames[end - 1] - first != (end - 1 - begin) * size:
                end = begin + 1
                while end < until and self._frames[end] == self._frames[end - 1] + size:
                    end += 1
            self._write(first, (end - begin) * size, self._local_times[end - 1])
            begin = end
        self._at = until

    def _write(self, first: int, count: int, arrived_ns: int) -> None:
        self.stream.ring.write(first, self._signal.encoded(first, count))
        self.stream.mark_written(first, first + count, arrived_ns)

    def _send(self, begin_ns: int) -> None:
        self._sent_until = begin_ns + _STRETCH_NS
        self._count()
        frames, sent = self._sender.send(begin_ns, self._sent_until)
        fresh = self._arrivals.carry(frames, sent, self._lasts_ns)
        self._packets = np.concatenate([self._packets[self._at :], fresh])
        self._at = self._counted = 0
        self._times, self._frames = self._packets["arrival"].tolist(), self._packets["frame"].tolist()
        self._local_times = self._local.at_array(self._packets["arrival"]).tolist()

    def _count(self) -> None:
        # What has arrived since the last time.
        fresh, self._counted = self._packets[self._counted : self._at], self._at
        if not len(fresh):
            return
        late = fresh["late"]
        twice = int(np.count_nonzero(fresh["twice"]))
        self._counts["received"] += len(fresh) + twice
        self._counts["duplicate"] += twice
        self._counts["lost"] += int(fresh["lost"].sum())
        self._counts["late"] += int(np.count_nonzero(late > self.stream.playout_delay_ns))
        self._counts["reordered"] += int(np.count_nonzero(fresh["overtaken"]))
        self._lateness += np.bincount(np.clip(late // _BIN_NS, 0, _BINS - 1), minlength=_BINS)
        self._latest_ns = max(self._latest_ns, int(late.max()))

    def metrics(self) -> Metrics:
        """See `Node.metrics`: what the contract asks of every network source."""
        self.look(true_now_ns())
        self._count()
        seen = np.cumsum(self._lateness)
        p50, p99 = (int(np.searchsorted(seen, share * seen[-1])) * _BIN_NS + _BIN_NS // 2 for share in (0.5, 0.99))
        return {
            **{f"packets_{name}": count for name, count in self._counts.items()},
            "frames_concealed": (self._counts["lost"] + self._counts["late"]) * self._sender.size,
            "lateness_p50_ns": min(p50, self._latest_ns),
            "lateness_p99_ns": min(p99, self._latest_ns),
            "lateness_max_ns": self._latest_ns,
        }
