"""`kernel`, whose card sinks also report what a longer ring would have spared: python _card_counts.py run GRAPH ...

`ring_underruns`: callbacks that found too few frames although the card had lost none; `lost_cycles`: what the card's
server lost. Both from `SETTLED_NS` after the first frame on.
"""

from __future__ import annotations

from phasegraph import Metrics
from phasegraph._cli import main
from phasegraph_sinks.soundcard.card_player import CardPlayer
from phasegraph_sinks.soundcard.soundcard_sink import SoundcardSink

SETTLED_NS = 4_000_000_000


class _Counts:
    """What one player has lacked since it settled."""

    def __init__(self) -> None:
        self.began_ns: int | None = None
        self.seen = (0, 0)
        self.underruns = self.lost = 0

    def look(self, player: CardPlayer, local_ns: int) -> None:
        """After a step."""
        if self.began_ns is None and player.ring.end:
            self.began_ns = local_ns
        (underruns, lost), self.seen = self.seen, (player.ring.underruns, player.ring.lost_cycles)
        if self.seen < (underruns, lost):  # the card was lost, and has a new ring
            underruns, lost = 0, 0
        if self.began_ns is not None and local_ns - self.began_ns >= SETTLED_NS:
            self.lost += self.seen[1] - lost
            self.underruns += (self.seen[0] - underruns) * (self.seen[1] == lost)


def count() -> None:
    """From now on."""
    step, metrics, counts = CardPlayer.step, SoundcardSink.metrics, _Counts()

    def counted_step(self: CardPlayer, local_ns: int) -> int:
        following = step(self, local_ns)
        counts.look(self, local_ns)
        return following

    def with_counts(self: SoundcardSink) -> Metrics:
        return {**metrics(self), "ring_underruns": counts.underruns, "lost_cycles": counts.lost}

    CardPlayer.step = counted_step  # type: ignore[method-assign]
    SoundcardSink.metrics = with_counts  # type: ignore[method-assign]


if __name__ == "__main__":
    count()
    main()
