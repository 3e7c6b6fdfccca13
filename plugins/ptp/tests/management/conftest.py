"""A clock whose every figure is different."""

from __future__ import annotations

import pytest

from phasegraph import StampKind
from phasegraph.ieee1588 import MessageType, PortIdentity
from phasegraph_ptp.protocol.data_sets import (
    ClockQuality,
    CurrentDS,
    DataSets,
    DefaultDS,
    ParentDS,
    PortDS,
    PortState,
    Settings,
    TimeProperties,
)
from phasegraph_ptp.protocol.management_data import ClockDescription, ManagementView
from phasegraph_ptp.protocol.settings import DelayMechanism

US = PortIdentity(0x001D_C1FF_FE12_3456, 1)
MASTER = PortIdentity(0xACDE_48FF_FE23_4567, 5)


@pytest.fixture
def view() -> ManagementView:
    """A follower in domain 3."""
    return ManagementView(
        data=DataSets(
            default=DefaultDS(
                clock_identity=US.clock,
                quality=ClockQuality(248, 0xFE, 0x4E5D),
                priority1=101,
                priority2=102,
                domain=3,
                sdo=0,
                slave_only=True,
            ),
            current=CurrentDS(
                steps_removed=2, offset_from_master_ns=-1234.5, mean_delay_ns=15_000.25, ingress_ns=1_000_000_000_001
            ),
            parent=ParentDS(
                port=MASTER,
                address="10.0.0.1",
                grandmaster=0x0011_2233_4455_6677,
                grandmaster_quality=ClockQuality(6, 0x21, 0x1234),
                grandmaster_priority1=103,
                grandmaster_priority2=104,
            ),
            time_properties=TimeProperties(
                utc_offset_valid=True, leap61=True, frequency_traceable=True, time_source=0x20
            ),
            port=PortDS(
                port=US,
                state=PortState.SLAVE,
                settings=Settings(
                    log_min_delay_req_interval=-2,
                    log_min_pdelay_req_interval=-1,
                    log_announce_interval=1,
                    log_sync_interval=-3,
                    announce_receipt_timeout=4,
                    delay_mechanism=DelayMechanism.P2P,
                    minor_version=1,
                ),
                mean_link_delay_ns=2.5,
            ),
        ),
        description=ClockDescription(
            mac=bytes.fromhex("001dc1123456"), address=bytes((10, 0, 0, 2)), user="stage left", revision="a;b;c"
        ),
        interface="eth0",
        stamps=StampKind.HARDWARE,
        received={MessageType.SYNC: 8, MessageType.ANNOUNCE: 0x1_0000_0001},
        sent={MessageType.DELAY_REQ: 7},
    )
