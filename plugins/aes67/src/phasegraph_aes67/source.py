"""The ``aes67`` source: receives one stream."""

from __future__ import annotations

import ipaddress
from functools import partial

import msgspec
import trio

from phasegraph import Build, Encoding, Metrics, NodeContext, NodeError, Stream

from . import sdp
from .options import Aes67SourceConfig
from .parameters import StreamParameters, frames_per_packet
from .receive_hub import ReceiveHub
from .stream_receiver import StreamReceiver

WATCH_NS = 250_000_000


class Aes67Source:
    """Receives one stream. The samples' way goes past it: hub -> receiver -> ring."""

    stream: Stream

    def __init__(self, config: Aes67SourceConfig, build: Build) -> None:
        self._config = config
        parameters = _parameters(config, build)
        relative = config.media_clock == "relative" or (
            config.media_clock == "auto" and parameters.mediaclk_offset is None
        )
        self._receiver = StreamReceiver(
            parameters,
            clock=build.clock(config.clock),
            link_offset_ns=config.link_offset,
            relative=relative,
        )
        self.stream = self._receiver.stream
        self._hub: ReceiveHub | None = None

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        self._hub = ctx.shared(ReceiveHub)
        self._receiver.tell = lambda name, fields: ctx.call_soon(partial(ctx.event, name, **fields))
        unsubscribe = self._hub.subscribe(self._receiver, self._config.interface)
        try:
            task_status.started()
            if self._config.end_after is None:
                await trio.sleep_forever()
            while not self._silent(ctx.local.now_ns(), self._config.end_after):
                await ctx.sleep(min(WATCH_NS, self._config.end_after // 4))
            self.stream.finish()
            ctx.event("stream_ended", packets=self._receiver.packets_received)
        finally:
            unsubscribe()

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        dropped = self._hub.dropped() if self._hub is not None else 0
        return {**self._receiver.metrics(), "socket_dropped": dropped, "stream": str(self._receiver.parameters)}

    def _silent(self, now_ns: int, limit_ns: int) -> bool:
        last = self._receiver.last_arrival_ns
        return last is not None and now_ns - last > limit_ns


def _parameters(config: Aes67SourceConfig, build: Build) -> StreamParameters:
    if config.source is not None:
        _check_address(config.source, "source")
    if config.sdp is not None:
        if config.group is not None:
            raise NodeError("sdp and group are both given", "keep one of them", option="group")
        return _from_sdp(config.sdp, config, build)
    if config.group is None:
        raise NodeError("it is not said which stream to receive", "give sdp, or group with encoding, rate and channels")
    _check_address(config.group, "group")
    return StreamParameters(
        address=config.group,
        port=config.port,
        encoding=Encoding(config.encoding),
        rate=config.rate,
        channels=config.channels,
        frames_per_packet=frames_per_packet(config.packet_time, config.rate),
        payload_type=config.payload_type,
        mediaclk_offset=config.mediaclk_offset,
        source=config.source,
    )


def _check_address(text: str, option: str) -> None:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        raise NodeError(f"{text!r} is not an IPv4 address", option=option) from None


def _from_sdp(path: str, config: Aes67SourceConfig, build: Build) -> StreamParameters:
    try:
        session = sdp.parse(build.read_text(path))
    except sdp.MalformedSdp as error:
        raise NodeError(f"{path} is not a usable session description: {error}", option="sdp") from error
    stream = session.streams[0]
    return msgspec.structs.replace(stream, source=config.source) if config.source else stream
