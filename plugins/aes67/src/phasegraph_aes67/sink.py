"""The ``aes67`` sink: sends one stream."""

from __future__ import annotations

import ipaddress
from functools import partial

import msgspec
import trio

from phasegraph import Build, Encoding, Input, Metric, Metrics, NodeContext, NodeError, duration_of
from phasegraph.net import Interface

from .options import Aes67SinkConfig
from .parameters import MAX_PAYLOAD_BYTES, StreamParameters, frames_per_packet
from .send.egress import InterfaceWatch
from .send.paced_stream import Member
from .send.packetiser import Packetiser, ssrc_of
from .send.send_sockets import SendHub
from .session.description import Description
from .session.publication import Publication
from .session.ravenna_offer import check_name

POLL_NS = 20_000_000
WATCH_S = 0.5
"""How often it is looked whether the session description is still true, or is to be announced."""


class Aes67Sink:
    """Sends one stream. The samples' way goes past it: input -> packetiser -> group -> socket."""

    def __init__(self, config: Aes67SinkConfig, build: Build, source: Input) -> None:
        self._config = config
        self._clock = build.clock(config.clock)
        self._parameters = _parameters(config, source)
        self._legs = (self._parameters, *_second_leg(config, self._parameters))
        self._is_am824 = self._parameters.encoding is Encoding.AM824
        self._passed = source.raw_samples(Encoding.AM824, together=2) if self._is_am824 else None
        ssrc = ssrc_of(build.id, config.group, str(config.port))
        self._packetiser = Packetiser(self._parameters, ssrc, self._passed)
        self._source = source
        self._member = self._new_member()
        self._hub: SendHub | None = None
        self._watches: list[InterfaceWatch] = []
        self._held: bool | None = None
        """Whether the queue paced it when that was last looked at."""
        self._publication: Publication | None = None
        self._name = config.name or build.id
        self._description = Description(
            self._clock,
            self._legs,
            name=self._name,
            session_id=self._packetiser.ssrc,
            preset=config.preset,
        )
        if (config.announce or config.ravenna) and not config.interface:
            raise NodeError(
                "an announcement names the address that the stream comes from",
                "name the interface with the option interface",
                option="announce" if config.announce else "ravenna",
            )
        if config.ravenna:
            check_name(self._name)
        if config.sdp_out is not None:
            build.provide(config.sdp_out, self._description.text())

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`. Ends when the input has ended and its last packet has been sent."""
        config = self._config
        before, self._member = self._member, self._new_member()
        self._member.packets_sent, self._member.send_errors = before.packets_sent, before.send_errors
        self._hub = ctx.shared(SendHub)
        self._held = None
        names = [config.interface] if config.leg_b is None else [config.interface, config.leg_b.interface]
        interfaces = tuple(self._hub.interface(name) for name in names)
        self._watches = [
            InterfaceWatch(name, interface, {"leg": leg} if config.leg_b is not None else {}, partial(_tell, ctx))
            for leg, name, interface in zip("ab", names, interfaces, strict=False)
        ]
        self._description.send_through(interfaces)
        self._publication = publication = Publication(ctx, self._description, config.sdp_out)
        task_status.started()
        while not self._source.ready:
            await ctx.sleep(POLL_NS)
        lead_ns = self._lead_ns()
        sent = trio.Event()
        self._member.on_done = partial(ctx.call_soon, sent.set)
        try:
            self._hub.add(
                self._member,
                clock=self._clock,
                lead_ns=lead_ns,
                interfaces=interfaces,
                ttl=config.ttl,
                dscp=config.dscp,
                pacing=config.pacing,
            )
            named = [each for each in interfaces if each.name]
            if config.announce:
                publication.announce(named, self._packetiser.ssrc)
            async with trio.open_nursery() as nursery:
                if config.ravenna and not ctx.local.virtual:  # there is no mDNS in a simulation
                    nursery.start_soon(publication.offer, self._name, named, config.rtsp_port)
                while not sent.is_set():
                    self._look_at_interfaces(self._hub)
                    publication.look()
                    self._look_at_pacing(ctx)
                    with trio.move_on_after(WATCH_S):
                        await sent.wait()
                nursery.cancel_scope.cancel()
        finally:
            publication.withdraw()
            self._hub.remove(self._member)

    def _look_at_interfaces(self, hub: SendHub) -> None:
        errors = zip(self._watches, self._member.send_errors, strict=True)
        back = [watch.look(refused, hub.interface, partial(self._move, hub)) for watch, refused in errors]
        if any(back):
            self._description.send_through([watch.interface for watch in self._watches])

    def _move(self, hub: SendHub, before: Interface, now: Interface) -> None:
        hub.move(before, now)
        if self._publication is not None:
            self._publication.move(before, now)

    def _look_at_pacing(self, ctx: NodeContext) -> None:
        assert self._hub is not None
        self._hub.look()
        group = self._hub.group_of(self._member)
        if group is not None and group.held != self._held:
            if self._held is not None:
                ctx.event("pacing_changed", pacing="queue" if group.held else "thread", reason=group.reason)
            self._held = group.held

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        group = self._hub.group_of(self._member) if self._hub is not None else None
        reason = self._member.reason or (group.reason if group is not None else "")
        errors = self._member.send_errors
        legs = {} if len(errors) < 2 else {"leg_a_send_errors": errors[0], "leg_b_send_errors": errors[1]}
        return {
            "packets_sent": self._member.packets_sent,
            "send_errors": sum(errors),
            **legs,
            **(group.metrics() if group is not None else {"lead_ns": self._lead_ns()}),
            **({"pacing_reason": reason} if reason else {}),
            **(self._publication.metrics() if self._publication is not None else {}),
            "stream": str(self._parameters),
            **({"am824_labels": "as received" if self._passed else "own"} if self._is_am824 else {}),
        }

    def _new_member(self) -> Member:
        return Member(self._packetiser, self._source, *((leg.address, leg.port) for leg in self._legs))

    def _lead_ns(self) -> int:
        if self._config.lead is not None:
            return self._config.lead
        return duration_of(self._packetiser.frames_per_packet, self._parameters.rate)


def _tell(ctx: NodeContext, name: str, fields: dict[str, Metric]) -> None:
    ctx.event(name, **fields)


def _parameters(config: Aes67SinkConfig, source: Input) -> StreamParameters:
    _check_address(config.group, "group")
    if config.rate not in (None, source.format.rate):
        raise NodeError(
            f"it should send {config.rate} Hz and its input has {source.format.rate} Hz",
            "leave rate out to send the input's",
            option="rate",
        )
    if config.channels not in (None, source.format.channels):
        raise NodeError(
            f"it should send {config.channels} channels and its input has {source.format.channels}",
            "leave channels out to send the input's, or choose channels in input",
            option="channels",
        )
    parameters = StreamParameters(
        address=config.group,
        port=config.port,
        encoding=Encoding(config.encoding),
        rate=source.format.rate,
        channels=source.format.channels,
        frames_per_packet=frames_per_packet(config.packet_time, source.format.rate),
        payload_type=config.payload_type,
        ttl=config.ttl,
    )
    if parameters.encoding is Encoding.AM824 and parameters.channels % 2:
        raise NodeError(
            f"AM824 sends pairs of channels, and there are {parameters.channels}",
            "choose an even number of channels in input",
            option="encoding",
        )
    assert parameters.frames_per_packet is not None
    payload = parameters.frames_per_packet * parameters.frame_bytes
    if payload > MAX_PAYLOAD_BYTES:
        most = MAX_PAYLOAD_BYTES // parameters.frames_per_packet // parameters.encoding.sample_bytes
        raise NodeError(
            f"{parameters} makes packets of {payload} bytes, and {MAX_PAYLOAD_BYTES} fit",
            f"at this packet time up to {most} channels fit: send fewer, or shorten packet-time",
            option="packet-time",
        )
    return parameters


def _second_leg(config: Aes67SinkConfig, first: StreamParameters) -> list[StreamParameters]:
    leg = config.leg_b
    if leg is None:
        return []
    _check_address(leg.group, "leg-b.group")
    if (leg.interface, leg.group, leg.port) == (config.interface, config.group, config.port):
        raise NodeError(
            "both legs go the same way to the same address", "give the second one its own interface", option="leg-b"
        )
    return [msgspec.structs.replace(first, address=leg.group, port=leg.port)]


def _check_address(text: str, option: str) -> None:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        raise NodeError(f"{text!r} is not an IPv4 address", option=option) from None
