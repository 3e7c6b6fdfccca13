"""What the ``soundcard`` sink and source have in common: options of the card, and figures about it."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from phasegraph import Duration, Metrics

from .callback_stamps import StampReader

Device = Annotated[
    str | int | None,
    Meta(description="The card: its name, a part of it, or its number in `kernel devices`; the default if left out."),
]
Latency = Annotated[
    Annotated[Duration, Meta(ge=0, le=2_000_000_000)] | None,
    Meta(description="What is asked of the driver; what it holds safe if left out."),
]
Block = Annotated[
    int,
    Meta(description="Frames of a callback; 0 for the card's own period, whose times are best.", ge=0, le=16384),
]


def stream_options(*, rate: int, channels: int, latency: int | None, block: int) -> dict[str, Any]:
    """Options of a raw stream of sounddevice's."""
    seconds: float | str = "high" if latency is None else latency / 1e9
    return {"samplerate": rate, "channels": channels, "latency": seconds, "blocksize": block}


def card_metrics(stamps: StampReader) -> Metrics:
    """Figures of a card: its rate against local time, and where its times come from."""
    if stamps.timeline is None or stamps.source is None:
        return {}
    return {
        "device_rate_ppb": round(stamps.timeline.rate_ppb, 1),
        "stamp_jitter_ns": round(stamps.timeline.jitter_ns),
        "lost_frames": stamps.skipped,
        "time_source": stamps.source.reason,
    }
