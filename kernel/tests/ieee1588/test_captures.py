"""Packets of real devices and of other implementations (skipped where the captures are not at hand)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phasegraph.ieee1588 import (
    Announce,
    DelayResp,
    Flag,
    FollowUp,
    MalformedMessage,
    Management,
    PortIdentity,
    Reason,
    Sync,
    TlvType,
    decode,
    encode,
    format_clock_identity,
)

Payloads = Callable[[str], list[bytes]]

# How many messages of each type tshark 4 counts in each capture.
COUNTS = {
    "ptp/e2e_l2_twostep.pcap": {"Sync": 68, "DelayReq": 5, "FollowUp": 67, "DelayResp": 5, "Announce": 5},
    "ptp/e2e_udp4_twostep.pcap": {"Sync": 68, "DelayReq": 5, "FollowUp": 67, "DelayResp": 5, "Announce": 5},
    "ptp/e2e_udp4_gmclass6_utc37.pcap": {"Sync": 70, "DelayReq": 3, "FollowUp": 69, "DelayResp": 3, "Announce": 5},
    "ptp/e2e_udp6_twostep.pcap": {"Sync": 68, "DelayReq": 5, "FollowUp": 67, "DelayResp": 5, "Announce": 5},
    "ptp/gst_client_udp4.pcap": {"Sync": 67, "DelayReq": 6, "FollowUp": 67, "DelayResp": 6, "Announce": 4},
    "ptp/mgmt_udp4.pcap": {"Sync": 45, "FollowUp": 44, "Announce": 3, "Management": 28},
    "ptp/p2p_l2_twostep.pcap": {"Sync": 66, "PDelayReq": 14, "FollowUp": 65, "Announce": 5},
    "ptp/p2p_udp4_twostep.pcap": {
        "Sync": 41,
        "PDelayReq": 22,
        "PDelayResp": 22,
        "FollowUp": 40,
        "PDelayRespFollowUp": 22,
        "Announce": 3,
    },
    "pcap/ebu-list_ptpv2.pcap": {"Sync": 11, "PDelayReq": 22, "Announce": 6},
    "pcap/ebu-list_PTP_clock.pcap": {"Sync": 2, "DelayReq": 2, "FollowUp": 2, "DelayResp": 2},
}


@pytest.mark.parametrize("name", COUNTS)
def test_captures_decode_and_encode_again(name: str, ptp_payloads: Payloads) -> None:
    counts: Counter[str] = Counter()
    for datagram in ptp_payloads(name):
        message = decode(datagram)
        counts[type(message).__name__] += 1
        wire = encode(message)
        assert wire == datagram[: len(wire)]
        assert not any(datagram[len(wire) :])  # padding of IPv6 and of short Ethernet frames
    assert counts == COUNTS[name]


def test_version_1_is_refused_as_such(ptp_payloads: Payloads) -> None:
    datagrams = ptp_payloads("pcap/ebu-list_ptpv1.pcap")
    assert len(datagrams) == 4
    for datagram in datagrams:
        with pytest.raises(MalformedMessage) as caught:
            decode(datagram)
        assert caught.value.reason is Reason.VERSION


def test_a_dante_device(ptp_payloads: Payloads) -> None:
    # The values are tshark's.
    source = PortIdentity(0x001D_C1FF_FE51_2357, 3)
    flags = Flag.TWO_STEP | Flag.PTP_TIMESCALE
    (announce,) = map(decode, ptp_payloads("pcap/aoip-core_ptpv2_announce.pcap"))
    assert announce == Announce(
        source=source,
        sequence=6898,
        flags=flags,
        log_interval=0,
        utc_offset_s=0,
        priority1=249,
        clock_class=248,
        clock_accuracy=0xFE,
        clock_variance=61536,
        priority2=120,
        grandmaster=source.clock,
        steps_removed=0,
        time_source=0xA0,
    )
    (sync,) = map(decode, ptp_payloads("pcap/aoip-core_ptpv2_sync.pcap"))
    assert sync == Sync(source=source, sequence=27588, flags=flags, log_interval=-2, origin_ns=200754_206773800)
    (follow_up,) = map(decode, ptp_payloads("pcap/aoip-core_ptpv2_followup.pcap"))
    assert follow_up == FollowUp(
        source=source, sequence=27588, flags=flags, log_interval=-2, precise_origin_ns=200754_206826957
    )


def test_a_traceable_grandmaster(ptp_payloads: Payloads) -> None:
    messages = map(decode, ptp_payloads("ptp/e2e_udp4_gmclass6_utc37.pcap"))
    announces = [message for message in messages if isinstance(message, Announce)]
    assert {(each.clock_class, each.utc_offset_s) for each in announces} == {(6, 37)}
    assert all(each.flags & Flag.UTC_OFFSET_VALID for each in announces)


def test_management_carries_one_tlv(ptp_payloads: Payloads) -> None:
    messages = map(decode, ptp_payloads("ptp/mgmt_udp4.pcap"))
    management = [message for message in messages if isinstance(message, Management)]
    assert Counter(message.action for message in management) == {0: 14, 2: 14}
    assert {message.tlvs[0].type for message in management} <= {TlvType.MANAGEMENT, TlvType.MANAGEMENT_ERROR_STATUS}
    assert all(len(message.tlvs) == 1 for message in management)


def test_messages_of_apple_devices(vector: Callable[[str], Path]) -> None:
    vectors = json.loads(vector("airplay/vectors.json").read_text())["vectors"]
    checked = 0
    for entry in vectors:
        datagram = bytes.fromhex(entry["hex"])
        if entry["kind"] == "ptp-malformed":
            with pytest.raises(MalformedMessage) as caught:
                decode(datagram)
            assert caught.value.reason is Reason.TRUNCATED
        elif entry["kind"] == "ptp":
            assert encode(decode(datagram)) == datagram
            compare(decode(datagram), entry["expect"])
            checked += 1
    assert checked == 10


def compare(message: Any, expect: dict[str, Any]) -> None:
    found: dict[str, Any] = {
        "messageType": message.type,
        "sourceClock": f"{message.source.clock:016x}",
        "sourcePort": message.source.port,
        "seq": message.sequence,
        "logInterval": message.log_interval,
        "correction_raw": message.correction,
        "correction_ns_floor": message.correction >> 16,
    }
    if isinstance(message, FollowUp):
        found["preciseOrigin_ns"] = message.precise_origin_ns
        found["T1_ns"] = message.precise_origin_ns + (message.correction >> 16)
    elif isinstance(message, DelayResp):
        found["receiveTimestamp_ns"] = message.receive_ns
        found["T4_ns_apple"] = message.receive_ns + (message.correction >> 16)
        found["requestingPort"] = f"{message.requesting.clock:016x}/{message.requesting.port}"
    elif isinstance(message, Announce):
        trace = message.tlvs[0].value
        found |= {
            "priority1": message.priority1,
            "clockClass": message.clock_class,
            "clockAccuracy": message.clock_accuracy,
            "variance": message.clock_variance,
            "priority2": message.priority2,
            "gm": format_clock_identity(message.grandmaster).replace("-", "").lower(),
            "stepsRemoved": message.steps_removed,
            "timeSource": message.time_source,
            "utcOffset": message.utc_offset_s,
            "pathTrace": [trace[at : at + 8].hex() for at in range(0, len(trace), 8)],
        }
    elif isinstance(message, Sync):
        found["originTimestamp"] = message.origin_ns
    elif message.type == 12:
        found["targetPort"] = f"{message.target.clock:016x}{message.target.port:04x}"
        assert [tlv.type for tlv in message.tlvs] == [TlvType.ORGANIZATION_EXTENSION] * 2
    assert {key: found[key] for key in expect} == expect
