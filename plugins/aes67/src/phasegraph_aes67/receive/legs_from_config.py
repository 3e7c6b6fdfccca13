"""The legs that a source receives (one, or two of a redundant stream), from its options and a session description."""

from __future__ import annotations

import msgspec

from phasegraph import Build, Encoding, NodeError

from .. import sdp
from ..interface_lookup import check_address
from ..options import Aes67SourceConfig
from ..parameters import StreamParameters, frames_per_packet

NOWHERE = "0.0.0.0"
"""The address of a session that has not been found yet."""
Legs = tuple[StreamParameters, ...]


def legs_from_config(config: Aes67SourceConfig, build: Build) -> Legs:
    """The legs that the options and the description they name ask for. Raises NodeError."""
    leg_b = config.leg_b
    check_address(config.group, "group")
    check_address(config.source, "source")
    if leg_b is not None:
        check_address(leg_b.group, "leg-b.group")
        check_address(leg_b.source, "leg-b.source")
    given = [name for name in ("sdp", "session", "group") if getattr(config, name) is not None]
    if not given and config.enabled:
        raise NodeError(
            "no stream to receive is given", "give sdp, or session or group with encoding, rate and channels"
        )
    if len(given) > 1:
        raise NodeError(f"{' and '.join(given)} are both given", "keep one of them", option=given[-1])
    if config.sdp is not None:
        try:
            session = sdp.parse(build.read_text(config.sdp))
            for problem in session.problems:
                build.note(f"{config.sdp}: {problem}")
        except sdp.MalformedSdp as error:
            raise NodeError(f"{config.sdp} is not a usable session description: {error}", option="sdp") from error
        return legs_from_session(session, config)
    first = StreamParameters(
        address=config.group or NOWHERE,
        port=config.port,
        encoding=Encoding(config.encoding),
        rate=config.rate,
        channels=config.channels,
        frames_per_packet=frames_per_packet(config.packet_time, config.rate),
        payload_type=config.payload_type,
        mediaclk_offset=config.mediaclk_offset,
        source=config.source,
    )
    return _with_second(first, None, config)


def legs_from_session(session: sdp.SessionDescription, config: Aes67SourceConfig) -> Legs:
    """The legs of the first stream that a description has, with what the options say in addition. Raises NodeError."""
    first = session.streams[0]
    second = next((s for s, of in zip(session.streams, session.dup_of, strict=True) if of == 0), None)
    if config.source is not None:
        first = msgspec.structs.replace(first, source=config.source)
    return _with_second(first, second if second is not None and second.format == first.format else None, config)


def interfaces_from_config(config: Aes67SourceConfig) -> tuple[str, str]:
    """The interfaces of the two legs, as the options name them."""
    second = None if config.leg_b is None else config.leg_b.interface
    return config.interface, config.interface if second is None else second


def _with_second(first: StreamParameters, second: StreamParameters | None, config: Aes67SourceConfig) -> Legs:
    leg_b = config.leg_b
    if leg_b is not None:
        second = second or first
        second = msgspec.structs.replace(
            second,
            address=leg_b.group or second.address,
            port=leg_b.port or second.port,
            source=leg_b.source or second.source,
        )
    if second is None:
        return (first,)
    apart = (second.address, second.port, second.source) != (first.address, first.port, first.source)
    if not apart and len(set(interfaces_from_config(config))) == 1:
        raise NodeError(
            "both legs are the same: one address, port and interface",
            "name another interface, group or port",
            option="leg-b",
        )
    return first, second
