"""RTP timestamps and local time, through an anchor. Pure."""

from __future__ import annotations

from .anchor import Anchor
from .timeline import Timeline

__all__ = ["Anchor", "Timeline"]
