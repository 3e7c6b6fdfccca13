"""Hours at eight Syncs a second: nothing grows, nothing is lost, and the rhythm does not drift.

Two engines hand each other their messages, without heap, links or codec. One hour is run; PHASEGRAPH_PTP_HOURS asks for
more (a day takes about a minute, and its sequence numbers come around ten times).
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import pytest

from phasegraph import ClockEstimate, StampKind
from phasegraph.ieee1588 import PortIdentity
from phasegraph_ptp.measurements import DelaySample, SyncSample
from phasegraph_ptp.protocol import (
    NewMeasurement,
    OrdinaryClock,
    PortRole,
    PortState,
    SendMessage,
    Settings,
    TimeProperties,
)

from ..held import objects_of
from .node import TAI_NS, S

HOURS = float(os.environ.get("PHASEGRAPH_PTP_HOURS", "1"))
PATH_NS = 20_000


class Couple:
    """A grandmaster and a follower. Both count local time alike; the grandmaster tells TAI."""

    def __init__(self) -> None:
        gm = Settings(role=PortRole.GRANDMASTER, log_announce_interval=1, log_sync_interval=-3)
        self.clocks = [
            OrdinaryClock(settings, identity=PortIdentity(number, 1), now_ns=0, random=Random(number))
            for number, settings in enumerate((gm, Settings(log_min_delay_req_interval=-3)), 1)
        ]
        estimate = ClockEstimate(local_ns=0, reference_ns=TAI_NS)
        for clock in self.clocks:
            clock.serve(estimate, TimeProperties())
        self.samples: Counter[type] = Counter()
        self.wrong = 0
        self.last_sync_ns = 0

    def run(self, until_ns: int) -> None:
        while (now_ns := min(clock.deadline_ns for clock in self.clocks)) <= until_ns:
            for number, clock in enumerate(self.clocks):
                if clock.deadline_ns <= now_ns:
                    clock.tick(now_ns)
                    self.obey(number, now_ns)

    def obey(self, number: int, now_ns: int) -> None:
        clock, other = self.clocks[number], self.clocks[1 - number]
        for action in clock.actions():
            if isinstance(action, SendMessage):
                source = f"10.0.0.{number}"
                arrival_ns = now_ns + PATH_NS
                other.handle_message(
                    action.message, source=source, unicast=False, local_ns=arrival_ns, stamp=StampKind.KERNEL
                )
                if action.token is not None:
                    clock.message_departed(action.token, now_ns, StampKind.KERNEL)
                    self.obey(number, now_ns)
                self.obey(1 - number, arrival_ns)
            elif isinstance(action, NewMeasurement):
                self.count(action.sample)

    def count(self, sample: object) -> None:
        self.samples[type(sample)] += 1
        if isinstance(sample, SyncSample):
            self.last_sync_ns = sample.local_ns
            self.wrong += TAI_NS + sample.local_ns - sample.reference_ns != PATH_NS
        elif isinstance(sample, DelaySample):
            self.wrong += sample.reference_ns - TAI_NS - sample.local_ns not in (PATH_NS, 2 * PATH_NS)


@pytest.mark.slow
def test_hours() -> None:
    couple = Couple()
    couple.run(600 * S)
    gm, follower = couple.clocks
    assert (gm.state, follower.state) == (PortState.MASTER, PortState.SLAVE)
    sizes = [objects_of(clock) for clock in couple.clocks]
    syncs, began_ns = couple.samples[SyncSample], couple.last_sync_ns
    end_ns = round(HOURS * 3600) * S
    couple.run(end_ns)
    lasted_s = (end_ns - 600 * S) // S
    assert couple.samples[SyncSample] - syncs == 8 * lasted_s
    assert couple.last_sync_ns - began_ns == lasted_s * S
    assert couple.samples[DelaySample] > 0.9 * lasted_s  # as often as the grandmaster wants
    assert couple.wrong == 0
    assert follower.state is PortState.SLAVE
    assert not any(name.startswith(("dropped", "missed")) for name in gm.counters)
    assert follower.counters.get("missed_delay_resp", 0) == 0
    # A few requests more may be under way, not one object per hour.
    for clock, size in zip(couple.clocks, sizes, strict=True):
        assert abs(objects_of(clock) - size) < 40
