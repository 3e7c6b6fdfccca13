"""What a round of answers says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasegraph.ieee1588 import (
    Action,
    MalformedMessage,
    Management,
    ManagementErrorStatus,
    ManagementId,
    ManagementTlv,
    PortIdentity,
    Tlv,
    TlvType,
)
from phasegraph_ptp.protocol.data_sets import PortState
from phasegraph_ptp.ptp4l.port_status import QUESTIONS, Ptp4lStatus, questions, read_status

CLOCK = 0x001D_C1FF_FE12_3456
S = 1_000_000_000
INGRESS = 1_795_477_101_220_627_487
OCTETS = {  # as linuxptp 3.1.1 answered, but for the identities, the offset, the timescale and the second port
    ManagementId.PORT_PROPERTIES_NP: "001dc1fffe123456 0001 08 00 04 65746830 00",
    ManagementId.PORT_DATA_SET: "001dc1fffe123456 0001 08 fd 0000000000000000 00 03 fd 01 fd 02",
    ManagementId.GRANDMASTER_SETTINGS_NP: "ff fe ffff 0025 00 a0",
    ManagementId.TIME_PROPERTIES_DATA_SET: "0024 08 a0",
    ManagementId.CURRENT_DATA_SET: "0001 00000000015c0000 0000000007370000",
    ManagementId.TIME_STATUS_NP: "000000000000015c 18ead0e9249a841f 00000000 00000000 0000 0000 0000000000000000 0000"
    "00000001 acde48fffe234567",
}


def response(id: int, octets: str, action: int = Action.RESPONSE) -> Management:
    tlv = ManagementTlv(id, bytes.fromhex(octets)).to_tlv()
    return Management(source=PortIdentity(CLOCK, 0), sequence=0, action=action, tlvs=(tlv,))


def round_of(**changed: str | None) -> list[Management]:
    octets = {id: changed.get(id.name, told) for id, told in OCTETS.items()}
    return [response(id, told) for id, told in octets.items() if told is not None]


def status(**changed: str | None) -> Ptp4lStatus:
    read = read_status(round_of(**changed))
    assert read is not None
    return read


def test_a_follower_with_software_stamps() -> None:
    told = status()
    assert told.port.identity == PortIdentity(CLOCK, 1)
    assert (told.port.state, told.port.sync_interval_ns) == (PortState.UNCALIBRATED, S // 8)
    assert (told.offset_ns, told.ingress_ns, told.path_delay_ns) == (348, INGRESS, 1847)
    assert (told.grandmaster, told.ptp_timescale, told.utc_offset_s) == (0xACDE_48FF_FE23_4567, True, 37)
    assert (told.hardware, told.interface) == (False, "eth0")
    assert told.following
    assert not told.serving


def test_the_grandmasters_time() -> None:
    # Software stamps count UTC, the grandmaster TAI: ptp4l has added its own 37 s, not the announced 36.
    assert status().reference_at_ingress_ns(utc=True) == INGRESS + 37 * S - 348
    assert status().reference_at_ingress_ns(utc=False) == INGRESS - 348
    arb = status(TIME_PROPERTIES_DATA_SET="0025 00 a0")
    assert arb.reference_at_ingress_ns(utc=True) == INGRESS - 348


@pytest.mark.parametrize(
    "changed",
    [
        {"PORT_DATA_SET": "001dc1fffe123456 0001 06 fd 0000000000000000 00 03 fd 01 fd 02"},  # MASTER
        {"CURRENT_DATA_SET": "0001 00000000015c0000 0000000000000000"},  # no delay was measured
        {"TIME_STATUS_NP": "00" * 38 + "00000001 acde48fffe234567"},  # no Sync has come
        {
            "TIME_STATUS_NP": "000000000000015c 18ead0e9249a841f" + "00" * 26 + "001dc1fffe123456"
        },  # it follows no master
    ],
)
def test_no_time_without_a_grandmaster_or_a_delay(changed: dict[str, str]) -> None:
    assert status(**changed).reference_at_ingress_ns(utc=True) is None


def test_a_grandmaster() -> None:
    told = status(
        PORT_DATA_SET="001dc1fffe123456 0001 06 fd 0000000000000000 00 03 fd 01 fd 02",
        TIME_STATUS_NP="00" * 38 + "00000000 001dc1fffe123456",
    )
    assert told.serving
    assert not told.following


def test_peer_delay() -> None:
    told = status(PORT_DATA_SET="001dc1fffe123456 0001 09 fd 0000000003e80000 00 03 fd 02 fd 02")
    assert told.path_delay_ns == 1000


def test_the_port_that_follows_is_the_one() -> None:
    ports = [
        response(ManagementId.PORT_DATA_SET, f"001dc1fffe123456 {number:04x} {state:02x}" + "00" * 15)
        for number, state in ((1, 4), (2, 6), (3, 9), (4, 8))
    ]
    properties = [
        response(ManagementId.PORT_PROPERTIES_NP, f"001dc1fffe123456 {number:04x} 06 {kind:02x} 02 653{number} 00")
        for number, kind in ((1, 0), (2, 1), (3, 3), (4, 0))
    ]
    told = read_status(ports + properties + round_of(PORT_DATA_SET=None, PORT_PROPERTIES_NP=None))
    assert told is not None
    assert (told.port.identity.port, told.interface, told.hardware) == (3, "e3", True)


@pytest.mark.parametrize(("flags", "hardware"), [("00", False), ("08", True)])
def test_through_the_read_only_socket(flags: str, hardware: bool) -> None:
    refused = ManagementErrorStatus(6, ManagementId.PORT_PROPERTIES_NP).to_tlv()
    answers = round_of(PORT_PROPERTIES_NP=None, GRANDMASTER_SETTINGS_NP=f"ff fe ffff 0025 {flags} a0")
    told = read_status([msgspec.structs.replace(answers[0], tlvs=(refused,)), *answers])
    assert told is not None
    assert (told.hardware, told.interface) == (hardware, "")


@pytest.mark.parametrize("id", [id for id in QUESTIONS if id is not ManagementId.PORT_PROPERTIES_NP])
def test_an_incomplete_round_says_nothing(id: ManagementId) -> None:
    assert read_status(round_of(**{id.name: None})) is None


def test_other_messages_are_ignored() -> None:
    noise: list[Any] = [
        response(ManagementId.TIME_STATUS_NP, OCTETS[ManagementId.TIME_STATUS_NP], Action.GET),
        response(ManagementId.PRIORITY1, "8000"),
        Management(source=PortIdentity(1, 1), sequence=0, action=Action.RESPONSE),
        Management(source=PortIdentity(1, 1), sequence=0, action=Action.RESPONSE, tlvs=(Tlv(TlvType.PAD),)),
    ]
    assert read_status(noise + round_of()) == status()


@given(st.sampled_from(QUESTIONS), st.binary(max_size=60))
def test_any_answer_is_read_or_refused(id: ManagementId, data: bytes) -> None:
    try:
        read_status([*round_of(**{id.name: None}), response(id, data.hex())])
    except MalformedMessage:
        return


def test_questions() -> None:
    asked = questions(PortIdentity(0, 7), sequence=0xFFFE, domain=3, major_sdo=1)
    assert [question.sequence for question in asked] == [0xFFFE, 0xFFFF, 0, 1, 2, 3]
    # Without hops: a ptp4l passes questions on to the network otherwise, and others answer too.
    assert {(each.domain, each.major_sdo, each.starting_hops, each.hops) for each in asked} == {(3, 1, 0, 0)}
    assert [ManagementTlv.from_tlv(each.tlvs[0]).id for each in asked] == list(QUESTIONS)
