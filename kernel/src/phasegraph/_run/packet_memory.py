"""The packets of the last seconds, within a bound of memory: what a flight recorder keeps.

Batches are copied into chunks, as whole arrays. A chunk has rows of one size: whole packets while they fit into the
memory for the whole time, else their beginning, so that headers of every packet are there. Chunks are only appended to,
and forgotten as a whole.
"""

from __future__ import annotations

from collections import deque

import msgspec
import numpy as np

from ..net import PacketBatch
from .pcapng_writer import Datagrams

CHUNK_ROWS = 16_384
LEAST_BYTES = 64
"""Of a packet: RTP and PTP headers, and the beginning of what they carry."""
MOST_DATAGRAMS = 50_000
_ROW_BYTES = 24
"""Of a packet beside its data: stamp, length, addresses and ports."""
_SURE = 1.1


class _Chunk:
    """Rows of packets. Written by the data plane; rows below ``count`` do not change any more."""

    def __init__(self, row_bytes: int) -> None:
        self.row_bytes = row_bytes
        self.count = 0
        self.data = np.empty((CHUNK_ROWS, row_bytes), np.uint8)
        self.stamp_ns = np.empty(CHUNK_ROWS, np.int64)
        self.source = np.empty(CHUNK_ROWS, np.uint32)
        self.destination = np.empty(CHUNK_ROWS, np.uint32)
        self.source_port = np.empty(CHUNK_ROWS, np.uint16)
        self.destination_port = np.empty(CHUNK_ROWS, np.uint16)
        self.length = np.empty(CHUNK_ROWS, np.uint16)

    @property
    def size_bytes(self) -> int:
        return CHUNK_ROWS * (self.row_bytes + _ROW_BYTES)

    def rows(self, first: int, stop: int) -> Datagrams:
        part = slice(first, stop)
        return Datagrams(
            self.data[part],
            self.length[part].astype(np.int64),
            self.stamp_ns[part],
            self.source[part].astype(np.int64),
            self.source_port[part].astype(np.int64),
            self.destination[part].astype(np.int64),
            self.destination_port[part].astype(np.int64),
        )


class KeptDatagram(msgspec.Struct, frozen=True, gc=False):
    """A datagram of a clock protocol, whole."""

    stamp_ns: int
    data: bytes
    source: tuple[str, int]
    destination: tuple[str, int]


class MemorySnapshot(msgspec.Struct, frozen=True):
    """What the memory held at one moment."""

    batches: list[Datagrams]
    """In the order of arrival, nearly: sockets are read one after another."""
    datagrams: list[KeptDatagram]


class PacketMemory:
    """The memory of one run.

    Threads: `store` is called by the data plane, which replaces the tuple of chunks; `add_datagram` and `snapshot` by
    the control plane.
    """

    def __init__(self, last_ns: int, most_bytes: int) -> None:
        self._last_ns = last_ns
        self._most_bytes = most_bytes
        self._chunks: tuple[_Chunk, ...] = ()
        self._longest = LEAST_BYTES
        self._datagrams: deque[KeptDatagram] = deque(maxlen=MOST_DATAGRAMS)

    @property
    def size_bytes(self) -> int:
        """Memory of the chunks; the system commits it when it is written."""
        return sum(chunk.size_bytes for chunk in self._chunks)

    def store(self, batch: PacketBatch, port: int) -> None:
        """Data plane: keep the packets of a batch that came to a port."""
        at = 0
        while at < batch.count:
            chunk = self._chunks[-1] if self._chunks else None
            if chunk is None or chunk.count == CHUNK_ROWS:
                self._longest = max(self._longest, int(np.abs(batch.length[: batch.count]).max()))
                chunk = self._next_chunk()
            count = min(batch.count - at, CHUNK_ROWS - chunk.count)
            to, of = slice(chunk.count, chunk.count + count), slice(at, at + count)
            width = min(chunk.row_bytes, batch.packet_bytes)
            chunk.data[to, :width] = batch.data[of, :width]
            lengths = batch.length[of]
            chunk.length[to] = np.where(lengths < 0, batch.packet_bytes, lengths)
            chunk.stamp_ns[to] = batch.arrival_ns[of]
            chunk.source[to] = batch.source[of]
            chunk.destination[to] = batch.destination[of]
            chunk.source_port[to] = batch.source_port[of]
            chunk.destination_port[to] = port
            chunk.count += count  # last: the rows are whole when others count them
            at += count

    def add_datagram(self, datagram: KeptDatagram) -> None:
        """Keep a datagram of a clock protocol."""
        self._datagrams.append(datagram)
        while self._datagrams[0].stamp_ns < datagram.stamp_ns - self._last_ns:
            self._datagrams.popleft()

    def snapshot(self) -> MemorySnapshot:
        """What is there, without a copy of the packets."""
        chunks = [(chunk, chunk.count) for chunk in self._chunks]
        newest = max((int(chunk.stamp_ns[count - 1]) for chunk, count in chunks if count), default=0)
        oldest = newest - self._last_ns
        batches = []
        for chunk, count in chunks:
            first = int(np.searchsorted(chunk.stamp_ns[:count], oldest)) if count else 0
            if first < count:
                batches.append(chunk.rows(first, count))
        return MemorySnapshot(batches, list(self._datagrams))

    def _next_chunk(self) -> _Chunk:
        chunks = list(self._chunks)
        row_bytes = self._longest
        if chunks:
            full = chunks[-1]
            newest = int(full.stamp_ns[full.count - 1])
            while len(chunks) > 1 and chunks[1].stamp_ns[0] <= newest - self._last_ns:
                del chunks[0]
            duration_ns = max(1, newest - int(full.stamp_ns[0]))
            expected_rows = _SURE * full.count * self._last_ns / duration_ns
            row_bytes = min(row_bytes, max(LEAST_BYTES, int(self._most_bytes / expected_rows) - _ROW_BYTES))
        row_bytes = min(row_bytes, max(LEAST_BYTES, self._most_bytes // (4 * CHUNK_ROWS) - _ROW_BYTES))
        chunk = _Chunk(row_bytes)
        room = self._most_bytes - chunk.size_bytes
        while chunks and sum(one.size_bytes for one in chunks) > room:
            del chunks[0]
        self._chunks = (*chunks, chunk)
        return chunk
