"""Packets that are ready to be sent: a ring of rows for each stream of a group, once for each leg. Sans-IO."""

from __future__ import annotations

from collections.abc import Sequence

from phasegraph import Frames
from phasegraph.net import Sender

from .packetiser import Packetiser

PREPARED_NS = 64_000_000
"""How much of a stream may be ready before it is sent."""
CHUNK = 32
"""Packets of a stream that are made at once: enough to share the work, few enough to fit between two packets."""


class PacketStore:
    """Row ``packet % depth * streams + stream`` of every leg's buffer has a packet. Used by the data plane alone."""

    def __init__(
        self,
        packetisers: Sequence[Packetiser],
        destinations: Sequence[Sequence[tuple[str, int]]],
        senders: Sequence[Sender],
        interval_ns: int,
        *,
        chunk: int = 0,
        in_flight: int = 0,
    ) -> None:
        """``destinations`` has, for each stream, an address and port for each of the senders. ``in_flight`` packets of
        a stream that were handed over, ``chunk`` at once, are read when they leave: their rows are kept."""
        self._packetisers = tuple(packetisers)
        self._width = count = len(packetisers)
        self.chunk = chunk or min(CHUNK, max(1, PREPARED_NS // interval_ns // 2))
        """Packets of a stream that are made at once."""
        self.ahead = max(2, PREPARED_NS // interval_ns // self.chunk) * self.chunk
        """Packets of a stream that may be ready before they are handed over. A second chunk, or streams that were late
        could not catch up: while what is left of the first leaves, nothing would be made."""
        self.depth = self.ahead - (-in_flight // self.chunk - (in_flight > 0)) * self.chunk
        """Packets of a stream that there is room for."""
        size = max(packetiser.packet_bytes for packetiser in packetisers)
        self._buffers = [
            sender.buffer(self.depth * count, size, [legs[leg] for legs in destinations] * self.depth)
            for leg, sender in enumerate(senders)
        ]
        self._departures_ns = [buffer.departure_ns.reshape(self.depth, count) for buffer in self._buffers]
        self._legs = tuple(zip(senders, self._buffers, strict=True))
        (self._rows, self._lengths), *self._copies = [
            (buffer.data.reshape(self.depth, count, size), buffer.length.reshape(self.depth, count))
            for buffer in self._buffers
        ]
        for stream, packetiser in enumerate(packetisers):
            packetiser.prepare(self._rows[:, stream])

    def have_left(self, packet: int, count: int, now_ns: int) -> bool:
        """Whether the rows of these packets are free: what they had before was to leave before ``now_ns``."""
        at = packet % self.depth
        rows = self._departures_ns[0]
        return bool(rows[at : at + count].max(initial=0) < now_ns) and (
            at + count <= self.depth or bool(rows[: at + count - self.depth].max() < now_ns)
        )

    def room_before_wrap(self, packet: int) -> int:
        """Packets from this one on whose rows are consecutive."""
        return self.depth - packet % self.depth

    def fill(self, stream: int, packet: int, frame: int, frames: Frames) -> None:
        """Make packets of a stream, from ``packet`` on, of which the first begins with ``frame``.

        They may not wrap; the last of them may be short.
        """
        packetiser = self._packetisers[stream]
        at = packet % self.depth
        rows = slice(at, at - (-len(frames) // packetiser.frames_per_packet))
        packetiser.fill(self._rows[rows, stream], self._lengths[rows, stream], frame, frames)
        self._copy(rows, stream)

    def restamp(self, stream: int, packet: int, frame: int) -> None:
        """Give a packet that is ready the sequence number and timestamp of another frame."""
        at = packet % self.depth
        rows = slice(at, at + 1)
        self._packetisers[stream].stamp(self._rows[rows, stream], frame)
        self._copy(rows, stream)

    def _copy(self, rows: slice, stream: int) -> None:
        # The other legs send what the first does, bit by bit (ST 2022-7).
        for data, lengths in self._copies:
            data[rows, stream] = self._rows[rows, stream]
            lengths[rows, stream] = self._lengths[rows, stream]

    def set_departures(self, packet: int, departures: Sequence[int]) -> None:
        """Set when the packets from this one on leave, for senders with launch times."""
        at = packet % self.depth
        for times in self._departures_ns:
            times[at : at + len(departures)].T[:] = departures

    def send_packets(self, packet: int, count: int) -> Sequence[Sequence[int]]:
        """Send these packets of every stream by every leg.

        Returns what was refused, by now or meanwhile: nothing, or the rows for each leg (row modulo the number of
        streams is the stream).
        """
        first = packet % self.depth * self._width
        refused = [sender.send(buffer, first, self._width * count) for sender, buffer in self._legs]
        return refused if any(refused) else []

    def send_packet(self, packet: int, streams: Sequence[int]) -> Sequence[Sequence[int]]:
        """Send a packet of some streams by every leg; see `send_packets`."""
        first = packet % self.depth * self._width
        refused = [
            [row for stream in streams for row in sender.send(buffer, first + stream, 1)]
            for sender, buffer in self._legs
        ]
        return refused if any(refused) else []
