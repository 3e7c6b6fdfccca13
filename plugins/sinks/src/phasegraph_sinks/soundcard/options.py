"""What the ``soundcard`` sink and source have in common: options of the card, and figures about it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from phasegraph import Duration, Metrics

from .callback_stamps import CallbackStamps

Device = Annotated[
    str | int | None,
    Meta(description="The card: its name, a part of it, or its number in `kernel devices`; the default if left out."),
]
Latency = Annotated[
    Annotated[Duration, Meta(ge=0, le=2_000_000_000)] | None,
    Meta(description="Latency requested of the driver; the one that it considers safe if left out."),
]
Block = Annotated[
    int,
    Meta(description="Frames of a callback; 0 for the card's own period, whose times are best.", ge=0, le=16384),
]


def card_metrics(stamps: CallbackStamps, lost_frames: int, trouble: str) -> Metrics:
    """Figures of a card: rate against local time, losses, where its times come from, and trouble, if there is any."""
    said = {"trouble": trouble} if trouble else {}
    if stamps.timeline is None or stamps.source is None:
        return said
    return {
        **said,
        "device_rate_ppb": round(stamps.timeline.rate_ppb, 1),
        "stamp_jitter_ns": round(stamps.timeline.jitter_ns),
        "lost_frames": lost_frames,
        "time_source": stamps.source.reason,
    }
