"""The clock ``nqptp``: reads the leader's time from the shared memory of nqptp, airptp, cliairplay, or ours."""

from __future__ import annotations

import trio

from phasegraph import TASK_STATUS_IGNORED, Build, ClockEstimate, LocalClock, Metrics, NodeContext
from phasegraph.ieee1588 import format_clock_identity

from ..attached.running_servers import AirptpReader, CliairplayReader, ClockRecordReader
from ..engine import LeaderClock
from ..filters import LeaderSync, SmoothedOffsetFilter
from .nqptp_record import MemoryNotServed, NqptpRecord
from .options import NqptpConfig
from .shared_memory import MemoryReader

LOOK_NS = 100_000_000
SILENCE_NS = 2_000_000_000
_SETTLED_NS = 400_000_000
"""How long a grandmaster must have been one before its time is used, as receivers do."""
_RECENT_NS = 10_000_000_000


def _reader_of(config: NqptpConfig, local: LocalClock) -> ClockRecordReader:
    match config.server:
        case "airptp":
            return AirptpReader(local, config.directory)
        case "cliairplay":
            return CliairplayReader(local, config.directory)
    return MemoryReader(config.name, config.directory)


class NqptpClock:
    """Reads only. nqptp follows the peers that its own clients name, while they play."""

    def __init__(self, config: NqptpConfig, build: Build) -> None:
        self._local = build.local
        self._memory = _reader_of(config, build.local)
        self._tracker = LeaderClock(
            lambda: SmoothedOffsetFilter(config.bound), silence_ns=SILENCE_NS, now_ns=build.local.now_ns()
        )
        self._last = NqptpRecord()
        self._unserved = ""
        self._torn = 0
        self._elsewhen = 0

    def estimate(self) -> ClockEstimate:
        """See `ClockSource.estimate`."""
        return self._tracker.estimate

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        return {
            "served": int(not self._unserved),
            "known": int(self._last.clock != 0),
            "reads_torn": self._torn,
            "records_elsewhen": self._elsewhen,
            "samples_misfit": self._tracker.misfits,
        }

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """See `Node.run`. A memory that is not there yet is waited for."""
        task_status.started()
        while True:
            self._look(ctx)
            self._tracker.publish(self._local.now_ns())
            await ctx.sleep(LOOK_NS)

    def _look(self, ctx: NodeContext) -> None:
        try:
            record, unserved = self._memory.read_record(), ""
        except MemoryNotServed as reason:
            record, unserved = NqptpRecord(), str(reason)
        if unserved != self._unserved:
            ctx.event("unserved" if unserved else "served", reason=unserved)
            self._unserved = unserved
        if record is None:
            self._torn += 1
        elif record != self._last:
            self._take(record, ctx)

    def _take(self, record: NqptpRecord, ctx: NodeContext) -> None:
        before, self._last = self._last, record
        if record.clock != before.clock:
            leader = format_clock_identity(record.clock) if record.clock else ""
            ctx.event("following", leader=leader)
            self._tracker.set_leader(leader, own=False)
        if not record.clock or record.local_ns - record.since_ns < _SETTLED_NS:
            return
        if not 0 <= self._local.now_ns() - record.local_ns <= _RECENT_NS:
            self._elsewhen += 1  # written long ago, or by another clock than ours, as in a time namespace
            return
        local_ns, told_ns = record.local_ns, record.local_ns + record.offset_ns
        self._tracker.add_sample(LeaderSync(origin_ns=told_ns, correction=0, arrived_ns=local_ns, told_ns=local_ns))
