"""One way by which a stream arrives, sans-IO: who sends on it, what is new, and what is wrong with its packets."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phasegraph import Metric
from phasegraph.net.packets import ipv4_number

from ..histogram import Histogram
from ..parameters import StreamParameters
from ..rtp import HEADER_BYTES, MalformedRtp, RtpHeader, parse_header, wrapped
from .diagnosis import PLAUSIBLE_NS, misfit
from .sequence import SequenceTracker, Verdict

if TYPE_CHECKING:
    from .stream_receiver import StreamReceiver

Sender = tuple[int, int, int]
"""Source address, SSRC and payload type."""
TAKE_OVER = 5
"""So many packets of another sender and none of the old one, or so many of one that began anew, and the stream is that
sender's."""
MOST_OTHERS = 256
"""So many other senders are counted at once."""
FAR_OFF = 50
"""After so many packets outside the window in a row it is said that the timestamps do not fit the clock."""
MOVED_NS = 50_000_000
"""After so long a silence a sender of the same name is the same one, wherever it sends from."""

MOST_STEP = 1 << 16
"""More frames than this are in no packet: such timestamps jump."""

Expectation = tuple[int, int, int, int, int, int, int, int, int]
NOTHING_EXPECTED: Expectation = (-1, 0, 0, 0, 0, 0, -2, 1, 0)
"""What no packet meets: no datagram has a length of -2."""


class Leg:
    """Follows the packets of one leg and hands what is new to the stream. Called from the data plane's thread alone.

    A plain stream has one leg; a redundant one (ST 2022-7) has two, each with numbers, sender and figures of its own.
    """

    def __init__(self, parameters: StreamParameters, receiver: StreamReceiver, sequence: SequenceTracker) -> None:
        self.parameters = parameters
        self.receiver = receiver
        self.interface = 0
        """Index of the interface that the packets come by; 0 for any."""
        self.packets_received = 0
        self.packets_late = 0
        self.packets_early = 0
        self.packets_duplicate = 0
        self.packets_reordered = 0
        self.packets_malformed = 0
        self.packets_foreign = 0
        """Packets of another sender on the same address."""
        self.lateness = Histogram()
        self.last_arrival_ns: int | None = None
        self.last_in_time_ns: int | None = None
        """When the newest packet came that was not wholly too late or too early."""
        self.outside = 0
        """So many packets in a row have been wholly too late, or too early."""
        self.jumped = False
        """Whether timestamps jumped before them."""
        self.why_unheard = ""
        """Why packets that come are not heard; see `trouble`."""
        self.last_refused_ns: int | None = None
        """When the newest packet came that was not taken."""
        self.refused = ""
        """What it was."""
        self.sequence = sequence
        self._payload_type = parameters.payload_type
        self._source = None if parameters.source is None else ipv4_number(parameters.source)
        self._excluded = frozenset(map(ipv4_number, parameters.excluded))
        self._frame_bytes = parameters.frame_bytes
        self._frames_per_packet = parameters.frames_per_packet or 1
        self._sender: Sender | None = None
        self._next_timestamp = 0
        self._next_frame = 0
        self._relation = -1
        self._step = 0
        self._misfits = 0
        self._others: dict[Sender, int] = {}
        """How many packets of other senders have come since the newest of the stream's own."""
        self._strays = 0
        self._stray = -1

    @property
    def trouble(self) -> str:
        """Why what comes is not heard now; empty where it is."""
        return self.why_unheard if self.outside >= FAR_OFF or self._misfits >= TAKE_OVER else ""

    @property
    def ssrc(self) -> int | None:
        """Who sends on this leg; None before the first packet."""
        return None if self._sender is None else self._sender[1]

    @property
    def payload_bytes(self) -> int:
        """Bytes of payload that a packet is expected to have."""
        return self._frames_per_packet * self._frame_bytes

    def succeed(self, before: Leg) -> None:
        """Go on with the figures of the leg in whose place this one is."""
        for name, value in vars(before).items():
            if name.startswith("packets_") or name in ("lateness", "last_arrival_ns", "last_in_time_ns"):
                setattr(self, name, value)

    def expectation(self) -> Expectation:
        """The next packet, as numbers: first header word, timestamp, SSRC, source address, frame index, frames, length
        in bytes, rate, and the greatest lateness in ns. Before the first packet (and before one that is to set the
        relation to the clock anew), one that no packet meets."""
        self.receiver.look()
        if self.sequence.expected is None or self._sender is None or self._relation != self.receiver.relation:
            return NOTHING_EXPECTED
        source, ssrc, _ = self._sender
        return (
            0x80000000 | (self._payload_type or 0) << 16 | self.sequence.expected & 0xFFFF,
            self._next_timestamp,
            ssrc,
            source,
            self._next_frame,
            self._frames_per_packet,
            HEADER_BYTES + self.payload_bytes,
            self.parameters.rate,
            self.receiver.window_ns,
        )

    def advance(self, payloads: NDArray[np.uint8], lateness_ns: NDArray[np.int64], arrival_ns: int) -> None:
        """Take in packets that are exactly the next ones, whole and in time; ``arrival_ns`` is the last one's."""
        count = len(payloads)
        assert self.sequence.expected is not None
        self.packets_received += count
        self.lateness.add(lateness_ns)
        self.last_arrival_ns = self.last_in_time_ns = arrival_ns
        self._strays = self._misfits = self.outside = 0
        self._others.clear()
        self.jumped = False
        first, frame = self.sequence.expected & 0xFFFF, self._next_frame
        self.sequence.advance(count)
        frames = count * self._frames_per_packet
        self._next_frame += frames
        self._next_timestamp = (self._next_timestamp + frames) & 0xFFFFFFFF
        self.receiver.take(first, frame, payloads, lateness_ns, arrival_ns)

    def accept(self, data: NDArray[np.uint8], length: int, arrival_ns: int, source: int = 0) -> None:
        """Take in one packet, whatever it is; ``source`` is the address that it comes from."""
        try:
            header = self._parse(data, length)
        except MalformedRtp as error:
            self.packets_malformed += 1
            self.last_refused_ns, self.refused = arrival_ns, str(error)
            return
        sender = (source, header.ssrc, header.payload_type)
        if sender != self._sender and not self._is_taken_over_by(sender, header, arrival_ns):
            self.packets_foreign += 1
            return
        self._others.clear()
        self.packets_received += 1
        self._payload_type = header.payload_type
        self.last_arrival_ns = arrival_ns
        verdict = self._judge(header)
        if verdict is Verdict.DUPLICATE:
            self.packets_duplicate += 1
            return
        if verdict is Verdict.REORDERED:
            self.packets_reordered += 1
        payload = data[header.payload_start : header.payload_stop].reshape(-1, self._frame_bytes)
        frames = len(payload)
        broken = verdict in (Verdict.NEXT, Verdict.RESTART) and header.timestamp != self._next_timestamp
        if verdict is Verdict.NEXT and self._is_misfit(header.timestamp, payload.size, broken=broken):
            self.packets_malformed += 1
            self._next_timestamp = (header.timestamp + frames) & 0xFFFFFFFF
            return
        frame, lateness_ns = self.receiver.locate(header.timestamp, frames, arrival_ns)
        if abs(lateness_ns) < PLAUSIBLE_NS:
            self.lateness.add(np.array([lateness_ns]))
        if verdict is not Verdict.REORDERED:
            self._frames_per_packet = frames
            self._next_timestamp = (header.timestamp + frames) & 0xFFFFFFFF
            self._next_frame = frame + frames
            self._relation = self.receiver.relation
        late, early, lost = self.receiver.take_one(header.sequence, frame, payload, lateness_ns, arrival_ns)
        self.packets_late += late
        self.packets_early += early
        if lost:
            self.outside += 1
            self.jumped |= broken
            self.receiver.outside_window(self, lateness_ns, arrival_ns)
        else:
            self.last_in_time_ns = arrival_ns
            self.outside = 0
            self.jumped = False

    def _parse(self, data: NDArray[np.uint8], length: int) -> RtpHeader:
        if length < 0:
            raise MalformedRtp(f"a datagram of more than {len(data)} bytes")
        header = parse_header(data[:length].data)
        if self.parameters.payload_type not in (None, header.payload_type):
            raise MalformedRtp(f"payload type {header.payload_type}, and {self.parameters.payload_type} is expected")
        size = header.payload_stop - header.payload_start
        if size == 0 or size % self._frame_bytes:
            raise MalformedRtp(f"{size} bytes are no whole number of frames of {self._frame_bytes} bytes")
        return header

    def _is_taken_over_by(self, sender: Sender, header: RtpHeader, arrival_ns: int) -> bool:
        # A sender that restarts comes with another SSRC (0 is legal). It is believed once it is alone.
        if self._source not in (None, sender[0]) or sender[0] in self._excluded:
            self.last_refused_ns, self.refused = arrival_ns, f"it is sent by {IPv4Address(sender[0])}"
            return False
        if self._sender is not None and not self._is_moved(sender, arrival_ns):
            if len(self._others) >= MOST_OTHERS:
                self._others.clear()
            self._others[sender] = count = self._others.get(sender, 0) + 1
            # Of several others the first, and one that sends from where the old one did before all.
            known = self._sender[0] in (source for source, _, _ in self._others if source != sender[0])
            if count < (4 * TAKE_OVER if known else TAKE_OVER):
                return False
            self.sequence.restart(header.sequence - 1)
            self._strays = 0
        self.receiver.follow(self, header.ssrc, header.sequence)
        self._sender = sender
        return True

    def _is_misfit(self, timestamp: int, payload_bytes: int, *, broken: bool) -> bool:
        # Packets whose timestamps always go on by another number of frames than they have are of another format than
        # described. To play them would be noise.
        if not broken:
            self._misfits = 0
            return False
        step = (timestamp - self._next_timestamp + self._frames_per_packet) & 0xFFFFFFFF
        same = step == self._step and payload_bytes == self.payload_bytes
        self._misfits = self._misfits + 1 if same else 1
        self._step, self._frames_per_packet = step, payload_bytes // self._frame_bytes
        if self._misfits < TAKE_OVER or not 0 < step < MOST_STEP:
            return False
        if self._misfits == TAKE_OVER:
            self.why_unheard = misfit(self.parameters, payload_bytes, step)
            self.receiver.tell_of(self, "format_differs", {"reason": self.why_unheard})
        return True

    def _is_moved(self, sender: Sender, arrival_ns: int) -> bool:
        # Whether it is the same sender, which goes on from another address.
        silent = self.last_arrival_ns is not None and arrival_ns - self.last_arrival_ns >= MOVED_NS
        return silent and self._sender is not None and sender[1:] == self._sender[1:]

    def _judge(self, header: RtpHeader) -> Verdict:
        # A sender that begins anew under its old name may do so among numbers that were seen already. What tells its
        # packets from doubled ones is that their timestamps are others.
        fits = self.fits(header)
        if not fits and self.sequence.precedes(header.sequence):
            verdict = Verdict.DUPLICATE
        else:
            verdict = self.sequence.accept(header.sequence)
        if fits or verdict is not Verdict.DUPLICATE:
            self._strays = 0
            return verdict
        self._strays = self._strays + 1 if header.sequence == (self._stray + 1) & 0xFFFF else 1
        self._stray = header.sequence
        if self._strays < TAKE_OVER:
            return verdict
        self._strays = 0
        self.sequence.restart(header.sequence)
        self.receiver.restarted(self, header)
        return Verdict.RESTART

    def fits(self, header: RtpHeader) -> bool:
        """Whether a packet's timestamp is what its number leads to expect."""
        behind = wrapped(header.sequence - (self.sequence.expected or 0), 16)
        return header.timestamp == (self._next_timestamp + behind * self._frames_per_packet) & 0xFFFFFFFF

    def metrics(self) -> dict[str, Metric]:
        """The figures of the leg."""
        return {
            "packets_received": self.packets_received,
            "packets_lost": self.sequence.lost,
            "packets_late": self.packets_late,
            "packets_early": self.packets_early,
            "packets_duplicate": self.packets_duplicate,
            "packets_reordered": self.packets_reordered,
            "packets_malformed": self.packets_malformed,
            "packets_foreign": self.packets_foreign,
            **self.lateness.metrics("lateness"),
        }
