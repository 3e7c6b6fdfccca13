"""Session descriptions in the kernel's plain values, for programs that hand streams to a run."""

from __future__ import annotations

from phasegraph import OfferedSession, OfferedStream, duration_of

from . import sdp
from .parameters import StreamParameters


def offer_of(text: str) -> OfferedSession:
    """What a session description offers. Raises ValueError with the reason why it is not usable."""
    session = sdp.parse(text)
    streams = (offered_stream(*item) for item in zip(session.streams, session.dup_of, strict=True))
    return OfferedSession(name=session.name, streams=tuple(streams), problems=session.problems)


def offered_stream(stream: StreamParameters, dup_of: int | None) -> OfferedStream:
    """One of its streams; ``dup_of`` is the index of the stream that it duplicates."""
    frames = stream.frames_per_packet
    return OfferedStream(
        group=stream.address,
        port=stream.port,
        encoding=stream.encoding.value,
        rate=stream.rate,
        channels=stream.channels,
        packet_time_ns=None if frames is None else duration_of(frames, stream.rate),
        payload_type=stream.payload_type,
        ts_refclk=stream.ts_refclk,
        mediaclk_offset=stream.mediaclk_offset,
        source_filter=stream.source,
        dup_of=dup_of,
    )
