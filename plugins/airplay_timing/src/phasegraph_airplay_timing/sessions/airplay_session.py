"""One session: who takes part in its timing, and when its frames sound. Pure: octets, estimates and times in.

The program that owns the session speaks RTSP with the sender. It passes on the bodies of SETUP, SETPEERS, SETPEERSX
and SETRATEANCHORTIME and the packets of the control port, and asks when a frame sounds.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from phasegraph import UNKNOWN_NS, ClockEstimate, ClockState
from phasegraph.ieee1588 import parse_clock_identity

from ..anchors import SENDER_LATENCY, Anchor, AnchorTimeline
from ..peer_address import plain_address
from ..wire import control_packets
from ..wire.control_packets import NtpTimeAnnounce, PtpTimeAnnounce
from ..wire.malformed_packet import MalformedPacket
from ..wire.session_plists import (
    RateAnchor,
    SessionTiming,
    SessionTimingPeer,
    read_peers,
    read_rate_anchor,
    read_setup,
    write_rate_anchor,
    write_setup,
)
from .session_messages import (
    AnchorRequest,
    FlushRequest,
    FrameRequest,
    PacketRequest,
    PeersRequest,
    RateAnchorRequest,
    Request,
    SessionAnswer,
    SetupRequest,
)

MOST_PEERS = 64
ANNOUNCED_NS = 7_000_000_000
"""A real-time stream whose time announces stop for this long has no anchor any more."""


class RefusedRequest(ValueError):
    """A request that cannot be fulfilled; the text is a sentence."""


class AirplaySession:
    """A session. `update` gives it the clock of its peers, `fulfil` each request."""

    def __init__(self, identity: int, addresses: Iterable[str]) -> None:
        """``identity`` is that of our PTP clock, ``addresses`` are those of our interface: senders get them."""
        self.peers: tuple[str, ...] = ()
        """Addresses of the devices that take part, in order; empty before the SETUP, and with NTP."""
        self.ntp_server: tuple[str, int] | None = None
        """Address and port of the sender's clock, if the session wants NTP."""
        self._own = SessionTimingPeer(addresses=tuple(addresses), id="Phasegraph", clock=identity, device_type=2)
        self._timeline = AnchorTimeline(44_100)
        self._estimate: ClockEstimate | None = None
        self._announced_ns: int | None = None
        self._latency = SENDER_LATENCY

    def update(self, estimate: ClockEstimate, now_ns: int) -> None:
        """The clock of the session's peers, at a local time."""
        self._estimate = estimate
        self._timeline.clock(estimate, now_ns)
        if self._announced_ns is not None and now_ns - self._announced_ns > ANNOUNCED_NS:
            self._timeline.clear()
            self._announced_ns = None

    def fulfil(self, request: Request, now_ns: int) -> SessionAnswer:
        """Fulfil a request that came at a local time. Nothing is raised, whatever is in it."""
        try:
            match request:
                case SetupRequest():
                    return self._setup(request)
                case PeersRequest():
                    self.peers = _addresses(read_peers(request.body))
                case RateAnchorRequest():
                    self._set_rate(read_rate_anchor(request.body))
                case PacketRequest():
                    self._announce(request.data, now_ns)
                case FlushRequest():
                    self._timeline.clear()
                case FrameRequest():
                    return self._frame(request, now_ns)
                case AnchorRequest():
                    return self._anchor(request, now_ns)
        except (MalformedPacket, RefusedRequest) as refusal:
            return SessionAnswer(id=request.id, ok=False, error=str(refusal), state=self._state)
        return SessionAnswer(id=request.id, state=self._state)

    @property
    def _state(self) -> str:
        return (ClockState.UNLOCKED if self._estimate is None else self._estimate.state).value

    def _setup(self, request: SetupRequest) -> SessionAnswer:
        timing = read_setup(request.body)
        if timing.protocol == "NTP":
            if request.address is None or not timing.timing_port:
                raise RefusedRequest("a session with NTP needs timingPort in its SETUP, and the sender's address")
            self.peers, self.ntp_server = (), (_plain(request.address), timing.timing_port)
        else:
            named = _addresses([*([timing.peer] if timing.peer else []), *timing.peers])
            if not named:
                raise RefusedRequest(f"the SETUP names no peers; its timingProtocol is {timing.protocol}")
            self.peers, self.ntp_server = named, None
        self._timeline = AnchorTimeline(request.rate)
        reply = SessionTiming(peer=self._own, timing_port=0)
        return SessionAnswer(id=request.id, state=self._state, body=write_setup(reply))

    def _set_rate(self, message: RateAnchor) -> None:
        anchor = Anchor.from_rate_anchor(message)
        if anchor is None or not message.playing:
            self._timeline.pause()
        else:
            self._timeline.set(anchor)

    def _announce(self, data: bytes, now_ns: int) -> None:
        packet = control_packets.decode(data)
        if isinstance(packet, PtpTimeAnnounce) or (isinstance(packet, NtpTimeAnnounce) and self.ntp_server):
            clock = "" if self._estimate is None else self._estimate.grandmaster
            self._timeline.set(Anchor.from_time_announce(packet, clock))
            self._announced_ns, self._latency = now_ns, packet.latency_frames
        else:
            raise RefusedRequest("the packet is no time announce of this session's kind of timing")

    def _frame(self, request: FrameRequest, now_ns: int) -> SessionAnswer:
        sounds_ns = self._timeline.local_of(request.rtp, now_ns)
        bound = None if self._estimate is None else self._estimate.bound_ns
        return SessionAnswer(
            id=request.id,
            state=self._state,
            playing=sounds_ns is not None,
            monotonic_ns=sounds_ns,
            bound_ns=None if sounds_ns is None or bound is None or bound >= UNKNOWN_NS else round(bound),
        )

    def _anchor(self, request: AnchorRequest, now_ns: int) -> SessionAnswer:
        estimate, rtp = self._estimate, self._timeline.rtp_at(now_ns)
        if estimate is None or rtp is None or self.ntp_server is not None:
            raise RefusedRequest("no stream plays on a PTP timeline: there is no anchor")
        sounds_ns = self._timeline.local_of(rtp, now_ns)
        assert sounds_ns is not None
        anchor = Anchor(rtp=rtp, reference_ns=estimate.reference_at(sounds_ns), clock=estimate.grandmaster)
        message = RateAnchor(
            playing=True, rtp=rtp, time_ns=anchor.reference_ns, clock=parse_clock_identity(anchor.clock)
        )
        return SessionAnswer(
            id=request.id,
            state=self._state,
            body=write_rate_anchor(message),
            packet=control_packets.encode(anchor.to_time_announce(self._latency)),
        )


def _addresses(peers: Iterable[SessionTimingPeer]) -> tuple[str, ...]:
    named = [address for peer in peers for address in peer.addresses]
    if len(named) > MOST_PEERS:
        raise RefusedRequest(f"{len(named)} addresses of peers, at most {MOST_PEERS} are allowed")
    return tuple(sorted({*map(_plain, named)}))


def _plain(address: str) -> str:
    try:
        plain = plain_address(address)
    except ValueError:
        raise RefusedRequest(f"{address!r} is not an IP address") from None
    if ipaddress.ip_address(plain).is_multicast:
        raise RefusedRequest(f"{address} is a multicast address")
    return plain
