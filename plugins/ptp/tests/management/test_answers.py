"""Answers to management messages, against octets written out by hand from the standard's tables."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from phasegraph.ieee1588 import (
    Action,
    MalformedMessage,
    Management,
    ManagementError,
    ManagementErrorStatus,
    ManagementId,
    ManagementTlv,
    PortIdentity,
    Tlv,
    TlvType,
    encode,
    understand,
)
from phasegraph_ptp.protocol.management_data import ManagementView
from phasegraph_ptp.protocol.management_responder import answer

US = PortIdentity(0x001D_C1FF_FE12_3456, 1)
ASKING = PortIdentity(0, 4711)
ID, MASTER_ID = "001dc1fffe123456", "acde48fffe234567"

TABLE = {
    ManagementId.NULL_MANAGEMENT: "",
    ManagementId.CLOCK_DESCRIPTION: "8000 0a 49454545203830322e33"
    + "0006 001dc1123456 0001 0004 0a000002 000000 00"
    + "1a 50686173656772617068 3b 706861736567726170682d707470 3b"
    + "05 613b623b63 0a 7374616765206c656674 001b19000100 00",
    ManagementId.USER_DESCRIPTION: "0a 7374616765206c656674 00",
    ManagementId.DEFAULT_DATA_SET: f"03 00 0001 65 f8 fe 4e5d 66 {ID} 03 00",
    ManagementId.CURRENT_DATA_SET: "0002 fffffffffb2d8000 000000003a984000",
    ManagementId.PARENT_DATA_SET: f"{MASTER_ID} 0005 00 00 ffff 7fffffff 67 06 21 1234 68 0011223344556677",
    ManagementId.TIME_PROPERTIES_DATA_SET: "0025 2d 20",
    ManagementId.PORT_DATA_SET: f"{ID} 0001 09 fe 0000000000028000 01 04 fd 02 ff 12",
    ManagementId.PRIORITY1: "65 00",
    ManagementId.PRIORITY2: "66 00",
    ManagementId.DOMAIN: "03 00",
    ManagementId.SLAVE_ONLY: "01 00",
    ManagementId.LOG_ANNOUNCE_INTERVAL: "01 00",
    ManagementId.ANNOUNCE_RECEIPT_TIMEOUT: "04 00",
    ManagementId.LOG_SYNC_INTERVAL: "fd 00",
    ManagementId.VERSION_NUMBER: "12 00",
    ManagementId.CLOCK_ACCURACY: "fe 00",
    ManagementId.UTC_PROPERTIES: "0025 05 00",
    ManagementId.TRACEABILITY_PROPERTIES: "20 00",
    ManagementId.TIMESCALE_PROPERTIES: "08 20",
    ManagementId.DELAY_MECHANISM: "02 00",
    ManagementId.LOG_MIN_PDELAY_REQ_INTERVAL: "ff 00",
    ManagementId.TIME_STATUS_NP: "fffffffffffffb2e 000000e8d4a51001 00000000 00000000 0000"
    "0000 0000000000000000 0000 00000001 0011223344556677",
    ManagementId.GRANDMASTER_SETTINGS_NP: "f8 fe 4e5d 0025 2d 20",
    ManagementId.PORT_PROPERTIES_NP: f"{ID} 0001 09 01 04 65746830 00",
    ManagementId.PORT_STATS_NP: f"{ID} 0001 0800000000000000"
    + "00" * 80
    + "0100000001000000"
    + "00" * 32
    + "00" * 8
    + "0700000000000000"
    + "00" * 112,
}


def request(id: int, action: int = Action.GET, **header: Any) -> Management:
    tlv = ManagementTlv(id).to_tlv()
    return Management(**({"source": ASKING, "sequence": 9, "domain": 3, "action": action, "tlvs": (tlv,)} | header))


def matter(reply: Management | None) -> object:
    assert reply is not None
    assert len(reply.tlvs) == 1
    return understand(reply.tlvs[0])


@pytest.mark.parametrize("id", TABLE, ids=lambda each: each.name)
def test_questions_are_answered(view: ManagementView, id: ManagementId) -> None:
    assert matter(answer(request(id), view)) == ManagementTlv(id, bytes.fromhex(TABLE[id]))


@pytest.mark.parametrize("offset_ns", [-(2.0**48) * 1e9, 2.0**48 * 1e9])
def test_an_offset_beyond_the_field_becomes_its_largest_value(view: ManagementView, offset_ns: float) -> None:
    current = replace(view.data.current, offset_from_master_ns=offset_ns, mean_delay_ns=-offset_ns)
    told = matter(answer(request(ManagementId.TIME_STATUS_NP), replace(view, data=replace(view.data, current=current))))
    assert isinstance(told, ManagementTlv)
    assert told.data[:8].hex() == ("8000000000000001" if offset_ns < 0 else "7fffffffffffffff")


def test_who_answers_whom(view: ManagementView) -> None:
    reply = answer(request(ManagementId.PRIORITY1, starting_hops=7, hops=5, minor_version=1, flags=0x0400), view)
    assert reply is not None
    assert (reply.source, reply.target, reply.sequence, reply.domain) == (US, ASKING, 9, 3)
    assert (reply.action, reply.starting_hops, reply.hops) == (Action.RESPONSE, 2, 2)
    assert (reply.minor_version, reply.flags, reply.log_interval) == (1, 0x0400, 0x7F)
    encode(reply)


@pytest.mark.parametrize("target", [US, PortIdentity(US.clock, 0xFFFF), PortIdentity(2**64 - 1, 1)])
def test_targets_that_are_ours(view: ManagementView, target: PortIdentity) -> None:
    assert isinstance(matter(answer(request(ManagementId.PORT_DATA_SET, target=target), view)), ManagementTlv)


def test_a_port_that_is_not_there(view: ManagementView) -> None:
    other = PortIdentity(US.clock, 2)
    refused = matter(answer(request(ManagementId.PORT_DATA_SET, target=other), view))
    assert isinstance(refused, ManagementErrorStatus)
    assert refused.error == ManagementError.WRONG_VALUE
    assert isinstance(matter(answer(request(ManagementId.PRIORITY1, target=other), view)), ManagementTlv)


@pytest.mark.parametrize(
    "other",
    [
        {"target": PortIdentity(US.clock + 1, 1)},
        {"target": PortIdentity(US.clock + 1, 0xFFFF)},
        {"domain": 4},
        {"major_sdo": 1},
        {"action": Action.RESPONSE},
        {"action": Action.ACKNOWLEDGE},
        {"action": 15},
        {"tlvs": ()},
        {"tlvs": (Tlv(TlvType.MANAGEMENT_ERROR_STATUS, bytes(8)),)},
        {"tlvs": (Tlv(TlvType.PAD),)},
    ],
)
def test_what_is_not_for_us_is_not_answered(view: ManagementView, other: dict[str, Any]) -> None:
    assert answer(request(ManagementId.PRIORITY1, **other), view) is None


@pytest.mark.parametrize(
    ("id", "action", "error"),
    [
        (ManagementId.PRIORITY1, Action.SET, ManagementError.NOT_SETABLE),
        (ManagementId.PORT_DATA_SET, Action.SET, ManagementError.NOT_SETABLE),
        (ManagementId.PRIORITY1, Action.COMMAND, ManagementError.NOT_SUPPORTED),
        (ManagementId.INITIALIZE, Action.COMMAND, ManagementError.NOT_SUPPORTED),
        (ManagementId.ENABLE_PORT, Action.COMMAND, ManagementError.NOT_SUPPORTED),
        (ManagementId.FAULT_LOG, Action.GET, ManagementError.NOT_SUPPORTED),
        (ManagementId.SUBSCRIBE_EVENTS_NP, Action.SET, ManagementError.NOT_SUPPORTED),
        (0x1FFF, Action.GET, ManagementError.NO_SUCH_ID),
        (0xDFFF, Action.SET, ManagementError.NO_SUCH_ID),
    ],
)
def test_refusals(view: ManagementView, id: int, action: int, error: ManagementError) -> None:
    reply = answer(request(id, action), view)
    refused = matter(reply)
    assert isinstance(refused, ManagementErrorStatus)
    assert (refused.error, refused.id) == (error, id)
    assert reply is not None
    assert reply.action == (Action.ACKNOWLEDGE if action == Action.COMMAND else Action.RESPONSE)


@pytest.mark.parametrize(("action", "answered"), [(Action.SET, Action.RESPONSE), (Action.COMMAND, Action.ACKNOWLEDGE)])
def test_null_management_does_nothing_by_any_action(view: ManagementView, action: int, answered: int) -> None:
    reply = answer(request(ManagementId.NULL_MANAGEMENT, action), view)
    assert reply is not None
    assert (reply.action, matter(reply)) == (answered, ManagementTlv(ManagementId.NULL_MANAGEMENT))


def test_questions_may_carry_data(view: ManagementView) -> None:
    # pmc fills the dataField of a GET with zeros, unless told otherwise.
    padded = ManagementTlv(ManagementId.PRIORITY1, bytes(2)).to_tlv()
    assert matter(answer(request(0, tlvs=(padded, padded)), view)) == ManagementTlv(0x2005, b"\x65\x00")


def test_damage_is_refused(view: ManagementView) -> None:
    with pytest.raises(MalformedMessage):
        answer(request(0, tlvs=(Tlv(TlvType.MANAGEMENT),)), view)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    id=st.one_of(st.sampled_from(ManagementId), st.integers(0, 0xFFFF)),
    action=st.integers(0, 15),
    target=st.sampled_from([US, ASKING, PortIdentity(2**64 - 1, 0xFFFF), PortIdentity(US.clock, 7)]),
    hops=st.tuples(st.integers(0, 255), st.integers(0, 255)),
)
def test_one_bounded_answer_at_most(
    view: ManagementView, id: int, action: int, target: PortIdentity, hops: tuple[int, int]
) -> None:
    asked = request(id, action, target=target, starting_hops=hops[0], hops=hops[1])
    reply = answer(asked, view)
    assert (reply is None) or len(encode(reply)) <= 400
    assert reply == answer(asked, view)
    # An answer of ours is no request.
    assert reply is None or answer(reply, view) is None
