"""One received stream, sans-IO: from the packets of its legs to frames in its ring.

A packet goes one way down, and each part knows nothing of the others:

    Leg             what is it: whose, in which order, of which format?    -> PacketOutcome
    MediaClock      which frame does its timestamp mean, how late is it?   -> frame index, lateness
    RedundantMerge  of two legs, has the other brought it already?
    RingWriter      frames into the ring, gaps, AES3 flags

`StreamReceiver` leads it through, counts what became of it, and reports events. Runs of packets that are exactly what a
leg expects skip the first two steps: `demultiplexer` has compared them in arrays with what the leg expects next.

A packet's **lateness** is its arrival minus its media time. The window is
``-EARLY_LIMIT_NS < lateness <= link offset``: later, at least the packet's first frame should have sounded already;
earlier, it would push out what has not been played. After `FAR_OFF` packets in a row outside the window the reason is
reported. Where timestamps count only themselves, the next packet then sets the mapping again: after `CONFIRMED_BY`
packets where the timestamps jumped, after `FAR_OFF` where they only drifted.

Threads: the data plane alone calls this. What others read is the snapshot `figures`, and the fields whose docstrings
say so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from phasegraph import ClockEstimate, ClockReader, ClockState, Encoding, Metric, Published, Stream, frame_at

from ..parameters import StreamParameters
from ..rtp import RtpHeader
from .diagnosis import PLAUSIBLE_NS, TimestampProgress, is_other_kind, why_drifts
from .leg import CONFIRMED_BY, Leg, PacketKind, RtpSender
from .media_clock import MediaClock
from .redundancy import RedundantMerge
from .ring_writer import RingWriter
from .sender_rate import RateWindows
from .stream_figures import LegCounters, LegFigures, StreamFigures

EARLY_LIMIT_NS = 100_000_000
"""A packet from further in the future than this is not played."""
READ_LAG_NS = 400_000_000
"""How long after a frame was due a reader without a clock (a file) may still read it."""
LINK_OFFSET_ROOM_NS = 50_000_000
"""By how much the link offset may become longer while the source runs."""
FAR_OFF = 50
"""Packets in a row outside the window after which the timestamps do not fit the clock."""
ACTIVE_NS = 500_000_000
"""A leg is active that has brought a packet within this time."""
REPEAT_NS = 60_000_000_000
"""The same reason is reported again after this time without it."""
EVENT_BURST = 5
EVENT_INTERVAL_NS = 10_000_000_000
"""Events that senders cause: a burst of each kind and leg, then one in each interval."""

Emit = Callable[[str, dict[str, Metric]], None]
"""Called with an event's name and fields."""


def _ignore(name: str, fields: dict[str, Metric]) -> None:
    pass


class ReceiverSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What stays the same for as long as a source runs."""

    clock: ClockReader
    clock_name: str = ""
    """Its id in the graph; empty where the graph has only one clock."""
    link_offset_ns: int
    may_run_free: bool = False
    """Whether timestamps count only themselves while the clock has no reference."""
    conceal: bool = False
    emit: Emit = _ignore


class _Destination:
    """What the sessions that a source receives one after the other have in common. The data plane alone writes it."""

    def __init__(self, parameters: StreamParameters, settings: ReceiverSettings) -> None:
        self.stream = Stream(
            parameters.format,
            window_ns=settings.link_offset_ns + LINK_OFFSET_ROOM_NS + EARLY_LIMIT_NS + READ_LAG_NS,
            clock=settings.clock,
            playout_delay_ns=settings.link_offset_ns,
            conceal=settings.conceal,
        )
        self.writer = RingWriter(self.stream)
        self.merge = RedundantMerge(self.writer)
        self.counters = (LegCounters(), LegCounters())


class StreamReceiver:
    """Puts the packets of one stream into its ring."""

    def __init__(
        self,
        legs: Sequence[StreamParameters],
        settings: ReceiverSettings,
        *,
        relative: bool,
        before: StreamReceiver | None = None,
    ) -> None:
        """``legs`` are the ways on which the same packets come: one, or two (ST 2022-7).

        ``relative``: timestamps count only themselves; the first packet sets their mapping to the clock. ``before`` is
        the receiver of the session before; see `for_session`.
        """
        self._settings = settings
        destination = _Destination(legs[0], settings) if before is None else before._destination
        self._destination: _Destination = destination
        self.stream = destination.stream
        self.link_offset_ns = self.stream.playout_delay_ns
        """How late a packet may come: the link offset, in whole frames. Written by the control plane."""
        self.parameters = legs[0]
        self.media_clock = MediaClock(settings.clock, legs[0], relative=relative, may_run_free=settings.may_run_free)
        self.legs = tuple(
            Leg(parameters, number, destination.counters[number].sequence, self.link_offset_ns)
            for number, parameters in enumerate(legs)
        )
        self._others = tuple(tuple(other for other in self.legs if other is not leg) for leg in self.legs)
        self._counters = destination.counters
        self._merge = destination.merge if len(legs) > 1 else None
        self._writer = destination.writer
        self._rate_epoch = -1
        # Mapping of the latenesses that the senders' rates follow from.
        self._carries_flags = legs[0].encoding is Encoding.AM824
        self._audio = self._writer.audio
        self._outside = [0 for _ in self.legs]
        # Packets in a row that were wholly too late or too early, by leg.
        self._jumped = [False for _ in self.legs]
        # Whether timestamps jumped before them.
        self._progress = [TimestampProgress() for _ in self.legs]
        # Timestamp and arrival of the first of them.
        self._out_of_window_reason = ["" for _ in self.legs]
        self._other_rate = ["" for _ in self.legs]
        # Why timestamps that count only themselves go on at another rate: their mapping follows, and they are in time.
        self._reported = [("", 0) for _ in self.legs]
        # The reason that was reported, and when packets were last outside the window for it.
        self._mismatch = ["" for _ in self.legs]
        self._allowance: dict[tuple[str, int], tuple[float, int]] = {}
        # Of each event that senders cause, by leg: how many more may be reported, and when that was computed.
        self._changed = True
        self.stream.on_read = self.sync_to_clock
        # Figures of another session are the data plane's to read: at first, what was published stands.
        figures = self._figures() if before is None else before.figures.latest.with_legs(len(legs))
        self.figures: Published[StreamFigures] = Published(figures)
        """The data plane publishes."""

    def for_session(self, legs: Sequence[StreamParameters], *, relative: bool) -> StreamReceiver:
        """A receiver of another session of the same format, into the same stream and the same counters.

        The control plane may call this while the data plane still uses the old one: only the destination is shared,
        and only the data plane touches that.
        """
        return StreamReceiver(legs, self._settings, relative=relative, before=self)

    def change_link_offset(self, link_offset_ns: int) -> None:
        """Another link offset from now on. The control plane may call it while packets come."""
        self.stream.change_playout_delay(link_offset_ns)
        self.link_offset_ns = self.stream.playout_delay_ns
        for leg in self.legs:
            leg.link_offset_ns = self.link_offset_ns

    @property
    def redundant(self) -> bool:
        """Whether the stream comes twice."""
        return len(self.legs) > 1

    @property
    def packets_received(self) -> int:
        """Packets of the stream; those that came on both legs count once. One number, which any thread may read."""
        return self._destination.counters[0].packets_received if self._merge is None else self._merge.packets_received

    def last_arrival_ns(self, leg: Leg | None = None) -> int | None:
        """When the newest packet with audio came, on a leg or on any. Any thread may call it."""
        legs = self.legs if leg is None else (leg,)
        times = [self._counters[leg.number].last_arrival_ns for leg in legs]
        return max((time for time in times if time is not None), default=None)

    def last_in_time_ns(self, leg: Leg) -> int | None:
        """When the newest packet of a leg came that was in time, at least in part. Any thread may call it."""
        return self._counters[leg.number].last_in_time_ns

    def drift_reason(self, windows: RateWindows) -> str:
        """Why the sender drifts away, if the graph's clock is locked and the windows of its rate show that it does."""
        rate = windows.rate
        if rate is None or self._settings.clock.estimate().state is not ClockState.LOCKED:
            return ""
        relative = self.media_clock.self_related
        return why_drifts(rate.ppb, rate.sigma_ppb, self._settings.clock_name, relative=relative)

    def sync_to_clock(self) -> ClockEstimate:
        """The clock's newest estimate. Where its time jumps, or its reference comes or goes, the stream moves along.

        Called by readers too: they may see a jump before the next packet does.
        """
        estimate, change = self.media_clock.update()
        if change is not None:
            if change.shift:
                self.stream.shift(change.shift)
            if change.timing_changed:
                self._settings.emit("timing_changed", {"timing": self.media_clock.timing})
        return estimate

    def write_run(self, leg: Leg, payloads: NDArray[np.uint8], lateness_ns: NDArray[np.int64], arrival_ns: int) -> None:
        """Write packets that are exactly the expected ones, one a row; the last arrived at ``arrival_ns``."""
        number = leg.number
        counters = self._counters[number]
        counters.packets_received += len(payloads)
        counters.lateness.add(lateness_ns)
        if arrival_ns >= counters.rate.next_sample_ns:
            counters.rate.add(arrival_ns, int(lateness_ns[-1]))
        counters.last_arrival_ns = counters.last_in_time_ns = arrival_ns
        if self._outside[number]:
            self._outside[number] = 0
            self._jumped[number] = False
        self._changed = True
        sequence, frame = leg.advance_run(len(payloads), arrival_ns)
        if self._merge is not None:
            self._merge.write_run(sequence, frame, payloads, lateness_ns, arrival_ns)
        else:
            self._writer.write_packets(frame, payloads.size // self.stream.ring.frame_bytes, payloads, arrival_ns)
        if self._carries_flags:
            self._report_audio()

    def count_others(self, leg: Leg, foreign: int, malformed: int, newest: RtpSender | None) -> None:
        """Count packets of other hosts, which are left out; ``newest`` is the sender of the last foreign one."""
        counters = self._counters[leg.number]
        counters.packets_foreign += foreign
        counters.packets_malformed += malformed
        leg.rival = newest or leg.rival
        self._changed = True

    def accept(
        self, leg: Leg, data: NDArray[np.uint8], length: int, arrival_ns: int, source: int = 0, port: int = 0
    ) -> None:
        """Handle one packet, whatever it is; ``source`` and ``port`` are where it comes from."""
        self._changed = True
        counters = self._counters[leg.number]
        followed_before = any(one.sender is not None for one in self.legs)
        sender_before = leg.sender
        outcome = leg.classify(data, length, arrival_ns, source, port, self._others[leg.number])
        counters.count(outcome.kind, arrival_ns)
        header, payload = outcome.header, outcome.payload
        if header is None:
            return
        if outcome.restarted:
            self._numbers_restart(leg, header)
        if leg.sender is not sender_before:
            self._sender_changed(leg, sender_before, header, first=not followed_before)
        if outcome.mismatch:
            self._mismatch[leg.number] = outcome.mismatch
            self._report(leg, "format_differs", {"reason": outcome.mismatch}, arrival_ns)
        if payload is None:
            return
        frames = len(payload)
        estimate = self.sync_to_clock()
        frame, lateness_ns = self.media_clock.locate(header.timestamp, frames, estimate, arrival_ns)
        if abs(lateness_ns) < PLAUSIBLE_NS:
            counters.lateness.add_one(lateness_ns)
        if self.media_clock.mapping_epoch != self._rate_epoch:
            self._rate_epoch = self.media_clock.mapping_epoch
            for one in self._counters:
                one.rate.restart()
        if outcome.broken or outcome.restarted:
            counters.rate.restart()
            counters.timestamp_jumps += leg.sender is sender_before
        counters.rate.add(arrival_ns, lateness_ns)
        if outcome.kind is PacketKind.AUDIO:
            leg.expect_after(header, frame, frames, self.media_clock.mapping_epoch)
        number = leg.number
        if self._write_packet(counters, header.sequence, frame, payload, lateness_ns, arrival_ns):
            counters.last_in_time_ns = arrival_ns
            self._outside[number] = 0
            self._jumped[number] = False
            if self._carries_flags:
                self._report_audio()
        else:
            self._outside[number] += 1
            self._jumped[number] |= outcome.broken
            self._outside_window(leg, header.timestamp, lateness_ns, arrival_ns)

    def _write_packet(
        self, counters: LegCounters, sequence: int, frame: int, payload: NDArray[np.uint8], lateness_ns: int,
        arrival_ns: int,
    ) -> bool:  # fmt: skip
        # Whether any of it was in time.
        frames, merge = len(payload), self._merge
        fresh = merge is None or merge.is_fresh(sequence, frame, frames)
        if merge is not None and fresh and abs(lateness_ns) < PLAUSIBLE_NS:
            merge.lateness.add_one(lateness_ns)
        if lateness_ns <= -EARLY_LIMIT_NS:
            counters.packets_early += 1
            if merge is not None:
                merge.packets_early += fresh
            return False
        played = 0
        if lateness_ns > self.link_offset_ns:
            # Frames that should have sounded already are lost; the rest of the packet is in time.
            counters.packets_late += 1
            if merge is not None and fresh:
                merge.count_late(frame)
            now = frame_at(self.sync_to_clock().reference_at(arrival_ns), self.parameters.rate)
            played = now - self.stream.playout_delay_frames - frame + 1
            if played >= frames:
                return False
        elif merge is not None:
            merge.count_in_time(frame)
        if fresh:
            self._writer.write_packets(frame + played, frames - played, payload[played:], arrival_ns)
        return True

    def _numbers_restart(self, leg: Leg, header: RtpHeader) -> None:
        # The other leg may have seen the restart before.
        others = [other for other in self._others[leg.number] if other.sender is not None]
        if self._merge is not None and not any(other.fits(header) for other in others):
            self._merge.sequence.begin(header.sequence)

    def _sender_changed(self, leg: Leg, before: RtpSender | None, header: RtpHeader, *, first: bool) -> None:
        # ``first``: no leg had a sender before.
        sender = leg.sender
        assert sender is not None
        self._progress[leg.number].forget()
        if first and self._merge is not None:
            self._merge.sequence.begin(header.sequence)
        if before is None or any(other.sends_as(sender) for other in self._others[leg.number]):
            return  # the stream has one, or the other leg has reported it
        fields: dict[str, Metric] = {"ssrc": sender.ssrc, "before": before.ssrc}
        fields |= {"sender": sender.host, "sender_before": before.host}
        self._report(leg, "source_changed", fields, leg.last_packet_ns or 0, of_leg=False)
        if before.ssrc == sender.ssrc:
            return  # the same one, which goes on from another address
        if self._merge is not None:
            self._merge.sequence.begin(header.sequence)
        if self.media_clock.self_related:
            self._reset_mapping()

    def _reset_mapping(self) -> None:
        self.media_clock.reset_mapping()
        self._outside = [0 for _ in self.legs]

    def _outside_window(self, leg: Leg, timestamp: int, lateness_ns: int, arrival_ns: int) -> None:
        # No frame of the packet that a leg has just brought was in time.
        outside, clock, number = self._outside, self.media_clock, leg.number
        jumped, progress = self._jumped[number], self._progress[number]
        followed = clock.self_related and not jumped and progress.is_recent(arrival_ns)
        if outside[number] == 1 and not followed:
            progress.restart(timestamp, arrival_ns)
            self._other_rate[number] = ""
        if outside[number] % FAR_OFF == 0:
            progress.add(timestamp, arrival_ns)
            other_rate = progress.why_rate_differs(self.parameters.rate)
            self._other_rate[number] = other_rate if clock.self_related else ""
            reason = (
                other_rate
                or self.drift_reason(self._counters[number].rate.windows())
                or clock.out_of_window_reason(lateness_ns, self.link_offset_ns, self.sync_to_clock(), jumped=jumped)
            )
            self._out_of_window_reason[number] = reason
            before, last_ns = self._reported[number]
            self._reported[number] = reason, arrival_ns
            if arrival_ns - last_ns >= REPEAT_NS or is_other_kind(reason, before):
                fields: dict[str, Metric] = {"lateness_ns": lateness_ns, "packets": outside[number], "reason": reason}
                self._report(leg, "timestamps_outside_window", fields, arrival_ns)
        # A leg that is only slower than the other says nothing about the timestamps.
        active = [one for one in self.legs if arrival_ns - (self.last_arrival_ns(one) or 0) < ACTIVE_NS]
        count = min(outside[one.number] for one in active)
        if clock.self_related:
            # Timestamps that jumped are followed at once; packets that are only delayed may be in time again.
            if count >= (CONFIRMED_BY if self._jumped[number] else FAR_OFF):
                self._reset_mapping()
        elif count >= FAR_OFF and clock.may_count_foreign_timebase:
            clock.count_foreign_timebase()
            self._outside = [0 for _ in self.legs]
            self._settings.emit("timing_changed", {"timing": clock.timing})

    def _report_audio(self) -> None:
        if self._writer.audio is not self._audio:
            self._audio = not self._audio
            self._settings.emit("audio" if self._audio else "not_audio", {})

    def _report(self, leg: Leg, name: str, fields: dict[str, Metric], now_ns: int, *, of_leg: bool = True) -> None:
        # An event that a sender causes: a few at once, then at a bounded rate.
        allowed, since_ns = self._allowance.get((name, leg.number), (EVENT_BURST, now_ns))
        allowed = min(EVENT_BURST, allowed + (now_ns - since_ns) / EVENT_INTERVAL_NS)
        if allowed >= 1:
            allowed -= 1
            label: dict[str, Metric] = {"leg": "ab"[leg.number]} if self.redundant and of_leg else {}
            self._settings.emit(name, {**label, **fields})
        self._allowance[name, leg.number] = allowed, now_ns

    def publish_figures(self) -> None:
        """Publish the figures, where they have changed."""
        if self._changed:
            self._changed = False
            self.figures.publish(self._figures())

    def _figures(self) -> StreamFigures:
        legs = tuple(map(self._leg_figures, self.legs))
        merge, first = self._merge, legs[0]
        return StreamFigures(
            legs=legs,
            packets_received=first.packets_received if merge is None else merge.packets_received,
            packets_lost=first.packets_lost if merge is None else merge.sequence.lost,
            packets_late=first.packets_late if merge is None else merge.packets_late,
            packets_early=first.packets_early if merge is None else merge.packets_early,
            lateness=first.lateness if merge is None else merge.lateness.distribution(),
            frames_concealed=self._writer.frames_concealed,
            gaps_concealed=self._writer.gaps,
            link_offset_ns=self.link_offset_ns,
            timing=self.media_clock.timing,
        )

    def _leg_figures(self, leg: Leg) -> LegFigures:
        counters = self._counters[leg.number]
        trouble = ""
        if leg.format_differs:
            trouble = self._mismatch[leg.number]
        elif self._outside[leg.number] >= FAR_OFF:
            trouble = self._out_of_window_reason[leg.number]
        elif (counters.last_arrival_ns or 0) - self._reported[leg.number][1] < REPEAT_NS:
            trouble = self._other_rate[leg.number]
        return LegFigures(
            packets_received=counters.packets_received,
            packets_lost=counters.sequence.lost,
            packets_late=counters.packets_late,
            packets_early=counters.packets_early,
            packets_duplicate=counters.packets_duplicate,
            packets_reordered=counters.packets_reordered,
            packets_malformed=counters.packets_malformed,
            packets_foreign=counters.packets_foreign,
            packets_not_audio=counters.packets_not_audio,
            packets_unconfirmed=counters.packets_unconfirmed,
            timestamp_jumps=counters.timestamp_jumps,
            lateness=counters.lateness.distribution(),
            rate_windows=counters.rate.windows(),
            sender=leg.sender,
            rival=leg.rival,
            trouble=trouble,
            last_rejection=leg.last_rejection,
            last_rejected_ns=leg.last_rejected_ns,
        )
