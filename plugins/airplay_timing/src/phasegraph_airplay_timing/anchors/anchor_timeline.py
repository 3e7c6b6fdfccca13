"""When the frames of a stream sound in local time, while anchors and clocks change."""

from __future__ import annotations

import msgspec

from phasegraph import ClockEstimate, ClockState

from .anchor import Anchor


class AnchorTimeline:
    """A stream's anchor beside the clock. Time is an argument; nothing is read.

    While the leader changes, the old mapping goes on. When the new leader's time is known, the anchor is re-based:
    the frame that sounds at this local instant is made an anchor of the new clock, so the change is not audible. An
    anchor of a clock that is not followed yet waits until it is.
    """

    def __init__(self, rate: int) -> None:
        """``rate`` is in frames per second."""
        self.rate = rate
        self.anchor: Anchor | None = None
        """The anchor in use, of the clock that was seen last."""
        self.rebased = 0
        """How often the anchor was carried over to another clock."""
        self._waiting: Anchor | None = None
        self._estimate: ClockEstimate | None = None

    def set(self, anchor: Anchor) -> None:
        """A new anchor came."""
        known = self._estimate
        if known is not None and anchor.clock == known.grandmaster:
            self.anchor, self._waiting = anchor, None
        else:
            self._waiting = anchor

    def pause(self) -> None:
        """The stream stops where it is."""
        for name in ("anchor", "_waiting"):
            anchor: Anchor | None = getattr(self, name)
            if anchor is not None:
                setattr(self, name, msgspec.structs.replace(anchor, playing=False))

    def clear(self) -> None:
        """The stream was flushed, or no time announce has come for long: there is no anchor any more."""
        self.anchor = self._waiting = None

    def clock(self, estimate: ClockEstimate, local_ns: int) -> None:
        """The newest snapshot of the clock, at a local time."""
        if estimate.state is ClockState.UNLOCKED:
            return
        before, anchor = self._estimate, self.anchor
        changed = before is not None and (
            estimate.grandmaster != before.grandmaster or estimate.discontinuities != before.discontinuities
        )
        if changed and before is not None and anchor is not None:
            sounding = anchor.rtp_at(before.reference_at(local_ns), self.rate)
            exact = anchor.time_of(sounding, self.rate, before.reference_at(local_ns))
            reference_ns = estimate.reference_at(before.local_at(exact))
            self.anchor = msgspec.structs.replace(
                anchor, rtp=sounding, reference_ns=reference_ns, clock=estimate.grandmaster
            )
            self.rebased += 1
        self._estimate = estimate
        if self._waiting is not None and self._waiting.clock == estimate.grandmaster:
            self.anchor, self._waiting = self._waiting, None

    def local_of(self, rtp: int, near_local_ns: int) -> int | None:
        """Local time at which a frame sounds, the nearest to another one; None while nothing plays."""
        if self.anchor is None or not self.anchor.playing or self._estimate is None:
            return None
        near_ns = self._estimate.reference_at(near_local_ns)
        return self._estimate.local_at(self.anchor.time_of(rtp, self.rate, near_ns))

    def rtp_at(self, local_ns: int) -> int | None:
        """RTP timestamp of the frame that sounds at a local time; None while nothing plays."""
        if self.anchor is None or not self.anchor.playing or self._estimate is None:
            return None
        return self.anchor.rtp_at(self._estimate.reference_at(local_ns), self.rate)
