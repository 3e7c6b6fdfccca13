"""The ``aes67`` sink: sends one stream."""

from __future__ import annotations

import ipaddress
import re
from functools import partial
from pathlib import Path

import msgspec
import trio

from phasegraph import Build, ClockReader, Encoding, Input, Metrics, NodeContext, NodeError, duration_of

from . import sdp
from .options import Aes67SinkConfig
from .packetise import Packetiser, ssrc_of
from .parameters import MAX_PAYLOAD_BYTES, StreamParameters, frames_per_packet
from .send_group import Member
from .send_hub import SendHub

POLL_NS = 20_000_000
_EUI64 = re.compile(r"[0-9A-Fa-f]{2}(-[0-9A-Fa-f]{2}){7}(:\d+)?\Z")


class Aes67Sink:
    """Sends one stream. The samples' way goes past it: input -> packetiser -> group -> socket."""

    def __init__(self, config: Aes67SinkConfig, build: Build, source: Input) -> None:
        self._config = config
        self._id = build.id
        self._clock = build.clock(config.clock)
        self._parameters = _parameters(config, source)
        self._packetiser = Packetiser(self._parameters, ssrc_of(build.id, config.group, str(config.port)))
        self._source = source
        self._member = self._new_member()
        self._hub: SendHub | None = None
        if config.sdp_out is not None:
            build.provide(config.sdp_out, self._describe("0.0.0.0"))

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`. Ends when the input has ended and its last packet has been sent."""
        config = self._config
        before, self._member = self._member, self._new_member()
        self._member.packets_sent, self._member.send_errors = before.packets_sent, before.send_errors
        self._hub = ctx.shared(SendHub)
        interface = self._hub.interface(config.interface)
        if config.sdp_out is not None:
            _write(config.sdp_out, self._describe(interface.address))
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
                interface=interface,
                ttl=config.ttl,
                dscp=config.dscp,
            )
            await sent.wait()
        finally:
            self._hub.remove(self._member)

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        group = self._hub.group_of(self._member) if self._hub is not None else None
        return {
            "packets_sent": self._member.packets_sent,
            "send_errors": self._member.send_errors,
            **(group.metrics() if group is not None else {"lead_ns": self._lead_ns()}),
            "stream": str(self._parameters),
        }

    def _new_member(self) -> Member:
        return Member(self._packetiser, self._source, (self._config.group, self._config.port))

    def _lead_ns(self) -> int:
        if self._config.lead is not None:
            return self._config.lead
        return duration_of(self._packetiser.frames_per_packet, self._parameters.rate)

    def _describe(self, origin: str) -> str:
        return sdp.write(
            _with_reference_clock(self._parameters, self._clock),
            name=self._config.name or self._id,
            origin=origin,
            session_id=self._packetiser.ssrc,
        )


def _parameters(config: Aes67SinkConfig, source: Input) -> StreamParameters:
    try:
        ipaddress.IPv4Address(config.group)
    except ValueError:
        raise NodeError(f"{config.group!r} is not an IPv4 address", option="group") from None
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


def _with_reference_clock(parameters: StreamParameters, clock: ClockReader) -> StreamParameters:
    # The clock as RFC 7273, 4.8, names it.
    estimate = clock.estimate()
    if _EUI64.match(estimate.grandmaster):
        refclk = f"ptp=IEEE1588-2008:{estimate.grandmaster.upper()}"
    else:
        refclk = "local"
    return msgspec.structs.replace(parameters, ts_refclk=refclk)


def _write(path: str, text: str) -> None:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, newline="")
    except OSError as error:
        raise NodeError(f"cannot write {path}: {error.strerror}", option="sdp-out") from error
