"""The data sets, as management reads them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from phasegraph import ClockState
from phasegraph.ieee1588 import Flag, FollowUp, PathTrace, Sync
from phasegraph_ptp.protocol import ClockQuality, PortRole, PortState, Settings, TimeProperties

from .bench import ESTIMATE, GM, GM_ADDRESS, US, Bench, S

BOUNDARY = 0x02_00_00_00_00_00_00_CC


def slave(**settings: object) -> Bench:
    """Follows a grandmaster two clocks away, whose Syncs take 3 us; the answers to it take none."""
    bench = Bench(Settings(log_min_delay_req_interval=-3, **settings))
    bench.now_ns = S
    trace = PathTrace((0xAAAA, BOUNDARY, GM.clock)).to_tlv()
    bench.announced(
        log_interval=8,
        grandmaster=0xAAAA,
        steps_removed=2,
        priority1=1,
        priority2=2,
        clock_class=6,
        clock_accuracy=0x21,
        clock_variance=3,
        flags=Flag.PTP_TIMESCALE | Flag.UTC_OFFSET_VALID | Flag.LEAP_59,
        utc_offset_s=36,
        tlvs=(trace,),
    )
    bench.answers = lambda send: True
    for sequence in range(40):
        bench.at(bench.now_ns + S // 8)
        bench.receive(Sync(source=GM, sequence=sequence, flags=Flag.TWO_STEP))
        bench.receive(FollowUp(source=GM, sequence=sequence, precise_origin_ns=bench.now_ns - 3000))
    return bench


def test_of_a_slave() -> None:
    data = slave().clock.data
    assert data.current.steps_removed == 3
    assert data.current.mean_delay_ns == pytest.approx(1500)
    assert data.parent.port == GM
    assert (data.parent.address, data.parent.grandmaster) == (GM_ADDRESS, 0xAAAA)
    assert (data.parent.grandmaster_priority1, data.parent.grandmaster_priority2) == (1, 2)
    assert data.parent.grandmaster_quality == ClockQuality(6, 0x21, 3)
    assert data.time_properties == TimeProperties(utc_offset_s=36, utc_offset_valid=True, leap59=True)
    assert data.path_trace == (0xAAAA, BOUNDARY, GM.clock, US.clock)
    assert data.default.slave_only
    assert data.default.quality.clock_class == 255
    assert data.port.state is PortState.SLAVE
    assert data.grandmaster_present


def test_the_offset_is_measured_against_a_known_time_only() -> None:
    bench = slave()
    assert bench.clock.data.current.ingress_ns == bench.now_ns
    estimate = replace(ESTIMATE, reference_ns=40)  # 40 ns ahead of the grandmaster, which tells local time
    for state, offset_ns in ((ClockState.UNLOCKED, 0), (ClockState.LOCKED, 40 + 3000 - 1500)):
        bench.clock.serve(replace(estimate, state=state), TimeProperties())
        assert bench.clock.data.current.offset_from_master_ns == pytest.approx(offset_ns)


def test_the_asymmetry_is_part_of_the_offset_and_not_of_the_delay() -> None:
    bench = slave(asymmetry_ns=1500)
    bench.clock.serve(replace(ESTIMATE, reference_ns=0, state=ClockState.LOCKED), TimeProperties())
    current = bench.clock.data.current
    assert current.mean_delay_ns == pytest.approx(1500)
    assert current.offset_from_master_ns == pytest.approx(0)


def test_of_a_grandmaster() -> None:
    properties = TimeProperties(utc_offset_s=11)
    bench = Bench(Settings(role=PortRole.GRANDMASTER, sdo=0x100, path_trace=True))
    bench.clock.serve(ESTIMATE, properties)
    bench.at(10 * S)
    data = bench.clock.data
    assert data.port.state is PortState.MASTER
    assert data.port.settings.role is PortRole.GRANDMASTER
    assert data.parent.port.clock == data.parent.grandmaster == US.clock
    assert data.time_properties == properties
    assert (data.default.quality.clock_class, data.default.sdo, data.default.slave_only) == (248, 0x100, False)
    assert data.path_trace == ()
    assert not data.grandmaster_present
