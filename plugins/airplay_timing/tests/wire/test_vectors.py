"""Captured packets: each decodes to the values that come with it, and encodes to the same octets."""

from __future__ import annotations

import json
import os
import plistlib
import struct
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from phasegraph.ieee1588 import (
    UNITS_PER_NS,
    Announce,
    DelayResp,
    FollowUp,
    MalformedMessage,
    OrganizationExtension,
    PathTrace,
    PortIdentity,
    Signaling,
    Sync,
    SyncPairing,
    TlvType,
    encode,
)
from phasegraph_airplay_timing.nqptp.nqptp_record import SIZE, NqptpRecord, encode_version, read
from phasegraph_airplay_timing.wire import apple, compose, control_packets
from phasegraph_airplay_timing.wire.session_plists import read_peers, read_rate_anchor, read_setup


def by_kind(vectors: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    found = [entry for entry in vectors if entry["kind"] == kind]
    assert found
    return found


def seen(message: Any) -> dict[str, Any]:
    """What the vectors tell of a message, in their words."""
    values: dict[str, Any] = {
        "messageType": message.type,
        "sourceClock": f"{message.source.clock:016x}",
        "sourcePort": message.source.port,
        "seq": message.sequence,
        "logInterval": message.log_interval,
        "correction_raw": message.correction,
        "correction_ns_floor": message.correction >> 16,
    }
    match message:
        case FollowUp():
            sync = Sync(source=message.source, sequence=message.sequence)
            values |= {"preciseOrigin_ns": message.precise_origin_ns, "T1_ns": apple.departure_ns(message, sync)}
        case DelayResp():
            requesting = f"{message.requesting.clock:016x}/{message.requesting.port}"
            values |= {"receiveTimestamp_ns": message.receive_ns, "requestingPort": requesting}
            values["T4_ns_apple"] = apple.arrival_ns(message)
        case Announce():
            traces = [PathTrace.from_tlv(tlv) for tlv in message.tlvs if tlv.type == TlvType.PATH_TRACE]
            values |= {
                "priority1": message.priority1,
                "clockClass": message.clock_class,
                "clockAccuracy": message.clock_accuracy,
                "variance": message.clock_variance,
                "priority2": message.priority2,
                "gm": f"{message.grandmaster:016x}",
                "stepsRemoved": message.steps_removed,
                "timeSource": message.time_source,
                "utcOffset": message.utc_offset_s,
                "pathTrace": [f"{clock:016x}" for trace in traces for clock in trace.clocks],
            }
        case Signaling():
            values["targetPort"] = f"{message.target.clock:016x}{message.target.port:04x}"
        case Sync():
            values["originTimestamp"] = message.origin_ns
    return values


def test_ptp(airplay_vectors: list[dict[str, Any]]) -> None:
    for entry in by_kind(airplay_vectors, "ptp"):
        wire = bytes.fromhex(entry["hex"])
        message = apple.decode(wire)
        assert encode(message) == wire, entry["name"]
        values = seen(message)
        assert {key: values[key] for key in entry["expect"]} == entry["expect"], entry["name"]


def test_the_damaged_one_is_refused_with_its_reason(airplay_vectors: list[dict[str, Any]]) -> None:
    (entry,) = by_kind(airplay_vectors, "ptp-malformed")
    with pytest.raises(MalformedMessage, match="messageLength is 106, 105 octets came") as caught:
        apple.decode(bytes.fromhex(entry["hex"]))
    assert caught.value.reason == "truncated"


def test_tlvs_of_follow_up(airplay_vectors: list[dict[str, Any]]) -> None:
    names = {entry["name"]: bytes.fromhex(entry["hex"]) for entry in airplay_vectors}
    for name, clock in (("homepod_follow_up", 0x1414_7DE8_5498_0008), ("macos_follow_up", 0x5273_7EC2_E765_0008)):
        message = apple.decode(names[name])
        information, owner = message.tlvs
        read = apple.FollowUpInformation.from_tlv(information)
        assert read is not None
        assert read.to_tlv() == information
        assert (read.phase_change, read.frequency_change) != (0, 0)  # it had just become leader
        assert apple.AppleClock.from_tlv(owner) == apple.AppleClock(clock)
        assert apple.AppleClock(message.source.clock).to_tlv() == owner


def test_tlvs_of_signaling(airplay_vectors: list[dict[str, Any]]) -> None:
    (entry,) = [entry for entry in airplay_vectors if entry["name"] == "homepod_signaling"]
    found = [OrganizationExtension.from_tlv(tlv) for tlv in apple.decode(bytes.fromhex(entry["hex"])).tlvs]
    assert [(tlv.organization, tlv.subtype, len(tlv.data)) for tlv in found] == [
        (apple.APPLE, apple.SIGNALING_SUBTYPES[0], 16),
        (apple.APPLE, apple.SIGNALING_SUBTYPES[1], 26),
    ]


def test_control_packets(airplay_vectors: list[dict[str, Any]]) -> None:
    for entry in by_kind(airplay_vectors, "rtp-control"):
        wire = bytes.fromhex(entry["hex"])
        packet = control_packets.decode(wire)
        assert control_packets.encode(packet) == wire, entry["name"]
        values: dict[str, Any] = {"type": wire[1]}
        match packet:
            case control_packets.ResendRequest():
                values |= {"first_seq": packet.sequence, "count": packet.count}
            case control_packets.NtpTimeAnnounce():
                values["ntp"] = f"{packet.ntp >> 32:08x}.{packet.ntp & 0xFFFFFFFF:08x}"
            case control_packets.PtpTimeAnnounce():
                values |= {"time_ns": packet.time_ns, "clockId": f"{packet.clock:016x}"}
        if not isinstance(packet, control_packets.ResendRequest):
            values |= {"first": packet.first, "rtp_now": packet.rtp, "rtp_next": packet.rtp_next}
            values["latency_frames"] = packet.latency_frames
        assert {key: values[key] for key in entry["expect"]} == entry["expect"], entry["name"]


def text_of(name: str) -> str:
    """A file beside the packets; skips the test where it is not there."""
    file = Path(os.environ.get("PHASEGRAPH_VECTORS", "")) / "airplay" / name
    if not file.is_file():
        pytest.skip("PHASEGRAPH_VECTORS names no folder of captures")
    return file.read_text()


def test_no_packet_and_no_file_is_left_out(airplay_vectors: list[dict[str, Any]]) -> None:
    # The tests of this file, and of NTP's packets beside it, go by kind; files are named.
    assert {entry["kind"] for entry in airplay_vectors} == {"ptp", "ptp-malformed", "rtp-control", "ntp-timing"}
    lines = text_of("all_vectors.hex").splitlines()
    assert sorted(line for line in lines if line and not line.startswith("#")) == sorted(
        entry["hex"] for entry in airplay_vectors
    )
    folder = Path(os.environ["PHASEGRAPH_VECTORS"]) / "airplay"
    used = {"rtsp_examples.json", "selfmade_setrateanchortime.json", "selfmade_nqptp_smi10_shm.hex"}
    used |= {"vectors.json", "all_vectors.hex", "tcpdump_shairport_2015.txt", "README.md"}
    assert {file.name for file in folder.iterdir()} == used


def test_a_pair_that_somebody_has_logged() -> None:
    sync, follow_up = [line.split() for line in text_of("tcpdump_shairport_2015.txt").splitlines() if "seq 234" in line]
    arrivals = [round(float(words[0].rpartition(":")[2]) * 1e9) for words in (sync, follow_up)]
    source = PortIdentity(int(sync[5], 16), int(sync[7]))
    correction_ns, (seconds, nanoseconds) = int(follow_up[5]), map(int, follow_up[8].split("."))
    told = compose.follow_up(source, 234, seconds * 10**9 + nanoseconds)
    told = msgspec.structs.replace(told, correction=correction_ns << 16)
    pairing: SyncPairing[int] = SyncPairing(lambda reason: pytest.fail(reason))
    assert pairing.add_sync(compose.sync(source, 234), arrivals[0]) is None
    timed = pairing.add_follow_up(told)
    assert timed is not None
    assert timed.origin_ns + timed.correction // UNITS_PER_NS == 788_996_999_147_541 + 1_401_459
    assert arrivals[1] - timed.arrival == 256_000  # nqptp's time is late by this, for this packet


@pytest.mark.skipif(
    struct.calcsize("@H8Q") != 72 or sys.byteorder != "little", reason="the octets are of x86-64's kind"
)
def test_the_shared_memory() -> None:
    (whole,) = [line for line in text_of("selfmade_nqptp_smi10_shm.hex").splitlines() if not line.startswith("#")]
    record = NqptpRecord(
        clock=0x5273_7EC2_E765_0008, local_ns=10**9, offset_ns=2_549_142_913_475_666, since_ns=500_000_000
    )
    assert read(lambda: bytes.fromhex(whole)) == record
    assert (encode_version().ljust(SIZE - 64, b"\0") + 2 * record.encode()).hex() == whole


def test_property_lists() -> None:
    examples = {entry["name"]: entry for entry in json.loads(text_of("rtsp_examples.json"))["examples"]}
    setup = examples["homepod_setup_phase1_response"]
    peer = read_setup(plistlib.dumps(setup["plist"])).peer
    assert peer is not None
    assert f"{peer.clock:016x}" == setup["derived"]["ClockID_hex"]
    assert list(peer.clock_ports.values()) == [setup["derived"]["ClockPorts_u16"]]
    assert len(read_peers(plistlib.dumps(examples["setpeers"]["plist"]))) == 3
    assert read_peers(plistlib.dumps(examples["setpeersx"]["plist"]))[0].clock == 1


def test_anchor_times() -> None:
    for case in json.loads(text_of("selfmade_setrateanchortime.json"))["cases"]:
        body = {"rate": 1, "rtpTime": 0, "networkTimeTimelineID": 1}
        body |= {"networkTimeSecs": case["secs"], "networkTimeFrac": case["frac"]}
        assert read_rate_anchor(plistlib.dumps(body)).time_ns == case["ns"]
