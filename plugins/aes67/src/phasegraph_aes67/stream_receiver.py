"""One received stream, sans-IO: where its packets belong in time, and what is wrong with them."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from phasegraph import NS_PER_S, ClockReader, Metric, Stream, frame_at

from .histogram import Histogram
from .parameters import StreamParameters
from .rtp import HEADER_BYTES, MalformedRtp, RtpHeader, parse_header, wrapped
from .sequence import SequenceTracker, Verdict

EARLY_LIMIT_NS = 100_000_000
"""A packet from further in the future than this is not believed: it would push out what has not been played."""
READ_LAG_NS = 400_000_000
"""How long after a frame was due a reader without a clock (a file) may still come for it."""
TAKE_OVER = 5
"""So many packets of one other sender in a row, and the stream is that sender's."""
FAR_OFF = 50
"""After so many packets outside the window in a row it is said that the timestamps do not fit the clock."""

Expectation = tuple[int, int, int, int, int, int, int, int]
NOTHING_EXPECTED: Expectation = (-1, 0, 0, 0, 0, -2, 1, 0)
"""What no packet meets: no datagram has a length of -2."""
Tell = Callable[[str, dict[str, Metric]], None]


class StreamReceiver:
    """Puts the packets of one stream into its ring. Called from the data plane's thread alone."""

    def __init__(
        self, parameters: StreamParameters, *, clock: ClockReader, link_offset_ns: int, relative: bool
    ) -> None:
        """``relative``: timestamps count only themselves; the first packet sets their relation to the clock."""
        self.parameters = parameters
        self.clock = clock
        self.stream = Stream(
            parameters.format,
            window_ns=link_offset_ns + EARLY_LIMIT_NS + READ_LAG_NS,
            clock=clock,
            playout_delay_ns=link_offset_ns,
        )
        self.early_limit_ns = EARLY_LIMIT_NS
        self.packets_received = 0
        self.packets_late = 0
        self.packets_early = 0
        self.packets_duplicate = 0
        self.packets_reordered = 0
        self.packets_malformed = 0
        self.packets_foreign = 0
        """Packets of another sender on the same address."""
        self.lateness = Histogram()
        self.tell: Tell = _tell_nobody
        """Called with an event's name and fields when something happens that a user should know."""
        self.last_arrival_ns: int | None = None
        self._delay_ns = self.stream.playout_delay_ns
        self._relative = relative
        self._offset: int | None = None if relative else (parameters.mediaclk_offset or 0)
        self._sequence = SequenceTracker()
        self._payload_type = parameters.payload_type
        self._frame_bytes = parameters.frame_bytes
        self._frames_per_packet = parameters.frames_per_packet or 1
        self._frames_written = 0
        self._ssrc: int | None = None
        self._next_timestamp = 0
        self._next_frame = 0
        self._other_ssrc: int | None = None
        self._others = 0
        self._outside = 0
        self._told_outside = False

    def retuned(self, parameters: StreamParameters, *, relative: bool) -> StreamReceiver:
        """What goes on in this one's stream, with its figures, where the packets are others from now on.

        The format stays the same.
        """
        other = copy.copy(self)
        other.parameters = parameters
        other._relative = relative
        other._offset = None if relative else (parameters.mediaclk_offset or 0)
        other._payload_type = parameters.payload_type
        other._frames_per_packet = parameters.frames_per_packet or 1
        other._sequence = SequenceTracker(self._sequence.lost)
        other._ssrc = other._other_ssrc = None
        other._others = other._outside = 0
        return other

    @property
    def payload_bytes(self) -> int:
        """Bytes of payload that a packet is expected to have."""
        return self._frames_per_packet * self._frame_bytes

    def expectation(self) -> Expectation:
        """The next packet, as numbers: first header word, timestamp, SSRC, frame index, frames, length in bytes, rate,
        and the greatest lateness in ns. Before the first packet (and before one that is to set the relation to the
        clock anew), one that no packet meets."""
        if self._sequence.expected is None or self._offset is None or self._ssrc is None:
            return NOTHING_EXPECTED
        word = 0x80000000 | (self._payload_type or 0) << 16 | self._sequence.expected & 0xFFFF
        length = HEADER_BYTES + self.payload_bytes
        return (
            word,
            self._next_timestamp,
            self._ssrc,
            self._next_frame,
            self._frames_per_packet,
            length,
            self.parameters.rate,
            self._delay_ns,
        )

    def advance(self, payloads: NDArray[np.uint8], lateness_ns: NDArray[np.int64], arrival_ns: int) -> None:
        """Take in packets that are exactly the next ones, whole and in time; ``arrival_ns`` is the last one's."""
        count = len(payloads)
        frames = count * self._frames_per_packet
        self.packets_received += count
        self._sequence.advance(count)
        self.lateness.add(lateness_ns)
        self.last_arrival_ns = arrival_ns
        self._write(self._next_frame, frames, payloads)
        self._next_frame += frames
        self._next_timestamp = (self._next_timestamp + frames) & 0xFFFFFFFF
        self._others = self._outside = 0

    def accept(self, data: NDArray[np.uint8], length: int, arrival_ns: int) -> None:
        """Take in one packet, whatever it is."""
        try:
            header = self._parse(data, length)
        except MalformedRtp:
            self.packets_malformed += 1
            return
        if header.ssrc != self._ssrc and not self._is_taken_over_by(header):
            self.packets_foreign += 1
            return
        self._others = 0
        self.packets_received += 1
        self._payload_type = header.payload_type
        self.last_arrival_ns = arrival_ns
        verdict = self._sequence.accept(header.sequence)
        if verdict is Verdict.DUPLICATE:
            self.packets_duplicate += 1
            return
        if verdict is Verdict.REORDERED:
            self.packets_reordered += 1
        payload = data[header.payload_start : header.payload_stop].reshape(-1, self._frame_bytes)
        self._place(header, payload, self.clock.estimate().reference_at(arrival_ns), verdict)

    def _parse(self, data: NDArray[np.uint8], length: int) -> RtpHeader:
        if length < 0:
            raise MalformedRtp("longer than a packet may be")
        header = parse_header(data[:length].data)
        if self._payload_type is not None and header.payload_type != self._payload_type:
            raise MalformedRtp(f"payload type {header.payload_type}")
        size = header.payload_stop - header.payload_start
        if size == 0 or size % self._frame_bytes:
            raise MalformedRtp(f"{size} bytes are not a whole number of frames")
        return header

    def _is_taken_over_by(self, header: RtpHeader) -> bool:
        # A sender that restarts comes with another SSRC (0 is legal). It is believed once it is alone.
        if self._ssrc is not None:
            self._others = self._others + 1 if header.ssrc == self._other_ssrc else 1
            self._other_ssrc = header.ssrc
            if self._others < TAKE_OVER:
                return False
            self.tell("source_changed", {"ssrc": header.ssrc, "before": self._ssrc})
            self._sequence.restart(header.sequence - 1)
            if self._relative:
                self._offset = None
        self._ssrc = header.ssrc
        return True

    def _place(self, header: RtpHeader, payload: NDArray[np.uint8], reference_ns: int, verdict: Verdict) -> None:
        rate = self.parameters.rate
        frames = len(payload)
        now = frame_at(reference_ns, rate)
        if self._offset is None:
            # As if the packet had needed no time: its last frame was taken just now.
            self._offset = (header.timestamp - (now - frames)) & 0xFFFFFFFF
        frame = now + wrapped(header.timestamp - self._offset - now, 32)
        lateness_ns = reference_ns - frame * NS_PER_S // rate
        self.lateness.add(np.array([lateness_ns]))
        if verdict is not Verdict.REORDERED:
            self._frames_per_packet = frames
            self._next_timestamp = (header.timestamp + frames) & 0xFFFFFFFF
            self._next_frame = frame + frames
        if lateness_ns <= -EARLY_LIMIT_NS:
            self.packets_early += 1
            self._outside_window(lateness_ns)
            return
        played = 0
        if lateness_ns > self._delay_ns:
            # Frames that have begun to sound are lost; the rest of the packet still comes in time.
            played = now - self.stream.playout_delay_frames - frame + 1
            self.packets_late += 1
            if played >= frames:
                self._outside_window(lateness_ns)
                return
        self._outside = 0
        self._write(frame + played, frames - played, payload[played:])

    def _outside_window(self, lateness_ns: int) -> None:
        self._outside += 1
        if self._outside < FAR_OFF:
            return
        if not self._told_outside:
            self._told_outside = True  # once a run: the counters tell how it goes on
            self.tell("timestamps_outside_window", {"lateness_ns": lateness_ns, "packets": FAR_OFF})
        if self._relative:
            self._offset = None
            self._outside = 0

    def _write(self, frame: int, frames: int, payload: NDArray[np.uint8]) -> None:
        ring = self.stream.ring
        self._frames_written += frames
        if frame < self.stream.head:
            self._frames_written -= ring.holds(frame, frames)
        ring.write(frame, payload)
        self.stream.wrote(frame, frame + frames, self.last_arrival_ns)

    @property
    def frames_concealed(self) -> int:
        """Frames between the first and the newest that never came in time."""
        first = self.stream.first
        if first is None:
            return 0
        # Media time that is passed twice, after its clock was set back, has more frames than it has room for.
        return max(0, self.stream.head - first - self._frames_written)

    def metrics(self) -> dict[str, Metric]:
        """The figures of the stream."""
        return {
            "packets_received": self.packets_received,
            "packets_lost": self._sequence.lost,
            "packets_late": self.packets_late,
            "packets_early": self.packets_early,
            "packets_duplicate": self.packets_duplicate,
            "packets_reordered": self.packets_reordered,
            "packets_malformed": self.packets_malformed,
            "packets_foreign": self.packets_foreign,
            "frames_concealed": self.frames_concealed,
            **self.lateness.metrics("lateness"),
        }


def _tell_nobody(name: str, fields: dict[str, Metric]) -> None:
    pass
