"""One leg of a stream, sans-IO: who sends it, in which order its packets come, and whether their format fits.

A leg follows one **sender**: source address and port, SSRC. It says of every packet what it is (`PacketOutcome`); where
the packet belongs in time, what is written and what is counted is `StreamReceiver`'s part.

*Sender.* The first packet that is audio sets it. Another sender takes over only when the current one has been silent
for long enough (`SILENCE_NS`, `SILENCE_PACKETS`; from another host the link offset too), with `CONFIRMED_BY` packets of
its own; of two legs, both must be silent. Until then it is a **rival**: counted, never played. A sender with the SSRC
that is followed, here or on the other leg, needs no such packets: it is the same one from another address. One that
goes on exactly where the current one ended, from another port of its host, has only opened a socket again: that takes
`SILENCE_PACKETS`.

*Order.* `SequenceTracker` judges the numbers; a jump needs two packets in a row (RFC 3550, A.1), unless the timestamp
jumps by exactly as many packets. A sender that restarts among numbers that were seen already is known by timestamps
that do not fit: `CONFIRMED_BY` such **restart candidates** in a row begin a new count.

*Format.* Timestamps that go on by another number of frames than the packets have, `CONFIRMED_BY` times in a row, are
**format mismatches**: to play them would be noise.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from ipaddress import IPv4Address

import msgspec
import numpy as np
from numpy.typing import NDArray

from phasegraph import NS_PER_S
from phasegraph.net import ipv4_number

from ..parameters import StreamParameters
from ..rtp import HEADER_BYTES, MalformedRtp, RtpHeader, parse_header, wrapped
from .diagnosis import why_encrypted, why_format_differs
from .sequence import SequenceTracker, Verdict

CONFIRMED_BY = 5
"""Packets that confirm another sender, a restart among known numbers, or another format."""
SILENCE_NS = 100_000_000
SILENCE_PACKETS = 5
"""How long a sender must be silent before another one takes over; the longer of both."""
MOST_RIVALS = 256
"""Rival senders that are counted at once, by address and port."""
MOST_STEP = 1 << 16
"""No packet has more frames than this: such timestamps jump."""


class RtpSender(msgspec.Struct, frozen=True, gc=False):
    """Who sends a stream."""

    address: int
    """IPv4 source address, in host order."""
    port: int
    ssrc: int

    @property
    def host(self) -> str:
        """Address and UDP port, as text."""
        return f"{IPv4Address(self.address)}:{self.port}"

    def __str__(self) -> str:
        return f"{self.host}, SSRC 0x{self.ssrc:08x}"


class PacketKind(enum.Enum):
    """What a packet is to the leg that it arrives on."""

    AUDIO = 0
    REORDERED = 1
    """Audio that came after a later packet."""
    DUPLICATE = 2
    MALFORMED = 3
    """No RTP, or nothing that the description allows."""
    FOREIGN = 4
    """Of another sender than the one that is followed."""
    NOT_AUDIO = 5
    """Of the stream's own numbers, without audio: padding, an empty payload, or another payload type."""
    UNCONFIRMED = 6
    """The first packet after a jump of the sequence numbers."""
    MISMATCH = 7
    """Audio of another format than described."""


class PacketOutcome(msgspec.Struct, frozen=True, gc=False):
    """The leg's verdict on one packet; header and payload if it is audio."""

    kind: PacketKind
    header: RtpHeader | None = None
    payload: NDArray[np.uint8] | None = None
    """One frame a row."""
    broken: bool = False
    """Whether the timestamp is another than expected though the number is the next."""
    restarted: bool = False
    """Whether the sender began a new count with this packet."""
    mismatch: str = ""
    """Why the format does not fit, with the packet that confirms it."""


class _Rival:
    """Another sender, since the last packet of the current one."""

    __slots__ = ("count", "sender")

    def __init__(self, sender: RtpSender) -> None:
        self.sender = sender
        self.count = 0


class Leg:
    """Says what each packet of one leg is. The data plane alone calls it, but for the reads that say otherwise."""

    def __init__(
        self, parameters: StreamParameters, number: int, sequence: SequenceTracker, link_offset_ns: int
    ) -> None:
        """``number`` is 0 or 1: the leg's place in its stream."""
        self.parameters = parameters
        self.number = number
        self.sequence = sequence
        self.interface = 0
        """Index of the interface that the packets come by; 0 for any. The control plane alone writes it."""
        self.sender: RtpSender | None = None
        """The sender that is followed; None before the first packet. Frozen, so that any thread may read it."""
        self.rival: RtpSender | None = None
        """The newest other sender. Frozen, so that any thread may read it."""
        self.last_rejection = ""
        """Why the newest packet that was not accepted was rejected."""
        self.last_rejected_ns: int | None = None
        self.last_packet_ns: int | None = None
        """When the newest packet of the sender came, with audio or without."""
        self._last_audio_ns: int | None = None
        self.last_home_ns = 0
        """When the newest packet came from the sender's address and port, whatever it was."""
        self.link_offset_ns = link_offset_ns
        """Written by the control plane."""
        self.payload_type = parameters.payload_type
        """Of the newest audio, or as described; None before the first packet where none is described."""
        self._source = None if parameters.source is None else ipv4_number(parameters.source)
        self._excluded = frozenset(map(ipv4_number, parameters.excluded))
        self.frame_bytes = parameters.frame_bytes
        self.frames_per_packet = parameters.frames_per_packet or 1
        self.next_timestamp = 0
        self.next_frame = 0
        """Index of the first frame of the next packet, by the mapping of timestamps of `mapping_epoch`."""
        self.mapping_epoch = -1
        self._step = 0
        self.format_mismatches = 0
        """Packets in a row whose timestamps go on by another number of frames than they have."""
        self.rival_senders: dict[tuple[int, int], _Rival] = {}
        # By address and port, so that a host that changes its SSRC takes one place. Empty after each own packet.
        self._restart_candidates = 0
        self._restart_candidate = -1

    @property
    def format_differs(self) -> bool:
        """Whether packets come that are not played because their format is another."""
        return self.format_mismatches >= CONFIRMED_BY

    @property
    def active_ns(self) -> int:
        """How long the sender's socket is active after a packet: `SILENCE_PACKETS`."""
        return SILENCE_PACKETS * self.frames_per_packet * NS_PER_S // self.parameters.rate

    @property
    def payload_bytes(self) -> int:
        """Bytes of payload that a packet is expected to have."""
        return self.frames_per_packet * self.frame_bytes

    def advance_run(self, count: int, arrival_ns: int) -> tuple[int, int]:
        """Count packets that are exactly the expected ones. Returns number and frame of the first."""
        assert self.sequence.expected is not None
        first, frame = self.sequence.expected & 0xFFFF, self.next_frame
        self._restart_candidates = self.format_mismatches = 0
        if self.rival_senders:
            self.rival_senders.clear()
        self.last_packet_ns = self._last_audio_ns = self.last_home_ns = arrival_ns
        self.sequence.count_expected(count)
        frames = count * self.frames_per_packet
        self.next_frame += frames
        self.next_timestamp = (self.next_timestamp + frames) & 0xFFFFFFFF
        return first, frame

    def classify(
        self, data: NDArray[np.uint8], length: int, arrival_ns: int, source: int, port: int, others: Sequence[Leg]
    ) -> PacketOutcome:
        """What a packet is. ``source`` and ``port`` are where it comes from; ``others`` the stream's other legs."""
        if self.sender is not None:
            if (source, port) == (self.sender.address, self.sender.port):
                self.last_home_ns = arrival_ns
            elif arrival_ns - self.last_home_ns < self.active_ns:
                # While the sender's own socket is active, another one is not even looked at: a flood costs little.
                if length < HEADER_BYTES:
                    return PacketOutcome(PacketKind.MALFORMED)
                self.rival = RtpSender(source, port, int.from_bytes(data[8:HEADER_BYTES].tobytes(), "big"))
                return PacketOutcome(PacketKind.FOREIGN)
        if self._source not in (None, source) or source in self._excluded:
            wanted = f"source = {self.parameters.source} is set" if self._source is not None else "it is excluded"
            return self._rejected(PacketKind.FOREIGN, f"the sender is {IPv4Address(source)}, and {wanted}", arrival_ns)
        try:
            if length < 0:
                raise MalformedRtp(f"a datagram of more than {len(data)} bytes")
            header = parse_header(data[:length].data)
        except MalformedRtp as error:
            return self._rejected(PacketKind.MALFORMED, str(error), arrival_ns)
        sender, before = RtpSender(source, port, header.ssrc), self.sender
        if sender != before and not self._takes_over(sender, header, arrival_ns, others):
            return PacketOutcome(PacketKind.FOREIGN)
        size = header.payload_stop - header.payload_start
        if sender == before and (size == 0 or self._is_other_payload_type(header, arrival_ns)):
            return self._without_audio(header, arrival_ns)
        if problem := self._format_problem(header, size):
            return self._rejected(PacketKind.MALFORMED, problem, arrival_ns)
        if sender != before:
            self._begin_sender(sender, header, arrival_ns)
        self.rival_senders.clear()
        self.payload_type = header.payload_type
        self.last_packet_ns = self._last_audio_ns = arrival_ns
        verdict = self._order(header)
        if verdict in (Verdict.DUPLICATE, Verdict.JUMP):
            kind = PacketKind.DUPLICATE if verdict is Verdict.DUPLICATE else PacketKind.UNCONFIRMED
            return PacketOutcome(kind, header)
        payload = data[header.payload_start : header.payload_stop].reshape(-1, self.frame_bytes)
        broken = verdict in (Verdict.NEXT, Verdict.RESTART) and header.timestamp != self.next_timestamp
        if verdict is Verdict.NEXT and self._is_mismatch(header.timestamp, size, broken=broken):
            self.next_timestamp = (header.timestamp + len(payload)) & 0xFFFFFFFF
            confirmed = self.format_mismatches == CONFIRMED_BY
            reason = why_format_differs(self.parameters, size, self._step) if confirmed else ""
            return PacketOutcome(PacketKind.MISMATCH, header, mismatch=reason)
        kind = PacketKind.REORDERED if verdict is Verdict.REORDERED else PacketKind.AUDIO
        return PacketOutcome(kind, header, payload, broken, verdict is Verdict.RESTART)

    def expect_after(self, header: RtpHeader, frame: int, frames: int, mapping_epoch: int) -> None:
        """The packet with this header has its first frame at index ``frame``: the next one follows it."""
        self.frames_per_packet = frames
        self.next_timestamp = (header.timestamp + frames) & 0xFFFFFFFF
        self.next_frame = frame + frames
        self.mapping_epoch = mapping_epoch

    def fits(self, header: RtpHeader) -> bool:
        """Whether a packet's timestamp is what its number leads to expect."""
        ahead = wrapped(header.sequence - (self.sequence.expected or 0), 16)
        return header.timestamp == (self.next_timestamp + ahead * self.frames_per_packet) & 0xFFFFFFFF

    def _rejected(self, kind: PacketKind, reason: str, arrival_ns: int) -> PacketOutcome:
        self.last_rejected_ns, self.last_rejection = arrival_ns, reason
        return PacketOutcome(kind)

    def _format_problem(self, header: RtpHeader, size: int) -> str:
        if self.parameters.payload_type not in (None, header.payload_type):
            seen = header.payload_type
            return f"payload type {seen}, and {self.parameters.payload_type} is expected (set payload-type = {seen})"
        if size == 0:
            return "no payload"
        if size % self.frame_bytes:
            described = f"{self.parameters.encoding}, {self.parameters.channels} channels"
            problem = f"{size} bytes are no whole number of frames of {self.frame_bytes} bytes ({described})"
            return problem + (why_encrypted(size, self.payload_bytes) or ": set encoding and channels")
        return ""

    def _is_other_payload_type(self, header: RtpHeader, arrival_ns: int) -> bool:
        described = self.parameters.payload_type
        if described is not None:
            return header.payload_type != described
        # Where none is described, the sender may change it for all of its audio.
        silent_ns = arrival_ns - (self._last_audio_ns or 0)
        return header.payload_type != self.payload_type and silent_ns < SILENCE_NS

    def _without_audio(self, header: RtpHeader, arrival_ns: int) -> PacketOutcome:
        # Only its number counts, so that it is not missed, and only where audio would have it: other payload types may
        # have numbers of their own.
        self.last_packet_ns = self.last_rejected_ns = arrival_ns
        self.last_rejection = self._format_problem(header, header.payload_stop - header.payload_start)
        self.sequence.fill(header.sequence)
        return PacketOutcome(PacketKind.NOT_AUDIO, header)

    def _takes_over(self, sender: RtpSender, header: RtpHeader, arrival_ns: int, others: Sequence[Leg]) -> bool:
        followed = [leg for leg in others if leg.sender is not None]
        if self.sender is None and not followed:
            return True
        rival = self._count_rival(sender)
        needed_ns = self.active_ns
        if not self._is_silent(arrival_ns, needed_ns):
            return False
        home = None if self.sender is None else self.sender.address
        if self.sends_as(sender) and sender.address == home and self.fits(header):
            return True  # it goes on exactly where it was: only its port has changed
        needed_ns = max(SILENCE_NS, needed_ns)
        if not self._is_silent(arrival_ns, needed_ns):
            return False
        if any(leg.sends_as(sender) for leg in (self, *followed)):
            return True
        if self.sender is None and any(leg.fits(header) for leg in followed):
            return True  # the same packets under another SSRC, which RFC 7104 allows
        if sender.address != home:
            needed_ns = max(needed_ns, self.link_offset_ns)
            if any(address == home for address, _ in self.rival_senders):
                needed_ns *= 2  # a rival from the sender's own host comes first
        silent = all(leg._is_silent(arrival_ns, needed_ns) for leg in (self, *followed))
        return silent and rival.count >= CONFIRMED_BY

    def _is_silent(self, now_ns: int, duration_ns: int) -> bool:
        return self.last_packet_ns is None or now_ns - self.last_packet_ns >= duration_ns

    def sends_as(self, sender: RtpSender) -> bool:
        """Whether the leg's own sender has the same SSRC."""
        return self.sender is not None and self.sender.ssrc == sender.ssrc

    def _count_rival(self, sender: RtpSender) -> _Rival:
        rivals = self.rival_senders
        self.rival = sender
        rival = rivals.get((sender.address, sender.port))
        if rival is None:
            while len(rivals) >= MOST_RIVALS:
                # Frequent senders stay (Misra and Gries, 1982): a flood of new ones does not push them out.
                for key, other in list(rivals.items()):
                    other.count -= 1
                    if other.count <= 0:
                        del rivals[key]
            rival = rivals[sender.address, sender.port] = _Rival(sender)
        elif rival.sender != sender:
            rival.sender, rival.count = sender, 0
        rival.count = min(rival.count + 1, 4 * CONFIRMED_BY)
        return rival

    def _begin_sender(self, sender: RtpSender, header: RtpHeader, arrival_ns: int) -> None:
        if not self.sends_as(sender):
            self.sequence.begin(header.sequence)
        self.sender = sender
        self.last_home_ns = arrival_ns
        self._restart_candidates = 0

    def _is_mismatch(self, timestamp: int, payload_bytes: int, *, broken: bool) -> bool:
        if not broken:
            self.format_mismatches = 0
            return False
        step = (timestamp - self.next_timestamp + self.frames_per_packet) & 0xFFFFFFFF
        same = step == self._step and payload_bytes == self.payload_bytes
        self.format_mismatches = self.format_mismatches + 1 if same else 1
        self._step, self.frames_per_packet = step, payload_bytes // self.frame_bytes
        return self.format_differs and 0 < step < MOST_STEP

    def _order(self, header: RtpHeader) -> Verdict:
        # A sender that restarts under its old SSRC may do so among numbers that were seen already. Its packets differ
        # from duplicates in their timestamps.
        fits = self.fits(header)
        if not fits and self.sequence.precedes(header.sequence):
            verdict = Verdict.DUPLICATE
        else:
            verdict = self.sequence.accept(header.sequence, trusted=fits)
        if fits or verdict is not Verdict.DUPLICATE:
            self._restart_candidates = 0
            return verdict
        in_a_row = header.sequence == (self._restart_candidate + 1) & 0xFFFF
        self._restart_candidates = self._restart_candidates + 1 if in_a_row else 1
        self._restart_candidate = header.sequence
        if self._restart_candidates < CONFIRMED_BY:
            return verdict
        self._restart_candidates = 0
        self.sequence.begin(header.sequence)
        self.sequence.count_expected(1)
        return Verdict.RESTART
