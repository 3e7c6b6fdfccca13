"""A ptp4l that is not one: the same socket and answers, with a grandmaster whose time is known."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio

from phasegraph import StampKind
from phasegraph.ieee1588 import Management, PortIdentity
from phasegraph.testing import REALTIME_EPOCH_NS, SimLocalClock, true_now_ns
from phasegraph_ptp.protocol.data_sets import (
    ClockQuality,
    CurrentDS,
    DataSets,
    DefaultDS,
    ParentDS,
    PortDS,
    PortState,
    TimeProperties,
)
from phasegraph_ptp.protocol.management_data import ManagementView
from phasegraph_ptp.protocol.management_responder import answer
from phasegraph_ptp.protocol.settings import DelayMechanism, Settings
from phasegraph_ptp.unix_management import serve_management

OWN = 0x001D_C1FF_FE12_3456
GRANDMASTER = 0xACDE_48FF_FE23_4567
SYNC_S = 0.125
_QUALITY = ClockQuality(248, 0xFE, 0xFFFF)


class FakePtp4l:
    """Follows a grandmaster that is ``ahead_ns`` of true time, by software stamps of a simulated machine.

    Everything may be changed while it runs.
    """

    def __init__(self, local: SimLocalClock, path: Path) -> None:
        self.path = path
        self.own = OWN
        self.local = local
        self.ahead_ns = 37_000_000_000 + 5_000_000
        self.grandmaster = GRANDMASTER
        self.state = PortState.SLAVE
        self.properties = TimeProperties(utc_offset_s=37, ptp_timescale=True)
        self.mean_delay_ns = 15_000.0
        self.noise_ns = 0.0
        self.answering = True
        self.stamps = StampKind.KERNEL
        self.interface = "eth0"
        self._random = random.Random(1)
        self._current = CurrentDS()

    def true_reference(self, true_ns: int) -> int:
        """The grandmaster's time at a true time."""
        return REALTIME_EPOCH_NS + true_ns + self.ahead_ns

    def stamp(self) -> int:
        """What its clock shows now; to be replaced where it stamps in hardware."""
        return self.local.now_ns() + self.local.realtime_offset_ns()

    def sync(self) -> None:
        """A Sync comes in now."""
        stamp = self.stamp()
        utc = self.stamps is not StampKind.HARDWARE and self.properties.ptp_timescale
        offset = stamp + 37_000_000_000 * utc - self.true_reference(true_now_ns())
        self._current = CurrentDS(
            steps_removed=1,
            offset_from_master_ns=offset + round(self._random.gauss(0, self.noise_ns)),
            mean_delay_ns=self.mean_delay_ns,
            ingress_ns=stamp,
        )

    def switch(self, grandmaster: int, by_ns: int) -> None:
        """It follows another grandmaster, which is so far ahead of the one before."""
        self.grandmaster = grandmaster
        self.ahead_ns += by_ns
        self._current = msgspec.structs.replace(self._current, ingress_ns=0)

    def answers(self, request: Management) -> Iterable[Management]:
        """What it answers, by our own server."""
        reply = answer(request, self.view()) if self.answering else None
        return () if reply is None else (reply,)

    def view(self) -> ManagementView:
        """Its data sets."""
        us = PortIdentity(OWN, 1)
        return ManagementView(
            data=DataSets(
                default=DefaultDS(
                    clock_identity=OWN,
                    quality=_QUALITY,
                    priority1=128,
                    priority2=128,
                    domain=0,
                    sdo=0,
                    slave_only=False,
                ),
                current=self._current,
                parent=ParentDS(
                    port=PortIdentity(self.grandmaster, 1),
                    address="",
                    grandmaster=self.grandmaster,
                    grandmaster_quality=_QUALITY,
                    grandmaster_priority1=128,
                    grandmaster_priority2=128,
                ),
                time_properties=self.properties,
                port=PortDS(
                    port=us,
                    state=self.state,
                    settings=Settings(
                        log_min_delay_req_interval=-3,
                        log_min_pdelay_req_interval=0,
                        log_announce_interval=1,
                        log_sync_interval=-3,
                        announce_receipt_timeout=3,
                        delay_mechanism=DelayMechanism.E2E,
                        minor_version=0,
                    ),
                    mean_link_delay_ns=0.0,
                ),
            ),
            interface=self.interface,
            stamps=self.stamps,
        )

    async def syncs(self) -> None:
        """Syncs come until cancelled."""
        while True:
            if self.state in (PortState.SLAVE, PortState.UNCALIBRATED):
                self.sync()
            await trio.sleep(SYNC_S)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be there, until `stop`."""
        async with trio.open_nursery() as nursery:
            self.stop = nursery.cancel_scope.cancel
            nursery.start_soon(self.syncs)
            await nursery.start(partial(serve_management, self.path, self.answers, Counter()))
            task_status.started()


@pytest.fixture
def local() -> SimLocalClock:
    """The machine's: 20 ppm slow."""
    return SimLocalClock(ppm=-20)


@pytest.fixture
async def ptp4l(local: SimLocalClock, tmp_path: Path, nursery: trio.Nursery) -> FakePtp4l:
    """It runs, with software stamps that are a microsecond off."""
    fake = FakePtp4l(local, tmp_path / "ptp4l")
    fake.noise_ns = 1000.0
    await nursery.start(fake.run)
    return fake
