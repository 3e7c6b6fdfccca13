"""Options of the ``aes67`` source and sink, as a graph writes them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from phasegraph import ClockRef, Duration, InputFile, Live, OutputFile, SampleRate, SinkConfig, SourceConfig

from .parameters import DEFAULT_PACKET_TIME_NS, DEFAULT_PAYLOAD_TYPE, DEFAULT_PORT, WireEncoding
from .sdp import Preset

Clock = Annotated[
    ClockRef | None,
    Meta(description="Clock whose time the RTP timestamps count; may be left out where the graph has only one."),
]
InterfaceName = Annotated[
    str,
    Meta(description="Network interface, by name or IPv4 address; left out, the system's routes choose."),
]
Port = Annotated[int, Meta(ge=1, le=65535, description="UDP port.")]
PayloadType = Annotated[int, Meta(ge=0, le=127, description="RTP payload type.")]

SOURCE_EXAMPLE = """\
[sources.stage]
kind = "aes67"
clock = "house"
interface = "eth0"
sdp = "stage.sdp"
link-offset = "3ms"
"""

SINK_EXAMPLE = """\
[sinks.network]
kind = "aes67"
clock = "house"
interface = "eth0"
input = "music"
group = "239.69.1.10"
sdp-out = "music.sdp"
"""


class SourceLeg(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """Where the second leg of a redundant stream comes from (ST 2022-7); what is left out is as of the first."""

    interface: Annotated[str | None, Meta(description="Network interface of that leg, by name or IPv4 address.")] = None
    group: Annotated[str | None, Meta(description="IPv4 address that this leg is sent to.")] = None
    port: Annotated[int | None, Meta(ge=1, le=65535, description="UDP port of that leg.")] = None
    source: Annotated[str | None, Meta(description="IPv4 address of the only sender to receive on that leg.")] = None


class Aes67SourceConfig(SourceConfig, frozen=True, kw_only=True):
    """Options of the receiving side."""

    clock: Clock = None
    enabled: Annotated[
        bool,
        Meta(
            description="With false the source receives nothing, and needs no stream: its sinks get silence. A "
            "controller may connect it later."
        ),
    ] = True
    interface: InterfaceName = ""
    sdp: Annotated[
        InputFile | None,
        Meta(description="Session description of the stream; instead of group, port, encoding, rate, channels."),
    ] = None
    session: Annotated[
        str | None,
        Meta(
            description="Name of a session that is announced on the network (SAP, or RAVENNA's mDNS and RTSP): the "
            "announcement has its address; encoding, rate and channels are those that it must have."
        ),
    ] = None
    group: Annotated[
        str | None,
        Meta(description="IPv4 address that the stream is sent to: a multicast group, or an address of this machine."),
    ] = None
    port: Port = DEFAULT_PORT
    encoding: Annotated[WireEncoding, Meta(description="Sample encoding.")] = "L24"
    rate: Annotated[SampleRate, Meta(ge=8000, le=384_000, description="Sample rate.")] = 48_000
    channels: Annotated[int, Meta(ge=1, le=128, description="Number of channels.")] = 2
    packet_time: Annotated[
        Duration,
        Meta(ge=20_000, le=20_000_000, description="Expected packet time; the source also accepts others."),
    ] = DEFAULT_PACKET_TIME_NS
    payload_type: Annotated[
        int | None, Meta(ge=0, le=127, description="RTP payload type; left out, that of the first packet.")
    ] = None
    source: Annotated[
        str | None,
        Meta(description="IPv4 address of the only sender to receive (source-specific multicast)."),
    ] = None
    leg_b: Annotated[
        SourceLeg | None,
        Meta(
            description="A second leg with the same packets (ST 2022-7), such as "
            '`{interface = "eth1", group = "239.70.1.10"}`; what a description contains need not be repeated.'
        ),
    ] = None
    link_offset: Annotated[
        Duration,
        Meta(
            ge=0,
            le=10_000_000_000,
            description="How long after its media time a frame sounds. Frames that arrive later are lost.",
        ),
        Live("at a frame, by up to 50 ms more than at the start; the sinks repeat the difference, or leave it out"),
    ] = 3_000_000
    conceal: Annotated[
        bool,
        Meta(description="Fade over gaps with the sound around them, up to 20 ms; otherwise they are silence."),
        Live(),
    ] = True
    media_clock: Annotated[
        Literal["auto", "absolute", "relative"],
        Meta(
            description="Whether timestamps count the clock's time (absolute) or only themselves (relative: the first "
            "packet sets the mapping). Auto is absolute, unless a session description has no mediaclk line, and "
            "relative for as long as the clock has no reference."
        ),
    ] = "auto"
    mediaclk_offset: Annotated[
        int,
        Meta(ge=0, le=2**32 - 1, description="RTP timestamp of media time zero, without a session description."),
    ] = 0
    end_after: Annotated[
        Duration | None,
        Meta(
            ge=10_000_000,
            description="The stream ends after this time without a packet; left out, it never ends.",
        ),
    ] = None


Pacing = Literal["auto", "thread", "queue", "io-uring"]
"""Who waits for a packet's time."""


class SinkLeg(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """Where the second leg of a redundant stream goes (ST 2022-7)."""

    interface: InterfaceName = ""
    group: Annotated[str, Meta(description="IPv4 address of that leg: a multicast group or a host.")]
    port: Port = DEFAULT_PORT


class Aes67SinkConfig(SinkConfig, frozen=True, kw_only=True):
    """Options of the sending side."""

    clock: Clock = None
    enabled: Annotated[bool, Meta(description="With false the sink sends nothing until a controller enables it.")] = (
        True
    )
    interface: InterfaceName = ""
    group: Annotated[str, Meta(description="IPv4 address to send to: a multicast group or a host.")]
    port: Port = DEFAULT_PORT
    encoding: Annotated[WireEncoding, Meta(description="Sample encoding.")] = "L24"
    rate: Annotated[
        SampleRate | None,
        Meta(description="Sample rate; it must be the input's, which it is by default."),
    ] = None
    channels: Annotated[
        int | None,
        Meta(ge=1, le=128, description="Number of channels; it must be the input's, which it is by default."),
    ] = None
    packet_time: Annotated[
        Duration, Meta(ge=20_000, le=20_000_000, description="Duration of a packet: 1ms, 125us, 250us, 333us, 4ms.")
    ] = DEFAULT_PACKET_TIME_NS
    payload_type: PayloadType = DEFAULT_PAYLOAD_TYPE
    lead: Annotated[
        Duration | None,
        Meta(
            ge=0,
            le=100_000_000,
            description="When a packet leaves, counted from the media time of its first frame; one packet time by "
            "default, when a live source has just delivered its last frame.",
        ),
    ] = None
    pacing: Annotated[
        Pacing,
        Meta(
            description="Who waits for a packet's time: our thread, the interface's queue fq, or io_uring, which get "
            "packets early. Auto is the queue for a multicast group where there is one and the packets are there early "
            "enough, and our thread elsewhere; io-uring, which takes less CPU time, has to be asked for."
        ),
    ] = "auto"
    ttl: Annotated[int, Meta(ge=1, le=255, description="Time to live of multicast packets.")] = 32
    dscp: Annotated[int, Meta(ge=0, le=63, description="DiffServ code point; AES67 asks for 34 (AF41).")] = 34
    leg_b: Annotated[
        SinkLeg | None,
        Meta(
            description="A second way for the same packets (ST 2022-7), such as "
            '`{interface = "eth1", group = "239.70.1.10"}`.'
        ),
    ] = None
    name: Annotated[
        str,
        Meta(description="Session name in the session description; the node's id by default."),
        Live("within half a second, by a new version of the description, but not with `ravenna`"),
    ] = ""
    sdp_out: Annotated[
        OutputFile | None,
        Meta(description="File to write the stream's session description to, again whenever it changes."),
        Live("within half a second"),
    ] = None
    preset: Annotated[
        Preset, Meta(description="Whose dialect the session description is written in."), Live("as `name`")
    ] = "aes67"
    announce: Annotated[
        bool,
        Meta(description="Announce the session on the network (SAP), so that others find it by its name."),
        Live("within half a second"),
    ] = False
    ravenna: Annotated[
        bool,
        Meta(
            description="Offer the session as RAVENNA devices do (mDNS, RTSP); needs the extra phasegraph-aes67[mdns]."
        ),
    ] = False
    rtsp_port: Annotated[
        int, Meta(ge=0, le=65535, description="TCP port of the RTSP server of ravenna; with 0 the system chooses one.")
    ] = 0
