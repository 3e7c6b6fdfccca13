"""RTP timestamps and local time, through an anchor. Pure."""

from __future__ import annotations

from .anchor import SENDER_LATENCY, Anchor
from .anchor_timeline import AnchorTimeline

__all__ = ["SENDER_LATENCY", "Anchor", "AnchorTimeline"]
