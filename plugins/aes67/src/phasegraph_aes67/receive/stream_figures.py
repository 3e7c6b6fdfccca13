"""The figures of a received stream: counters that the data plane alone touches, and the snapshot that it publishes."""

from __future__ import annotations

from operator import attrgetter

import msgspec

from phasegraph import Metric

from ..histogram import EMPTY, Distribution, Histogram
from .leg import PacketKind, RtpSender
from .sender_rate import NO_WINDOWS, RateWindows, SenderRate
from .sequence import SequenceTracker


class LegCounters:
    """What one leg has brought. The data plane alone writes it; other threads may read the two times."""

    def __init__(self) -> None:
        self.packets_received = 0
        self.packets_late = 0
        self.packets_early = 0
        self.packets_duplicate = 0
        self.packets_reordered = 0
        self.packets_malformed = 0
        self.packets_foreign = 0
        self.packets_not_audio = 0
        self.packets_unconfirmed = 0
        self.timestamp_jumps = 0
        self.lateness = Histogram()
        self.sequence = SequenceTracker()
        self.rate = SenderRate()
        self.last_arrival_ns: int | None = None
        """When the newest packet with audio came. One reference, which any thread may read."""
        self.last_in_time_ns: int | None = None
        """When the newest packet came that was not wholly too late or too early. As above."""

    def count(self, kind: PacketKind, arrival_ns: int) -> None:
        """Count a packet by what it is."""
        if kind is PacketKind.FOREIGN:
            self.packets_foreign += 1
            return
        if kind in (PacketKind.MALFORMED, PacketKind.MISMATCH):
            self.packets_malformed += 1
            if kind is PacketKind.MALFORMED:
                return
        self.packets_received += 1
        if kind is PacketKind.NOT_AUDIO:
            self.packets_not_audio += 1
            return
        self.last_arrival_ns = arrival_ns
        self.packets_duplicate += kind is PacketKind.DUPLICATE
        self.packets_reordered += kind is PacketKind.REORDERED
        self.packets_unconfirmed += kind is PacketKind.UNCONFIRMED


class LegFigures(msgspec.Struct, frozen=True):
    """One leg at a moment."""

    packets_received: int = 0
    packets_lost: int = 0
    packets_late: int = 0
    packets_early: int = 0
    packets_duplicate: int = 0
    packets_reordered: int = 0
    packets_malformed: int = 0
    packets_foreign: int = 0
    packets_not_audio: int = 0
    packets_unconfirmed: int = 0
    timestamp_jumps: int = 0
    """Packets whose number was the next, and their timestamp was not."""
    lateness: Distribution = EMPTY
    rate_windows: RateWindows = NO_WINDOWS
    """What the rate of the sender's clock against the graph's follows from."""
    sender: RtpSender | None = None
    """The sender that is followed."""
    rival: RtpSender | None = None
    """The newest of the other senders on the same address."""
    trouble: str = ""
    """Why packets that arrive are not played; empty where they are."""
    last_rejection: str = ""
    """Why the newest packet that was not accepted was rejected."""
    last_rejected_ns: int | None = None

    def counters(self) -> dict[str, Metric]:
        """The counters of the leg, by the name of each metric."""
        return dict(zip(_COUNTED, _read_counted(self), strict=True))


_COUNTED = tuple(name for name in LegFigures.__struct_fields__ if name.startswith("packets_"))
_read_counted = attrgetter(*_COUNTED)


class StreamFigures(msgspec.Struct, frozen=True):
    """A received stream at a moment: what `Node.metrics` reports. Immutable: any thread may read it."""

    legs: tuple[LegFigures, ...]
    packets_received: int
    """Of two legs, a packet that came on both counts once."""
    packets_lost: int
    packets_late: int
    packets_early: int
    lateness: Distribution
    frames_concealed: int
    gaps_concealed: int
    link_offset_ns: int
    timing: str

    def with_legs(self, count: int) -> StreamFigures:
        """The same figures, for a session with ``count`` legs."""
        legs = (*self.legs, *(LegFigures() for _ in range(count)))[:count]
        return msgspec.structs.replace(self, legs=legs)

    def counters(self) -> dict[str, Metric]:
        """The counters of the stream, and of each leg where there are two."""
        figures = self.legs[0].counters()
        if len(self.legs) > 1:
            for name in _COUNTED:
                figures[name] = sum(getattr(leg, name) for leg in self.legs)
            figures |= {
                "packets_received": self.packets_received,
                "packets_lost": self.packets_lost,
                "packets_late": self.packets_late,
                "packets_early": self.packets_early,
            }
            for label, leg in zip("ab", self.legs, strict=True):
                figures |= {f"leg_{label}_{name}": value for name, value in leg.counters().items()}
        figures |= {"frames_concealed": self.frames_concealed, "gaps_concealed": self.gaps_concealed}
        return figures

    def metrics(self, before: Distribution = EMPTY) -> dict[str, Metric]:
        """The figures of the stream, and of each leg where there are two.

        ``before`` are the latenesses up to some time ago; the recent lateness is of the packets since then.
        """
        figures = self.counters()
        if len(self.legs) > 1:
            for label, leg in zip("ab", self.legs, strict=True):
                figures |= leg.lateness.metrics(f"leg_{label}_lateness")
        figures |= self.lateness.metrics("lateness")
        if self.lateness.largest_ns is not None:
            figures["lateness_histogram"] = self.lateness.as_text()
            figures["lateness_recent_p99_ns"] = self.lateness.percentile_since(before, 0.99)
        sender, rate = self.legs[0].sender, self.legs[0].rate_windows.rate
        if sender is not None:
            figures |= {"sender": sender.host, "ssrc": sender.ssrc}
        if rate is not None:
            figures |= {"sender_rate_ppb": round(rate.ppb, 1), "sender_rate_sigma_ppb": round(rate.sigma_ppb, 1)}
        figures |= {"link_offset_ns": self.link_offset_ns, "timing": self.timing}
        return figures
