"""RTP timestamps and local time, through an anchor. Pure."""

from __future__ import annotations

from .anchor import Anchor
from .anchor_timeline import AnchorTimeline

__all__ = ["Anchor", "AnchorTimeline"]
