"""The ``aes67`` sink: sends one stream."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial

import msgspec
import trio

from phasegraph import TASK_STATUS_IGNORED, Build, Encoding, Input, Metric, Metrics, NodeContext, NodeError, duration_of
from phasegraph.net import Interface, interface_mtu

from .interface_lookup import check_address, lacks_address, wait_for_addresses
from .options import Aes67SinkConfig
from .parameters import MAX_PAYLOAD_BYTES, StreamParameters, frames_per_packet
from .send.egress_watch import InterfaceWatch, PacingWatch, RefusalWatch
from .send.paced_stream import PacedStream
from .send.packetiser import Packetiser, random_ssrc
from .send.send_sockets import GATHER_NS, SendSockets
from .session.local_description import LocalDescription
from .session.publication import Publication
from .session.ravenna_publisher import check_name

POLL_NS = 20_000_000
UDP_AND_IP_BYTES = 28
"""Headers of UDP and IPv4, without options."""
WATCH_S = 0.5
"""How often the interfaces, the pacing and the published session description are checked."""


class Aes67Sink:
    """Sends one stream. Samples do not pass through it: input -> packets of a group -> socket."""

    def __init__(self, config: Aes67SinkConfig, build: Build, source: Input) -> None:
        self._config = config
        self._clock = build.clock(config.clock)
        self._parameters = _parameters(config, source)
        self._legs = (self._parameters, *_second_leg(config, self._parameters))
        self._is_am824 = self._parameters.encoding is Encoding.AM824
        self._copied_words = source.raw_samples(Encoding.AM824, together=2) if self._is_am824 else None
        self._packetiser = Packetiser(self._parameters, random_ssrc(), self._copied_words)
        # The same for the same sender of the same graph, so that receivers know the session when it starts again.
        self._session_id = zlib.crc32("\0".join((build.id, config.group, str(config.port))).encode())
        self._source = source
        self._stream = self._new_stream()
        self._sockets: SendSockets | None = None
        self._watches: list[InterfaceWatch] = []
        self._refusals: list[RefusalWatch] = []
        self._pacing_watch: PacingWatch | None = None
        self._waiting = self._fragments = ""
        """Troubles: an interface without an address, and packets longer than an MTU."""
        self._was_scheduled: bool | None = None
        """At the last check."""
        self._publication: Publication | None = None
        self._id = build.id
        self._name = config.name or build.id
        self._description = LocalDescription(
            self._clock,
            self._legs,
            name=self._name,
            session_id=self._session_id,
            preset=config.preset,
        )
        for name in dict.fromkeys(self._interface_names()):
            if reason := self._why_fragmented(name, interface_mtu(name) if name else 0):
                build.note(reason)
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

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """See `Node.run`. Ends when the input has ended and its last packet has been sent."""
        config = self._config
        if not config.enabled:
            task_status.started()
            return
        before = self._stream
        sent = trio.Event()
        self._stream = stream = self._new_stream(partial(ctx.call_soon, sent.set))
        stream.count(before.packets_sent, before.send_errors)
        self._sockets = sockets = ctx.shared(SendSockets)
        self._was_scheduled = None
        names = self._interface_names()
        if any(lacks_address(ctx, name) for name in names):
            task_status.started()
            task_status = TASK_STATUS_IGNORED
            await wait_for_addresses(ctx, names, self._set_waiting)
        interfaces = tuple(sockets.interface(name) for name in names)
        self._watches = [
            InterfaceWatch(name, interface, {"leg": leg} if config.leg_b is not None else {}, partial(_emit_event, ctx))
            for leg, name, interface in zip("ab", names, interfaces, strict=False)
        ]
        self._refusals = [
            RefusalWatch(leg.address, watch.name, watch.label, partial(_emit_event, ctx), errors)
            for leg, watch, errors in zip(self._legs, self._watches, stream.send_errors, strict=True)
        ]
        self._pacing_watch = PacingWatch(partial(_emit_event, ctx))
        self._check_sizes(ctx, interfaces)
        self._description.set_interfaces(interfaces)
        self._publication = publication = Publication(ctx, self._description, config.sdp_out)
        task_status.started()
        while not self._source.ready:
            await ctx.sleep(POLL_NS)
        try:
            sockets.add(
                stream,
                clock=self._clock,
                lead_ns=self._lead_ns(),
                interfaces=interfaces,
                ttl=config.ttl,
                dscp=config.dscp,
                pacing=config.pacing,
            )
            named = [each for each in interfaces if each.name]
            if config.announce:
                publication.announce(named, self._session_id)
            async with trio.open_nursery() as nursery:
                if config.ravenna and not ctx.local.virtual:  # there is no mDNS in a simulation
                    nursery.start_soon(publication.publish_ravenna, self._name, named, config.rtsp_port)
                while not sent.is_set():
                    self._check_interfaces(sockets)
                    config = self._follow_options(config, publication, named)
                    publication.refresh()
                    self._check_pacing(ctx, sockets)
                    with trio.move_on_after(WATCH_S):
                        await sent.wait()
                nursery.cancel_scope.cancel()
        finally:
            publication.withdraw()
            sockets.remove(stream)
            if stream.group is not None and stream.group.by_ring and not sent.is_set():
                # What was handed over leaves, and what is refused of it is counted, before its socket is closed.
                with trio.CancelScope(shield=True):
                    await ctx.sleep(stream.group.schedule.max_early_ns + GATHER_NS)

    def accepts_options(self, config: Aes67SinkConfig) -> bool:
        """See `phasegraph.LiveNode`: the name of a RAVENNA session is that of its services."""
        return not config.ravenna or config.name == self._config.name

    def change_options(self, config: Aes67SinkConfig) -> None:
        """See `phasegraph.LiveNode.change_options`. The next check follows them."""
        self._config = config

    def _follow_options(
        self, before: Aes67SinkConfig, publication: Publication, interfaces: list[Interface]
    ) -> Aes67SinkConfig:
        # What is published follows the options. Raises NodeError.
        config = self._config
        if config is not before:
            self._name = config.name or self._id
            self._description.rename(self._name, config.preset)
            publication.change_path(config.sdp_out)
            if config.announce and not before.announce:
                publication.announce(interfaces, self._session_id)
            elif before.announce and not config.announce:
                publication.withdraw()
        return config

    def _set_waiting(self, reason: str) -> None:
        self._waiting = reason

    def _check_sizes(self, ctx: NodeContext, interfaces: tuple[Interface, ...]) -> None:
        # AES67-2018, 6.3: packets are not fragmented.
        self._fragments = ""
        for each in interfaces:
            if reason := self._why_fragmented(each.name, each.mtu):
                self._fragments = reason
                size = self._packetiser.packet_bytes + UDP_AND_IP_BYTES
                ctx.event("packets_fragmented", interface=each.name, mtu=each.mtu, packet_bytes=size)

    def _why_fragmented(self, interface: str, mtu: int) -> str:
        size = self._packetiser.packet_bytes + UDP_AND_IP_BYTES
        if not 0 < mtu < size:
            return ""
        return (
            f"packets of {size} bytes are longer than the MTU of {interface} ({mtu}) and leave as fragments, which "
            "many receivers do not put together: shorten packet-time, send fewer channels, or raise the MTU"
        )

    def _interface_names(self) -> list[str]:
        leg = self._config.leg_b
        return [self._config.interface] if leg is None else [self._config.interface, leg.interface]

    def _check_interfaces(self, sockets: SendSockets) -> None:
        change = partial(self._change_interface, sockets)
        counts = self._stream.send_errors
        back = [
            watch.check(count, sockets.interface, change) for watch, count in zip(self._watches, counts, strict=True)
        ]
        group = self._stream.group
        if group is not None:
            legs = zip(self._refusals, self._watches, counts, group.senders, strict=True)
            for refusal, watch, count, sender in legs:
                refusal.check(count, sender.refusal_errno, partial(sockets.obstacles, watch.interface))
        if any(back):
            self._description.set_interfaces([watch.interface for watch in self._watches])

    def _change_interface(self, sockets: SendSockets, before: Interface, now: Interface) -> None:
        sockets.change_interface(before, now)
        if self._publication is not None:
            self._publication.change_interface(before, now)

    def _check_pacing(self, ctx: NodeContext, sockets: SendSockets) -> None:
        sockets.check_qdiscs()
        group = self._stream.group
        if group is None:
            return
        if self._pacing_watch is not None:
            self._pacing_watch.check(group.schedule.behind_ns)
        scheduled, reason = group.launch
        if self._was_scheduled not in (None, scheduled):
            ctx.event("pacing_changed", pacing=group.pacing(), reason=reason)
        self._was_scheduled = scheduled

    def counters(self) -> Metrics:
        """See `phasegraph.CountingNode`."""
        errors, group = self._stream.send_errors, self._stream.group
        counted = {"packets_sent": self._stream.packets_sent, "send_errors": sum(errors)}
        if len(errors) > 1:
            counted |= {"leg_a_send_errors": errors[0], "leg_b_send_errors": errors[1]}
        return counted if group is None else counted | group.counters()

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        group = self._stream.group
        reason = self._stream.launch_reason or (group.launch.reason if group is not None else "")
        troubles = [self._waiting, self._fragments, *(refusal.trouble for refusal in self._refusals)]
        if self._pacing_watch is not None:
            troubles.append(self._pacing_watch.trouble)
        trouble = "; ".join(dict.fromkeys(filter(None, troubles)))
        return {
            **self.counters(),
            **(group.metrics() if group is not None else {"lead_ns": self._lead_ns()}),
            **({"pacing_reason": reason} if reason else {}),
            **({"trouble": trouble} if trouble else {}),
            **(self._publication.metrics() if self._publication is not None else {}),
            "stream": str(self._parameters),
            "session_description": self._description.text(),
            **({"am824_labels": "as received" if self._copied_words else "own"} if self._is_am824 else {}),
        }

    def _new_stream(self, on_done: Callable[[], object] | None = None) -> PacedStream:
        destinations = ((leg.address, leg.port) for leg in self._legs)
        return PacedStream(self._packetiser, self._source, *destinations, on_done=on_done)

    def _lead_ns(self) -> int:
        if self._config.lead is not None:
            return self._config.lead
        return duration_of(self._packetiser.frames_per_packet, self._parameters.rate)


def _emit_event(ctx: NodeContext, name: str, fields: dict[str, Metric]) -> None:
    ctx.event(name, **fields)


def _parameters(config: Aes67SinkConfig, source: Input) -> StreamParameters:
    check_address(config.group, "group")
    if config.rate not in (None, source.format.rate):
        raise NodeError(
            f"rate is {config.rate} Hz and the input has {source.format.rate} Hz",
            "leave rate out to send the input's",
            option="rate",
        )
    if config.channels not in (None, source.format.channels):
        raise NodeError(
            f"channels is {config.channels} and the input has {source.format.channels}",
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
    check_address(leg.group, "leg-b.group")
    if (leg.interface, leg.group, leg.port) == (config.interface, config.group, config.port):
        raise NodeError(
            "both legs have the same interface, group and port", "give leg-b an interface of its own", option="leg-b"
        )
    return [msgspec.structs.replace(first, address=leg.group, port=leg.port)]
