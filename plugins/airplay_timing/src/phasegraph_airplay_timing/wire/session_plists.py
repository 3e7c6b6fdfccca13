"""The timing part of RTSP bodies, which are property lists: SETUP, SETPEERS, SETPEERSX and SETRATEANCHORTIME.

Property lists have signed 64-bit integers only: identities and fractions with the top bit set come as negative
numbers. Here they are unsigned, and go out signed again.
"""

from __future__ import annotations

import plistlib
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, field

from .fixed_point import from_64_64, to_64_64
from .malformed_packet import MalformedPacket, PacketFault

MOST_OCTETS = 65536
"""A longer body is refused."""
_WORD = 1 << 64
T = TypeVar("T")
U32 = Annotated[int, Meta(ge=0, lt=2**32)]


class SessionTimingPeer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """timingPeerInfo, or an entry of timingPeerList or SETPEERSX: a device that takes part in the timing."""

    addresses: tuple[str, ...] = field(name="Addresses")
    id: str = field(name="ID")
    clock: int | None = field(name="ClockID", default=None)
    """Identity of its PTP clock, 64 bits, unsigned."""
    clock_ports: dict[str, int] = field(name="ClockPorts", default_factory=dict)
    """By clock or group: a portNumber of PTP (not of UDP), 16 bits, unsigned."""
    device_type: int | None = field(name="DeviceType", default=None)
    """0 a sender, 2 a HomePod."""
    port_matching_override: bool | None = field(name="SupportsClockPortMatchingOverride", default=None)


class SessionTiming(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The timing fields of SETUP or its reply; other fields are ignored."""

    protocol: str | None = field(name="timingProtocol", default=None)
    """``PTP``, ``NTP`` or ``None`` (remote control only)."""
    peer: SessionTimingPeer | None = field(name="timingPeerInfo", default=None)
    peers: tuple[SessionTimingPeer, ...] = field(name="timingPeerList", default=())
    timing_port: Annotated[int, Meta(ge=0, lt=65536)] | None = field(name="timingPort", default=None)
    """UDP port of NTP timing; 0 with PTP."""


class RateAnchor(msgspec.Struct, frozen=True, kw_only=True):
    """SETRATEANCHORTIME: from when on, and whether, a stream plays."""

    playing: bool
    rtp: int | None = None
    """RTP timestamp, 32 bits, of the frame that sounds at the time. A pause may come without anchor."""
    time_ns: int = 0
    """The leader's time, whole nanoseconds."""
    clock: int = 0
    """Identity of the leader's clock, 64 bits: networkTimeTimelineID."""
    flags: int = 0
    """networkTimeFlags, 32 bits."""


class _RateAnchor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    rate: float
    rtp: U32 | None = field(name="rtpTime", default=None)
    seconds: int | None = field(name="networkTimeSecs", default=None)
    fraction: int | None = field(name="networkTimeFrac", default=None)
    clock: int | None = field(name="networkTimeTimelineID", default=None)
    flags: int = field(name="networkTimeFlags", default=0)


def read_setup(body: bytes) -> SessionTiming:
    """The timing in the body of a SETUP, or of its reply. Raises MalformedPacket, and nothing else."""
    read = _convert(_load(body), SessionTiming)
    return msgspec.structs.replace(
        read, peer=read.peer and _unsigned(read.peer), peers=tuple(_unsigned(peer) for peer in read.peers)
    )


def write_setup(timing: SessionTiming) -> bytes:
    """The body of a SETUP, or of its reply, with nothing else in it."""
    signed = msgspec.structs.replace(
        timing, peer=timing.peer and _signed(timing.peer), peers=tuple(_signed(peer) for peer in timing.peers)
    )
    return _dump(_without_none(msgspec.to_builtins(signed)))


def read_peers(body: bytes) -> tuple[SessionTimingPeer, ...]:
    """The peers in the body of SETPEERS (addresses alone, without identity) or SETPEERSX.

    Raises MalformedPacket, and nothing else.
    """
    read = _convert(_load(body), tuple[str | SessionTimingPeer, ...])
    return tuple(
        SessionTimingPeer(addresses=(peer,), id="") if isinstance(peer, str) else _unsigned(peer) for peer in read
    )


def read_rate_anchor(body: bytes) -> RateAnchor:
    """The body of SETRATEANCHORTIME. Raises MalformedPacket, and nothing else."""
    read = _convert(_load(body), _RateAnchor)
    playing = bool(int(read.rate) & 1) if abs(read.rate) < 2**31 else False
    if read.rtp is None or read.seconds is None or read.fraction is None or read.clock is None:
        if playing:
            raise MalformedPacket(PacketFault.PLIST, "it is to play, but rtpTime or a networkTime field is missing")
        return RateAnchor(playing=False, flags=read.flags % 2**32)
    if not 0 <= read.seconds < 2**48:
        raise MalformedPacket(PacketFault.PLIST, f"networkTimeSecs is {read.seconds}, of 48 bits")
    return RateAnchor(
        playing=playing,
        rtp=read.rtp,
        time_ns=from_64_64(read.seconds, read.fraction),
        clock=read.clock % _WORD,
        flags=read.flags % 2**32,
    )


def write_rate_anchor(anchor: RateAnchor) -> bytes:
    """The body of SETRATEANCHORTIME."""
    if anchor.rtp is None:
        return _dump({"rate": int(anchor.playing)})
    seconds, fraction = to_64_64(anchor.time_ns)
    return _dump(
        {
            "rate": int(anchor.playing),
            "rtpTime": anchor.rtp,
            "networkTimeSecs": seconds,
            "networkTimeFrac": _sign(fraction, 64),
            "networkTimeTimelineID": _sign(anchor.clock, 64),
            "networkTimeFlags": anchor.flags,
        }
    )


def _load(body: bytes) -> Any:
    if len(body) > MOST_OCTETS:
        raise MalformedPacket(PacketFault.PLIST, f"{len(body)} octets, {MOST_OCTETS} is the most")
    try:
        return plistlib.loads(body)
    except Exception as error:  # of many kinds, some of them undocumented
        raise MalformedPacket(PacketFault.PLIST, f"not a property list: {error}") from error


def _dump(value: Any) -> bytes:
    return plistlib.dumps(value, fmt=plistlib.FMT_BINARY)


def _convert(value: Any, type: type[T]) -> T:
    try:
        return msgspec.convert(value, type)
    except (msgspec.ValidationError, RecursionError) as error:
        raise MalformedPacket(PacketFault.PLIST, str(error)) from error


def _unsigned(peer: SessionTimingPeer) -> SessionTimingPeer:
    return msgspec.structs.replace(
        peer,
        clock=None if peer.clock is None else peer.clock % _WORD,
        clock_ports={name: port % 2**16 for name, port in peer.clock_ports.items()},
    )


def _signed(peer: SessionTimingPeer) -> SessionTimingPeer:
    return msgspec.structs.replace(
        peer,
        clock=None if peer.clock is None else _sign(peer.clock, 64),
        clock_ports={name: _sign(port, 16) for name, port in peer.clock_ports.items()},
    )


def _sign(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> bits - 1 & 1 else value


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return [_without_none(each) for each in value] if isinstance(value, list) else value
