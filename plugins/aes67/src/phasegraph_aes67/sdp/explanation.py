"""A session description in words, for people who ask why a stream is silent."""

from __future__ import annotations

from collections.abc import Iterator

from phasegraph import duration_of, format_duration

from ..parameters import StreamParameters
from .reference_clock import parse_reference
from .sdp_reader import SessionDescription


def explain(session: SessionDescription) -> Iterator[str]:
    """Sentences about what the description offers, stream by stream."""
    for index, stream in enumerate(session.streams):
        first = session.dup_of[index]
        yield f"stream {index + 1}" + (
            "" if first is None else f" (a duplicate of stream {first + 1}, on another path)"
        )
        yield from (f"  {line}" for line in _stream(stream))
    if session.information:
        yield f"information: {session.information}"


def _stream(stream: StreamParameters) -> Iterator[str]:
    frames = stream.frames_per_packet
    time = f"{format_duration(duration_of(frames, stream.rate))} ({frames} frames)" if frames else "unknown"
    channels = f"{stream.channels} channel{'' if stream.channels == 1 else 's'}"
    yield f"{stream.encoding}, {stream.rate / 1000:g} kHz, {channels}, packet time {time}"
    how = "multicast group" if stream.multicast else "unicast address"
    ttl = f", time to live {stream.ttl}" if stream.ttl is not None else ""
    yield f"sent to the {how} {stream.address}, port {stream.port}, payload type {stream.payload_type}{ttl}"
    if stream.source is not None:
        yield f"only from {stream.source} (source-specific)"
    if stream.excluded:
        yield f"not from {', '.join(stream.excluded)}"
    if not stream.ts_refclk:
        yield "timestamps count an unknown clock"
    else:
        yield f"timestamps count {parse_reference(stream.ts_refclk)}"
    if stream.mediaclk_offset is None:
        yield "their relation to that clock is unknown: the first packet sets it"
    elif stream.mediaclk_offset:
        yield f"with the offset {stream.mediaclk_offset}, which a device may change when it restarts"
