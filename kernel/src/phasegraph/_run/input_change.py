"""A change of a sink's input at a frame: from some taps to others, or to the end.

States: *preparing* (the new taps run beside the old ones: crossings lock, but do not sound), *armed* (the frame N is
known), *passed* (the sink has read N: the old taps are left behind, or fade out). The output is the old input up to
frame N - 1 and the new one from N on; with a fade of F frames both are mixed, linearly, from N to N + F - 1.

Threads: the control plane makes it. ``frame`` or ``local_ns`` is set once, which arms it: between two steps, so that
all sinks of a change see theirs together. The sink's step reads them and writes everything else.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._core.clock import frames_in
from .taps import Tap

ChannelTaps = tuple[tuple[Tap, Sequence[int] | None], ...]
"""The taps of an input, with the channels (from 0) that are read of each; None: all."""
AT_ONCE = -(1 << 62)
"""A frame that every sink has passed: the change is at the next frame that it reads."""


class InputChange:
    """A change of one sink's input."""

    def __init__(self, taps: ChannelTaps | None, *, fade_frames: int = 0) -> None:
        """``taps`` are the new ones; None ends the input."""
        self.taps = taps
        self.fade_frames = fade_frames
        self.frame: int | None = None
        """N, where the sink's frames have a known time. Written between two steps; by the control plane only where the
        sink does not read."""
        self.local_ns: int | None = None
        """Local time of N, for a sink that is paced by its own device. Written between two steps."""
        self.passed_at: int | None = None
        """N, once the sink has read it. Written by the sink's step."""

    @property
    def armed(self) -> bool:
        """Whether N is known."""
        return self.frame is not None or self.local_ns is not None

    def first_frame(self, frame: int, count: int, local_ns: int, rate: int) -> int | None:
        """N, if it comes before the end of the block that begins with ``frame`` at ``local_ns``.

        A sink that has read N already changes at the block's first frame.
        """
        first = self.frame
        if first is None:
            if self.local_ns is None:
                return None
            ahead_ns = self.local_ns - local_ns
            first = frame + (frames_in(ahead_ns, rate) if ahead_ns > 0 else 0)
        return max(first, frame) if first < frame + count else None
