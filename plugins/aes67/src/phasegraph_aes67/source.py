"""The ``aes67`` source: receives one stream."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import partial

import msgspec
import trio

from phasegraph import Build, Encoding, Metrics, NodeContext, NodeError, Stream

from . import sdp
from .browse import Browsers
from .options import Aes67SourceConfig
from .parameters import StreamParameters, frames_per_packet
from .receive_hub import ReceiveHub
from .session_follower import SessionFollower
from .stream_receiver import StreamReceiver

WATCH_NS = 250_000_000


class Aes67Source:
    """Receives one stream. The samples' way goes past it: hub -> receiver -> ring."""

    stream: Stream

    def __init__(self, config: Aes67SourceConfig, build: Build) -> None:
        self._config = config
        parameters = _parameters(config, build)
        self._receiver = StreamReceiver(
            parameters,
            clock=build.clock(config.clock),
            link_offset_ns=config.link_offset,
            relative=self._relative(parameters),
        )
        self.stream = self._receiver.stream
        self._hub: ReceiveHub | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._follower: SessionFollower | None = None

    async def run(self, ctx: NodeContext, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See `Node.run`."""
        self._hub = ctx.shared(ReceiveHub)
        self._receiver.tell = lambda name, fields: ctx.call_soon(partial(ctx.event, name, **fields))
        end_after, name = self._config.end_after, self._config.session
        if name is None:
            self._unsubscribe = self._hub.subscribe(self._receiver, self._config.interface)
        else:
            browser = ctx.shared(Browsers).on(self._hub.interface(self._config.interface))
            self._follower = SessionFollower(ctx, browser, name, self.stream.format, self._tune)
        try:
            task_status.started()
            if end_after is None and self._follower is None:
                await trio.sleep_forever()
            while end_after is None or not self._silent(ctx.local.now_ns(), end_after):
                if self._follower is not None:
                    self._follower.look()
                await ctx.sleep(WATCH_NS if end_after is None else min(WATCH_NS, end_after // 4))
            self.stream.finish()
            ctx.event("stream_ended", packets=self._receiver.packets_received)
        finally:
            if self._unsubscribe is not None:
                self._unsubscribe()
                self._unsubscribe = None

    def metrics(self) -> Metrics:
        """See `Node.metrics`."""
        dropped = self._hub.dropped() if self._hub is not None else 0
        named = {} if self._follower is None else {"session": self._follower.state}
        stream = str(self._receiver.parameters)
        return {**self._receiver.metrics(), "socket_dropped": dropped, "stream": stream, **named}

    def _relative(self, parameters: StreamParameters) -> bool:
        how = self._config.media_clock
        return how == "relative" or (how == "auto" and parameters.mediaclk_offset is None)

    def _tune(self, session: sdp.Session) -> None:
        # Receive from now on what an announcement describes. Raises NodeError.
        assert self._hub is not None
        stream = _of_session(session, self._config)
        if self._unsubscribe is not None:
            before = msgspec.structs.replace(self._receiver.parameters, ts_refclk=stream.ts_refclk)
            if stream == before:
                return
            self._unsubscribe()
            self._unsubscribe = None
        self._receiver = self._receiver.retuned(stream, relative=self._relative(stream))
        self._unsubscribe = self._hub.subscribe(self._receiver, self._config.interface)

    def _silent(self, now_ns: int, limit_ns: int) -> bool:
        last = self._receiver.last_arrival_ns
        return last is not None and now_ns - last > limit_ns


def _parameters(config: Aes67SourceConfig, build: Build) -> StreamParameters:
    if config.source is not None:
        _check_address(config.source, "source")
    given = [name for name in ("sdp", "session", "group") if getattr(config, name) is not None]
    if not given:
        raise NodeError(
            "it is not said which stream to receive", "give sdp, or session or group with encoding, rate and channels"
        )
    if len(given) > 1:
        raise NodeError(f"{' and '.join(given)} are both given", "keep one of them", option=given[-1])
    if config.sdp is not None:
        return _from_sdp(config.sdp, config, build)
    if config.group is not None:
        _check_address(config.group, "group")
    return StreamParameters(
        address=config.group or "0.0.0.0",
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
    return _of_session(session, config)


def _of_session(session: sdp.Session, config: Aes67SourceConfig) -> StreamParameters:
    stream = session.streams[0]
    return msgspec.structs.replace(stream, source=config.source) if config.source else stream
