"""The fuzz targets: each reads one input as a stranger's octets and checks what must hold whatever they are.

A target raises nothing for input that the product refuses. Every other exception is a finding, and so are a failed
assertion, an execution of more than ten seconds and a process of more than 1.5 GB. Seeds come from the product's own
writers, so the corpus is made on the spot and none is committed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import plistlib
import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np

from phasegraph import ClockEstimate, ClockState, Encoding, GraphError, NodeError, StampKind, session_parser
from phasegraph._graph_file import parse_graph
from phasegraph.control import NodeStatus, RunStatus
from phasegraph.ieee1588 import (
    Action,
    Announce,
    CancelUnicast,
    DelayReq,
    DelayResp,
    FollowUp,
    GrantUnicast,
    MalformedMessage,
    Management,
    ManagementId,
    ManagementTlv,
    Message,
    PathTrace,
    PDelayReq,
    PDelayResp,
    PDelayRespFollowUp,
    PortIdentity,
    RequestUnicast,
    Signaling,
    Sync,
    decode,
    encode,
    understand,
)
from phasegraph.testing import sim_registry
from phasegraph_aes67 import sdp
from phasegraph_aes67.options import Aes67SourceConfig
from phasegraph_aes67.parameters import StreamParameters
from phasegraph_aes67.receive.legs_from_config import legs_from_session
from phasegraph_aes67.receive.stream_receiver import ReceiverSettings, StreamReceiver
from phasegraph_aes67.rtp import HEADER_BYTES, MalformedRtp, parse_header
from phasegraph_aes67.session import rtsp, sap
from phasegraph_aes67.session.rtsp_client import DescribeClient
from phasegraph_aes67.session.rtsp_server import RtspServerConnection, SessionCatalogue
from phasegraph_airplay_timing.engine import PtpEngine, SendDatagram, TimingPeer, TimingRole
from phasegraph_airplay_timing.engine.compact_engine import CompactEngine
from phasegraph_airplay_timing.engine.ntp_engine import NtpEngine
from phasegraph_airplay_timing.nqptp.client_commands import CommandVerb, RefusedCommand, parse
from phasegraph_airplay_timing.nqptp.clients import MOST, NqptpClients
from phasegraph_airplay_timing.senders import airptp, cliairplay
from phasegraph_airplay_timing.senders.receiver_registry import MOST_RECEIVERS, ReceiverRegistry
from phasegraph_airplay_timing.wire import apple, compact, compose, control_packets, ntp, session_plists
from phasegraph_airplay_timing.wire.malformed_packet import MalformedPacket
from phasegraph_nmos.connection.endpoint import ConnectionEndpoint
from phasegraph_nmos.connection.transport_params import PatchRefused
from phasegraph_nmos.control_model.control_classes import CLASSES, methods_of
from phasegraph_nmos.control_model.control_objects import DeviceIdentity
from phasegraph_nmos.control_model.control_session import ControlSession
from phasegraph_nmos.control_model.device_model import DeviceModel
from phasegraph_nmos.http.api_answers import ApiRequest, NmosApiError
from phasegraph_nmos.mapping.audio_ports import ports_of_runs
from phasegraph_nmos.mapping.channel_mapping import ChannelMapping
from phasegraph_nmos.model.resources import HostInterface
from phasegraph_nmos.model.run_view import RunView, view_of_run
from phasegraph_nmos.status_monitors.monitored_runs import ConnectionState, NodeLinks, monitored_resources
from phasegraph_ptp.protocol import (
    DelayMechanism,
    OrdinaryClock,
    PortRole,
    SendMessage,
    Settings,
    TimeProperties,
    Unicast,
)
from phasegraph_ptp.protocol.authentication import Authenticator, SecurityAssociation, parse_security_associations
from phasegraph_ptp.protocol.management_data import ClockDescription, ManagementView
from phasegraph_ptp.protocol.management_responder import answer

from .byte_reader import ByteReader

MS, S = 1_000_000, 1_000_000_000
EPOCH_NS = 1_790_000_000 * S
LOCAL_NS = 1_000 * S
RATE = 48_000
US = PortIdentity(0x02_00_00_00_00_00_00_01, 1)
GRANDMASTER = PortIdentity(0x02_00_00_00_00_00_00_AA, 1)
ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
STREAM = StreamParameters(address="239.1.1.1", encoding=Encoding.L24, frames_per_packet=48, channels=2)


class Target(msgspec.Struct, frozen=True):
    """One kind of input."""

    name: str
    run: Callable[[bytes], None]
    """Feeds one input to the product; raises for a finding."""
    seeds: Callable[[], Iterable[bytes]]
    """Valid inputs to start from."""
    max_octets: int = 4096


class LockedClock:
    """A clock whose reference is local time plus an epoch."""

    def estimate(self) -> ClockEstimate:
        """See `ClockSource.estimate`."""
        return ClockEstimate(local_ns=LOCAL_NS, reference_ns=EPOCH_NS, state=ClockState.LOCKED)


SETTINGS = ReceiverSettings(clock=LockedClock(), link_offset_ns=3 * MS)


# RTP


def rtp_packets() -> list[bytes]:
    """Packets with and without contributing sources, an extension and padding."""
    first = EPOCH_NS * RATE // S
    packets = []
    for number, start in enumerate((0x80, 0x80, 0x81, 0x90, 0xA0)):
        header = struct.pack("!BBHII", start, 98, number, (first + 48 * number) & 0xFFFFFFFF, 0x1234)
        extra = {0x81: b"\0\0\0\1", 0x90: b"\xbe\xde\0\1abcd"}.get(start, b"")
        packets.append(header + extra + bytes(288) + (b"\0\0\0\4" if start == 0xA0 else b""))
    return packets


def run_rtp(data: bytes) -> None:
    """RTP header (RFC 3550, 5.1)."""
    try:
        header = parse_header(data)
    except MalformedRtp:
        return
    assert HEADER_BYTES <= header.payload_start <= header.payload_stop <= len(data)


def receiver_scripts() -> Iterable[bytes]:
    """Packets in order, with the leg, source and delay of each."""
    script = b"".join(bytes([0, 0, 10]) + struct.pack("!H", len(packet)) + packet for packet in rtp_packets())
    return (script, script.replace(bytes([0, 0, 10]), bytes([1, 1, 60])))


def run_receiver(data: bytes) -> None:
    """Any packets, from any sender, at any time, on two legs: the ring stays within its bounds."""
    reader = ByteReader(data)
    second = msgspec.structs.replace(STREAM, address="239.1.1.2")
    receiver = StreamReceiver((STREAM, second), SETTINGS, relative=False)
    local_ns = LOCAL_NS
    while not reader.exhausted:
        leg, source = receiver.legs[reader.number() % 2], reader.number() % 4
        local_ns += reader.choice((0, 1, MS, 20 * MS, 200 * MS, 5 * S)) if reader.number() % 3 else MS
        packet = reader.chunk(min(reader.number(2), 1500))
        row = np.zeros(1500, np.uint8)
        row[: len(packet)] = np.frombuffer(packet, np.uint8)
        receiver.accept(leg, row, len(packet), local_ns, source // 2, 5004 + source % 2)
        if reader.number() % 8 == 0:
            receiver.publish_figures()
    stream = receiver.stream
    if stream.first is not None:
        assert stream.first <= stream.head
        out = np.empty((48, 2), np.float32)
        stream.ring.read(stream.head - 48, out)
        assert np.isfinite(out).all()
    receiver.publish_figures()
    figures = receiver.figures.latest
    assert figures.packets_received >= 0
    assert figures.packets_lost < 1 << 62


# IEEE 1588


def ptp_messages() -> list[Message]:
    """One message of every type, with its TLVs."""
    tlvs = (PathTrace((GRANDMASTER.clock,)).to_tlv(),)
    body = {"source": GRANDMASTER, "sequence": 1, "log_interval": 0}
    return [
        Announce(
            **body,  # type: ignore[arg-type]
            utc_offset_s=37,
            priority1=128,
            clock_class=6,
            clock_accuracy=0x21,
            clock_variance=0x4E5D,
            priority2=128,
            grandmaster=GRANDMASTER.clock,
            steps_removed=0,
            time_source=0x20,
            tlvs=tlvs,
        ),
        Sync(**body, origin_ns=0, flags=0x0200),  # type: ignore[arg-type]
        FollowUp(**body, precise_origin_ns=EPOCH_NS),  # type: ignore[arg-type]
        DelayReq(**body),  # type: ignore[arg-type]
        DelayResp(**body, receive_ns=EPOCH_NS, requesting=US),  # type: ignore[arg-type]
        PDelayReq(**body),  # type: ignore[arg-type]
        PDelayResp(**body, request_receipt_ns=EPOCH_NS, requesting=US),  # type: ignore[arg-type]
        PDelayRespFollowUp(**body, response_origin_ns=EPOCH_NS, requesting=US),  # type: ignore[arg-type]
        Signaling(**body, target=US, tlvs=(RequestUnicast(11, -3, 60).to_tlv(), CancelUnicast(11).to_tlv())),  # type: ignore[arg-type]
        Signaling(**body, target=US, tlvs=(GrantUnicast(11, -3, 60).to_tlv(),)),  # type: ignore[arg-type]
        management_request(ManagementId.DEFAULT_DATA_SET),
    ]


def management_request(id: ManagementId) -> Management:
    """A GET of one data set."""
    tlv = ManagementTlv(id).to_tlv()
    return Management(
        source=GRANDMASTER, sequence=1, target=US, action=Action.GET, starting_hops=1, hops=1, tlvs=(tlv,)
    )


def run_ieee1588(data: bytes) -> None:
    """A PTP message: a decoded one encodes to a message that decodes to the same."""
    try:
        message = decode(data)
    except MalformedMessage:
        return
    for tlv in message.tlvs:
        with contextlib.suppress(MalformedMessage):
            understand(tlv)
    assert decode(encode(message)) == message


def management_view() -> ManagementView:
    """The data sets of a port that has just started."""
    clock = OrdinaryClock(Settings(), identity=US, now_ns=0, random=Random(1))
    return ManagementView(
        data=clock.data,
        description=ClockDescription(mac=bytes(6), address=bytes((10, 0, 0, 1)), user="fuzz"),
        interface="eth0",
        stamps=StampKind.KERNEL,
        received={},
        sent={},
    )


def run_management(data: bytes) -> None:
    """A management message: it gets at most one answer, whose size does not depend on it."""
    try:
        message = decode(data)
        answered = answer(message, management_view()) if isinstance(message, Management) else None
    except MalformedMessage:
        return
    if answered is not None:
        assert len(encode(answered)) <= 600


PORTS = [
    Settings(
        role=role, delay_mechanism=mechanism, unicast=unicast, servers=ADDRESSES[:2], log_min_delay_req_interval=-4
    )
    for role in PortRole
    for mechanism, unicast in (
        (DelayMechanism.E2E, Unicast.OFF),
        (DelayMechanism.E2E, Unicast.NEGOTIATED),
        (DelayMechanism.P2P, Unicast.OFF),
    )
]


def ptp_scripts() -> Iterable[bytes]:
    """All messages of a grandmaster, twice, for each kind of port."""
    messages = [encode(message) for message in ptp_messages()]
    script = b"".join(bytes([2, 2, 0]) + struct.pack("!H", len(each)) + each for each in messages)
    return [bytes([port]) + script + script for port in range(len(PORTS))]


def run_ptp_port(data: bytes) -> None:
    """A PTP port with any messages, departures and delays: its messages encode, its state stays bounded."""
    reader = ByteReader(data)
    clock = OrdinaryClock(reader.choice(PORTS), identity=US, now_ns=0, random=Random(1))
    clock.serve(ClockEstimate(local_ns=0, reference_ns=EPOCH_NS, state=ClockState.LOCKED), TimeProperties())
    now_ns, tokens = S, [0]
    while not reader.exhausted:
        kind = reader.number()
        now_ns += reader.choice((0, 1, MS, 100 * MS, S, 10 * S))
        clock.update_trouble(now_ns)
        if kind == 0:
            clock.tick(now_ns)
        elif kind == 1:
            clock.message_departed(reader.choice(tokens), now_ns, StampKind.USER)
        else:
            source = reader.choice(ADDRESSES)
            try:
                message = decode(reader.chunk(min(reader.number(2), 300)))
            except MalformedMessage:
                continue
            clock.handle_message(
                message, source=source, unicast=bool(kind & 1), local_ns=now_ns, stamp=StampKind.KERNEL
            )
        for action in clock.actions():
            if isinstance(action, SendMessage):
                encode(action.message)
                tokens = [*tokens[-7:], action.token or 0]
    assert clock.data.port.state is clock.state
    assert len(clock.counters) < 100


AUTHENTICATOR = Authenticator(SecurityAssociation(spp=1, keys={1: b"key", 2: b"other"}))
KEY_FILE = b"[security_association]\nspp 1\nallow_mutable 1\n1 SHA256-128 3 ASCII:key\n2 SHA256-128 HEX:00ff\n"


def signed_messages() -> Iterable[bytes]:
    """Signed messages, and a file of keys."""
    return [KEY_FILE, *map(AUTHENTICATOR.sign, ptp_messages())]


def run_ptp_signature(data: bytes) -> None:
    """A signed PTP message, or a file of keys: whatever is changed in a message is noticed, and memory is bounded."""
    with contextlib.suppress(ValueError, UnicodeDecodeError):
        parse_security_associations(data.decode())
    try:
        message = decode(data)
    except MalformedMessage:
        return
    checks = Authenticator(SecurityAssociation(spp=1, keys={1: b"key", 2: b"other"}))
    reason = checks.refusal(message, data, S)
    length = int.from_bytes(data[2:4], "big")
    assert (reason is None) == (data[:length] in {AUTHENTICATOR.sign(each) for each in ptp_messages()})


# Session descriptions


def descriptions() -> list[str]:
    """Descriptions in all dialects, one of them redundant."""
    second = msgspec.structs.replace(STREAM, address="239.1.1.2")
    how = {"name": "Stage", "origin": "10.0.0.1", "session_id": 7}
    texts = [sdp.write(STREAM, preset=preset, **how) for preset in sdp.PRESETS]  # type: ignore[arg-type]
    redundant = sdp.write(STREAM, second=second, **how)  # type: ignore[arg-type]
    sources = redundant.replace("a=group:DUP", "a=ssrc-group:DUP 1 2\r\na=group:DUP")
    filtered = sources + "a=source-filter: incl IN IP4 239.1.1.2 10.0.0.1 10.0.0.2\r\na=ptime:0.12\r\n"
    return [*texts, redundant, sources, filtered]


def encoded_descriptions() -> list[bytes]:
    """The same as octets."""
    return [text.encode() for text in descriptions()]


def run_sdp(data: bytes) -> None:
    """A session description: its explanation and its streams are plain values."""
    try:
        session = sdp.parse(sdp.decode_sdp(data))
    except sdp.MalformedSdp:
        return
    assert session.streams
    text = "".join(sdp.explain(session))
    assert all(line.isprintable() for line in text.splitlines())


def run_sdp_legs(data: bytes) -> None:
    """A session description as a stranger announces it, up to the receiver: all of its addresses are usable."""
    try:
        session = sdp.parse(sdp.decode_sdp(data))
        legs = legs_from_session(session, Aes67SourceConfig(interface="lo"))
    except (sdp.MalformedSdp, NodeError):
        return
    for leg in legs:
        ipaddress.IPv4Address(leg.address)
        if leg.source is not None:
            ipaddress.IPv4Address(leg.source)
        assert 0 < leg.port < 65536
        assert 0 < leg.channels * (leg.frames_per_packet or 1) < 1 << 20
    StreamReceiver(legs, SETTINGS, relative=False)


def sap_scripts() -> Iterable[bytes]:
    """Announcements and deletions, plain and compressed."""
    for text in descriptions():
        for deletion in (False, True):
            octets = sap.encode(sap.Announcement("10.0.0.1", sap.message_hash(text), text, deletion))
            packed = octets[:8] + zlib.compress(octets[8:])
            for packet in (octets, bytes([packed[0] | 1]) + packed[1:]):
                yield bytes([0, 1]) + struct.pack("!H", len(packet)) + packet


def run_sap(data: bytes) -> None:
    """SAP packets from several hosts over hours: the table of sessions stays bounded."""
    reader, table, now_ns = ByteReader(data), sap.SessionTable(), LOCAL_NS
    while not reader.exhausted:
        source = reader.choice(ADDRESSES)
        now_ns += reader.choice((0, S, 30 * S, 600 * S))
        packet = reader.chunk(min(reader.number(2), 20_000))
        try:
            announcement = sap.decode(packet)
        except sap.MalformedSap:
            continue
        assert len(announcement.sdp) <= sap.MAX_SDP_BYTES
        table.apply_announcement(announcement, now_ns, source)
        table.expire(now_ns)
        assert sum(1 for _ in table) <= sap.MAX_SESSIONS
        assert all(session.name.isprintable() for session in table)


# RTSP


def rtsp_streams() -> Iterable[bytes]:
    """Requests and answers, of which the first octet says into how small pieces they are cut."""
    body = descriptions()[2]
    url = "rtsp://10.0.0.1:8554/by-name/Stage"
    requests = [
        rtsp.message(f"{method} {url} RTSP/1.0", {"CSeq": number, "Transport": "RTP/AVP;multicast"})
        for number, method in enumerate(("OPTIONS", "DESCRIBE", "SETUP", "PLAY", "TEARDOWN", "PAUSE"))
    ]
    yield b"\x40" + b"".join(requests)
    yield b"\x07" + rtsp.message("RTSP/1.0 200 OK", {"CSeq": 1}, body) + rtsp.message("ANNOUNCE  RTSP/1.0", {}, body)
    yield b"\x03" + rtsp.message("GET /by-id/1 HTTP/1.1", {"Host": "a"}) + b"\r\n" * 9


def run_rtsp(data: bytes) -> None:
    """A connection of a client to our server, and of a server to our client."""
    size, stream = (data[0] & 0x7F) + 1 if data else 1, data[1:]
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    catalogue = SessionCatalogue()
    catalogue.put("Stage", descriptions()[2])
    server = RtspServerConnection(catalogue, "10.0.0.1", 8554)
    client = DescribeClient("rtsp://10.0.0.1/by-name/Stage")
    client.request()
    for piece in pieces:
        if server.closing:
            break
        assert len(server.receive_data(piece)) < 1 << 20
    try:
        for piece in pieces:
            assert len(client.receive_data(piece)) < 1 << 20
    except rtsp.MalformedRtsp:
        pass
    assert client.description is None or len(client.description) <= rtsp.MAX_BODY_BYTES


# AirPlay


def airplay_packets() -> list[bytes]:
    """Packets of all protocols of AirPlay's timing."""
    request = compose.delay_req(US, 1)
    messages = [
        compose.announce(GRANDMASTER, 1, compose.AnnouncedDataset(grandmaster=GRANDMASTER.clock)),
        compose.sync(GRANDMASTER, 1),
        compose.follow_up(GRANDMASTER, 1, EPOCH_NS),
        request,
        compose.delay_resp(GRANDMASTER, request, EPOCH_NS),
    ]
    asked = ntp.request(EPOCH_NS)
    timing = [ntp.encode(asked), ntp.encode(ntp.reply_to(asked, EPOCH_NS, EPOCH_NS))]
    return [
        *map(encode, messages),
        *timing,
        bytes(20),
        bytes([0x80, 0xD4]) + bytes(18),
        bytes([0x80, 0xD7]) + bytes(26),
    ]


def run_airplay_wire(data: bytes) -> None:
    """A datagram of each of AirPlay's timing protocols, and of the programs of the same computer."""
    for read in (apple.decode, compact.decode, control_packets.decode, ntp.decode):
        with contextlib.suppress(MalformedMessage, MalformedPacket):
            read(data)
    registry = ReceiverRegistry()
    with contextlib.suppress(ValueError):
        registry.apply_control(cliairplay.parse_control(data))
    registry.apply_airptp(airptp.parse_command(data) or airptp.AirptpCommand(0, None))
    registry.load(data.decode("latin-1"))
    assert len(registry.addresses) <= MOST_RECEIVERS


def airplay_scripts() -> Iterable[bytes]:
    """Packets of one peer, for each kind of engine."""
    packets = airplay_packets()
    script = b"".join(bytes([2, 2, 0]) + struct.pack("!H", len(each)) + each for each in packets)
    return [bytes([engine, role]) + script for engine in range(3) for role in range(2)]


def run_airplay_engine(data: bytes) -> None:
    """A timing engine with any datagrams, departures and delays: it raises nothing and stays bounded."""
    reader, now_ns = ByteReader(data), LOCAL_NS
    kind = reader.number() % 3
    role = reader.choice([*TimingRole] if kind == 0 else [TimingRole.FOLLOW, TimingRole.LEAD])
    peers = [TimingPeer(ADDRESSES[0], 319, 320)] if role is not TimingRole.FOLLOW or reader.number() % 2 else []
    engine = (
        PtpEngine(role, US.clock, peers, now_ns)
        if kind == 0
        else CompactEngine(role, US.clock, peers, now_ns)
        if kind == 1
        else NtpEngine(role, peers, now_ns)
    )
    tokens = [0]
    while not reader.exhausted:
        what = reader.number()
        now_ns += reader.choice((0, 1, MS, 100 * MS, S, 10 * S))
        if what == 0:
            engine.tick(now_ns)
        elif what == 1:
            engine.departed(reader.choice(tokens), now_ns)
        else:
            source = (reader.choice(ADDRESSES), 319)
            engine.receive(reader.chunk(min(reader.number(2), 300)), source, now_ns, now_ns)
        for action in engine.actions():
            if isinstance(action, SendDatagram) and action.token is not None:
                tokens = [*tokens[-7:], action.token]
    assert len(engine.counters) < 100
    assert len(engine.peers) <= 32


def plists() -> Iterable[bytes]:
    """Bodies of SETUP, SETPEERS, SETPEERSX and SETRATEANCHORTIME, in both formats."""
    peer = session_plists.SessionTimingPeer(addresses=("10.0.0.1",), id="a", clock=2**63 + 5, clock_ports={"a": 0x8005})
    timing = session_plists.SessionTiming(protocol="PTP", peer=peer, peers=(peer,), timing_port=0)
    anchor = session_plists.RateAnchor(playing=True, rtp=1, time_ns=EPOCH_NS, clock=2**63 + 5)
    bodies = [session_plists.write_setup(timing), session_plists.write_rate_anchor(anchor)]
    bodies.append(plistlib.dumps(["10.0.0.1", {"Addresses": ["10.0.0.2"], "ID": "b"}], fmt=plistlib.FMT_BINARY))
    yield from bodies
    for body in bodies:
        yield plistlib.dumps(plistlib.loads(body))


def run_plist(data: bytes) -> None:
    """The property list of a request."""
    for read in (session_plists.read_setup, session_plists.read_peers, session_plists.read_rate_anchor):
        with contextlib.suppress(MalformedPacket):
            read(data)


def nqptp_commands() -> Iterable[bytes]:
    """Commands as shairport-sync sends them."""
    yield b"/nqptp T 192.168.1.20 fe80::1\0\n/nqptp B\0\n/nqptp P\0\n/nqptp E\0\n/nqptp T\0"
    yield b"/nqptp-kitchen T ::ffff:10.0.0.1 10.0.0.2\0\n/nqptp-kitchen B\0"


def run_nqptp(data: bytes) -> None:
    """Commands on the control port: the number of clients stays bounded."""
    clients = NqptpClients(("/nqptp",))
    for datagram in data.split(b"\n"):
        try:
            command = parse(datagram)
            clients.admit(command.name)
            clients.apply_command(command)
        except RefusedCommand:
            continue
        assert isinstance(command.verb, CommandVerb)
        assert len(clients.by_name) <= MOST + 1


# graph.toml

REGISTRY = sim_registry()
GRAPHS = (
    """schema = 1
[clocks.house]
kind = "sim-clock"
rate-offset = "20ppm"
[sources.stage]
kind = "sim-source"
link-offset = "20ms"
[compensators.align]
kind = "sim-align"
time = "200ms"
[sinks.card]
kind = "sim-card"
input = ["stage", "program"]
compensator = "align"
on-failure = "restart"
[sources.program]
kind = "sim-sequence"
duration = "2s"
[profiles.loud.sinks.card]
block = 64
""",
    """schema = 1
[clocks.house]
kind = "ptp"
interface = "eth0"
fallback = "own"
[clocks.own]
kind = "system"
[sources.net]
kind = "aes67"
clock = "house"
group = "239.69.1.10"
leg-b = {group = "239.69.1.11", interface = "eth1"}
[sinks.file]
kind = "file"
path = "a.wav"
input = "net"
""",
)


def graph_texts() -> list[bytes]:
    """Graphs with all kinds of nodes and values."""
    return [text.encode() for text in GRAPHS]


def run_graph_file(data: bytes) -> None:
    """A graph file: a graph, or problems with places."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    try:
        parse_graph(text, REGISTRY, Path())
    except GraphError as error:
        problems = error.problems
    else:
        return
    assert problems
    assert all(problem.message for problem in problems)


# NMOS


def nmos_run() -> RunView:
    """A run with a receiver, a sender and a recorder."""
    graph: dict[str, Any] = {
        "clocks": {"house": {"kind": "ptp"}},
        "sources": {"stage": {"kind": "aes67", "interface": "eth0", "leg-b": {"interface": "eth0"}}},
        "sinks": {
            "out": {"kind": "aes67", "interface": "eth0", "input": "stage", "group": "239.1.1.1"},
            "rec": {"kind": "file", "path": "rec.wav", "input": "stage"},
        },
    }
    nodes = {
        id: NodeStatus(
            role=role,
            kind=table["kind"],
            pace="clock",
            state="running",
            severity=0,
            text="",
            rate=RATE,
            channels=2,
            metrics={},
        )
        for role, tables in graph.items()
        for id, table in tables.items()
    }
    status = RunStatus(
        name="hall",
        graph="",
        profile=None,
        pid=1,
        started_at="",
        duration_s=1,
        stopping=False,
        trouble=[],
        nodes=nodes,
        edges={},
    )
    return view_of_run("hall", graph, status, session_parser())


NMOS_PARSER = session_parser()
NMOS_RUN = nmos_run()
NMOS_INTERFACES = [HostInterface(name="eth0", address="10.0.0.2", mac="00-1d-c1-00-00-01")]


def nmos_uuid(kind: str, run: str, id: str) -> str:
    """What stands for a UUID."""
    return f"{kind}-{id}"


def nmos_model() -> DeviceModel:
    """The device model of that run."""
    model = DeviceModel(DeviceIdentity(name="hall", version="0", serial_number="0"))
    states = {f"{kind}-{id}": ConnectionState(True, 0) for kind, id in (("receiver", "stage"), ("sender", "out"))}
    links = NodeLinks(NMOS_INTERFACES, {})
    model.observe_runs(*monitored_resources([NMOS_RUN], nmos_uuid, states, links), 0)
    return model


def nmos_messages() -> Iterable[bytes]:
    """Messages of a controller, for every method."""
    for class_id in CLASSES:
        for (level, index), method in methods_of(class_id).items():
            values = {"id": {"level": 1, "index": 6}, "value": "x", "index": 0, "recurse": True, "path": ["receivers"]}
            values |= {"role": "stage", "classId": [1, 2, 2], "name": "NcOid"}
            arguments = {field.name: values.get(field.name, True) for field in method.parameters}
            command = {
                "handle": 1,
                "oid": 1 + index,
                "methodId": {"level": level, "index": index},
                "arguments": arguments,
            }
            yield msgspec.json.encode({"messageType": 0, "commands": [command]})
    yield msgspec.json.encode({"messageType": 3, "subscriptions": [1, 2, 10]})


def run_nmos_control(data: bytes) -> None:
    """Messages of a control session (IS-12), one a line."""
    model = nmos_model()
    session = ControlSession(model)
    session.receive_message(b'{"messageType":3,"subscriptions":[1,2,4,5,10,11]}')
    for line in data.split(b"\n")[:50]:
        answer, changes = session.receive_message(line)
        kind = msgspec.json.decode(answer)["messageType"]
        assert kind in (1, 4, 5), answer
        session.notification(changes)
    assert len(model.oids) == 7


def nmos_maps() -> Iterable[bytes]:
    """Requests of channel mapping."""
    route = {
        "hall_rec": {"0": {"input": "hall_stage", "channel_index": 1}, "1": {"input": None, "channel_index": None}}
    }
    for mode, time in (("immediate", None), ("scheduled_relative", "2:0"), ("scheduled_absolute", "1:0")):
        activation = {"mode": f"activate_{mode}"} | ({"requested_time": time} if time else {})
        yield msgspec.json.encode({"activation": activation, "action": route})


def run_nmos_map(data: bytes) -> None:
    """A change of channel mapping (IS-08)."""
    mapping = ChannelMapping()
    mapping.set_ports(ports_of_runs([NMOS_RUN], nmos_uuid))
    with contextlib.suppress(NmosApiError):
        change = mapping.propose(ApiRequest(method="POST", body=data).json(), EPOCH_NS)
        for path, input in mapping.options_of(change, "hall").items():
            entries = [input] if isinstance(input, str) else input
            assert path in ("sink.rec.input", "sink.out.input")
            assert sum(2 if isinstance(entry, str) else len(entry["channels"]) for entry in entries) == 2
        mapping.schedule(change)
        mapping.finish_change(change, EPOCH_NS)
    assert mapping.describe_waiting() == {}


def nmos_patches() -> Iterable[bytes]:
    """Bodies that stage and activate a receiver."""
    legs = [{"multicast_ip": "239.5.5.5", "destination_port": 5004, "interface_ip": "auto"}, {"rtp_enabled": False}]
    yield msgspec.json.encode(
        {"master_enable": True, "transport_params": legs, "activation": {"mode": "activate_immediate"}}
    )
    file = {"data": descriptions()[0], "type": "application/sdp"}
    later = {"mode": "activate_scheduled_relative", "requested_time": "1:5"}
    yield msgspec.json.encode({"sender_id": None, "transport_file": file, "activation": later})


def run_nmos_connection(data: bytes) -> None:
    """A request of connection management (IS-05)."""
    id = "11111111-1111-4111-8111-111111111111"
    endpoint = ConnectionEndpoint("receiver", id, NMOS_RUN.receivers[0], NMOS_INTERFACES, NMOS_PARSER)
    before, activation, refused = endpoint.staged, None, False
    try:
        activation = endpoint.patch(ApiRequest(method="PATCH", body=data).json(), EPOCH_NS)
    except (NmosApiError, PatchRefused):
        refused = True
    assert not refused or (endpoint.staged == before and endpoint.pending is None)
    msgspec.json.encode(endpoint.staged_body(activation))
    if activation is not None:
        endpoint.finish(activation, EPOCH_NS)
    msgspec.json.encode(endpoint.active_body())


TARGETS = {
    target.name: target
    for target in (
        Target("rtp", run_rtp, rtp_packets, 1500),
        Target("receiver", run_receiver, receiver_scripts),
        Target("ieee1588", run_ieee1588, lambda: map(encode, ptp_messages()), 1500),
        Target(
            "management",
            run_management,
            lambda: (encode(management_request(id)) for id in ManagementId),
            1500,
        ),
        Target("ptp-port", run_ptp_port, ptp_scripts),
        Target("ptp-signature", run_ptp_signature, signed_messages, 1500),
        Target("sdp", run_sdp, encoded_descriptions, 20_000),
        Target("sdp-legs", run_sdp_legs, encoded_descriptions, 20_000),
        Target("sap", run_sap, sap_scripts, 20_000),
        Target("rtsp", run_rtsp, rtsp_streams, 100_000),
        Target("airplay-wire", run_airplay_wire, airplay_packets, 1500),
        Target("airplay-engine", run_airplay_engine, airplay_scripts),
        Target("plist", run_plist, plists, 20_000),
        Target("nqptp", run_nqptp, nqptp_commands),
        Target("graph", run_graph_file, graph_texts),
        Target("nmos-control", run_nmos_control, nmos_messages, 20_000),
        Target("nmos-map", run_nmos_map, nmos_maps, 20_000),
        Target("nmos-connection", run_nmos_connection, nmos_patches, 20_000),
    )
}
"""All targets by name."""
