"""A simulated network source: a sender on the grandmaster's time, whose packets arrive as the scenario's network lets
them."""

from __future__ import annotations

import bisect

import numpy as np
import trio
from numpy.typing import NDArray

from ..._core.clock import NS_PER_S, duration_of
from ..._core.node import Metrics, NodeContext
from ..._core.stream import Stream
from ..grandmaster import Grandmaster
from ..local_clock import SimLocalClock, true_now_ns
from ..packet_arrivals import PACKETS, PacketArrivals
from ..tone_signal import ToneSignal

_STRETCH_NS = 4 * NS_PER_S
"""Packets of this much time are drawn at once."""
_BIN_NS = 10_000
_BINS = 100_000


class PacketSchedule:
    """When a sender that is exactly on the grandmaster's time sends each packet.

    Packet p holds the frames from p * size on. It is sent when the grandmaster shows that it is full.
    """

    def __init__(self, grandmaster: Grandmaster, rate: int, size: int) -> None:
        self.size = size
        """Frames of a packet."""
        self._grandmaster = grandmaster
        self._rate = rate
        self._packet: int | None = None

    def packets_between(self, begin_ns: int, end_ns: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The packets of a stretch of true time: their first frames, and the true times at which they are sent.

        When another grandmaster takes over, the packets follow its time: a step of up to one packet only moves the
        times at which they are sent, a larger step leaves packets out or repeats some.
        """
        frames, sent = [], []
        for begin, end, offset in self._grandmaster.pieces(begin_ns, end_ns):
            first, after = self._number(begin + offset), self._number(end + offset)
            if self._packet is not None and abs(first - self._packet) <= 1:
                first = self._packet
            count = max(0, after - first)
            due = self._full_at(first) - offset + np.arange(count, dtype=np.int64) * self.size * NS_PER_S // self._rate
            frames.append((first + np.arange(count, dtype=np.int64)) * self.size)
            sent.append(np.clip(due, begin, end))
            self._packet = first + count
        return np.concatenate(frames), np.concatenate(sent)

    def _number(self, reference_ns: int) -> int:
        # The first packet that is full at a reference time or later.
        return -(-reference_ns * self._rate // (self.size * NS_PER_S)) - 1

    def _full_at(self, packet: int) -> int:
        return (packet + 1) * self.size * NS_PER_S // self._rate


class SimulatedSource:
    """Writes arriving packets into the stream that the real source has made, and counts them as a receiver does."""

    def __init__(
        self,
        stream: Stream,
        schedule: PacketSchedule,
        arrivals: PacketArrivals,
        local: SimLocalClock,
        signal: ToneSignal,
    ) -> None:
        self.stream = stream
        stream.on_read = lambda: None  # packets carry the sender's time, whatever the clock of this graph shows
        self._schedule = schedule
        self._arrivals = arrivals
        self._local = local
        self._signal = signal
        self._packet_ns = duration_of(schedule.size, stream.format.rate)
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
        ctx.attach(self._keep_up)
        task_status.started()
        await trio.sleep_forever()

    def _keep_up(self, local_ns: int) -> int:
        self.receive_until(true_now_ns())
        return local_ns + _STRETCH_NS // 4

    def receive_until(self, now: int) -> None:
        """Write the packets that a receiver which polls once a quantum has found at a true time.

        A reader of the stream calls this first: between reads the stream need not be up to date.
        """
        while self._sent_until <= now:
            self._draw_stretch(self._sent_until)
        now -= (now - self._began_ns) % self._quantum_ns
        until = bisect.bisect_right(self._times, now, self._at)
        begin, size = self._at, self._schedule.size
        while begin < until:
            # A run of packets that follow each other, nearly always all of them.
            end, first = until, self._frames[begin]
            if self._frames[end - 1] - first != (end - 1 - begin) * size:
                end = begin + 1
                while end < until and self._frames[end] == self._frames[end - 1] + size:
                    end += 1
            count = (end - begin) * size
            self.stream.ring.write(first, self._signal.encoded(first, count))
            self.stream.mark_written(first, first + count, self._local_times[end - 1])
            begin = end
        self._at = until

    def _draw_stretch(self, begin_ns: int) -> None:
        self._sent_until = begin_ns + _STRETCH_NS
        self._count_arrived()
        frames, sent = self._schedule.packets_between(begin_ns, self._sent_until)
        fresh = self._arrivals.carry(frames, sent, self._packet_ns)
        self._packets = np.concatenate([self._packets[self._at :], fresh])
        self._at = self._counted = 0
        self._times, self._frames = self._packets["arrival"].tolist(), self._packets["frame"].tolist()
        self._local_times = self._local.at_array(self._packets["arrival"]).tolist()

    def _count_arrived(self) -> None:
        # The packets that have arrived since the last call.
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
        """See `Node.metrics`: the metrics that the contract asks of every network source."""
        self.receive_until(true_now_ns())
        self._count_arrived()
        seen = np.cumsum(self._lateness)
        p50, p99 = (int(np.searchsorted(seen, share * seen[-1])) * _BIN_NS + _BIN_NS // 2 for share in (0.5, 0.99))
        return {
            **{f"packets_{name}": count for name, count in self._counts.items()},
            "frames_concealed": (self._counts["lost"] + self._counts["late"]) * self._schedule.size,
            "lateness_p50_ns": min(p50, self._latest_ns),
            "lateness_p99_ns": min(p99, self._latest_ns),
            "lateness_max_ns": self._latest_ns,
        }
