"""Finds the RTP audio streams of a capture, and what can be known of them without a description."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .capture_reader import CapturedDatagram

RATES = (44_100, 48_000, 88_200, 96_000, 176_400, 192_000)
LEAST_PACKETS = 20
"""Fewer are no stream: other protocols look like RTP for a moment."""
_CLOCK_PORTS = (319, 320)
_MOST_STREAMS = 1024
Longs = NDArray[np.int64]


class RtpStream:
    """One sender's packets to one address, in the order in which they were captured."""

    def __init__(self, datagrams: Sequence[CapturedDatagram]) -> None:
        first = datagrams[0]
        self.source = first.source
        self.destination = first.destination
        self.port = first.destination_port
        self.ssrc = int.from_bytes(first.payload[8:12], "big")
        self.payload_type = first.payload[1] & 0x7F
        self.stamps_ns: Longs = np.array([one.stamp_ns for one in datagrams], np.int64)
        heads = np.frombuffer(b"".join(one.payload[:8] for one in datagrams), np.uint8).reshape(-1, 8).astype(np.int64)
        self.sequence = _unwrapped(heads[:, 2] << 8 | heads[:, 3], 16)
        self.timestamps = _unwrapped(heads[:, 4] << 24 | heads[:, 5] << 16 | heads[:, 6] << 8 | heads[:, 7], 32)
        """RTP timestamps without their wraps; the first is as it was sent."""
        self.headers = np.array([_header_length(one.payload) for one in datagrams], np.int64)
        self.lengths = np.array([one.length for one in datagrams], np.int64) - self.headers
        """Octets of audio in each packet."""
        self.dscps = sorted({one.dscp for one in datagrams})
        self.ttls = sorted({one.ttl for one in datagrams})
        self.payloads = [one.payload[_header_length(one.payload) :] for one in datagrams]
        self.extended = any(one.payload[0] & 0x3F for one in datagrams)
        """Whether headers have more than twelve octets, or packets are padded."""
        self.frames_per_packet = self._frames_per_packet()
        self.rate = self._rate()
        self.channels, self.sample_bytes = self._format()

    @property
    def name(self) -> str:
        """Its address, as reports show it."""
        host = f"[{self.destination}]" if ":" in self.destination else self.destination
        return f"{host}:{self.port}"

    @property
    def count(self) -> int:
        """Packets captured."""
        return len(self.stamps_ns)

    @property
    def packet_time_ns(self) -> float:
        """Duration of a packet's audio."""
        return 1e9 * self.frames_per_packet / self.rate

    @property
    def encoding(self) -> str:
        """L16 or L24, as far as the size of packets shows; empty where it shows neither."""
        return {2: "L16", 3: "L24"}.get(self.sample_bytes, "")

    def samples(self) -> NDArray[np.float32]:
        """The first channel, by timestamp; silence where packets are missing or were cut. Empty of an odd format."""
        if not self.encoding or self.count == 0:
            return np.empty(0, np.float32)
        begin = int(self.timestamps.min())
        frame_bytes = self.channels * self.sample_bytes
        length = int(self.timestamps.max()) - begin + self.frames_per_packet
        if length > 200 * 192_000:  # timestamps that jump
            return np.empty(0, np.float32)
        out = np.zeros(length, np.float32)
        for at, payload in zip(self.timestamps - begin, self.payloads, strict=True):
            count = min(self.frames_per_packet, len(payload) // frame_bytes)
            raw = np.frombuffer(payload[: count * frame_bytes], np.uint8).reshape(count, frame_bytes)
            value = np.zeros(count, np.int32)
            for octet in range(self.sample_bytes):
                value |= raw[:, octet].astype(np.int32) << (24 - 8 * octet)
            out[at : at + count] = value / 2.0**31
        return out

    def _frames_per_packet(self) -> int:
        steps, sequence_steps = np.diff(self.timestamps), np.diff(self.sequence)
        steps = steps[(sequence_steps == 1) & (steps > 0)]
        return int(np.median(steps)) if len(steps) else 0

    def _rate(self) -> int:
        # The usual rate that is nearest to how fast timestamps count.
        elapsed_s = (self.stamps_ns[-1] - self.stamps_ns[0]) / 1e9
        counted = float(self.timestamps[-1] - self.timestamps[0])
        measured = counted / elapsed_s if elapsed_s > 0 else 48_000.0
        return min(RATES, key=lambda rate: abs(np.log(max(1.0, measured) / rate)))

    def _format(self) -> tuple[int, int]:
        # Channels and octets of a sample, by the size of packets: 24 bits where both are possible, as they are usual.
        length = int(np.median(self.lengths)) if self.count else 0
        if not self.frames_per_packet or length % self.frames_per_packet:
            return 0, 0
        frame_bytes = length // self.frames_per_packet
        for sample_bytes in (3, 2):
            if frame_bytes and frame_bytes % sample_bytes == 0:
                return frame_bytes // sample_bytes, sample_bytes
        return 0, 0


def find_streams(datagrams: Iterable[CapturedDatagram]) -> list[RtpStream]:
    """The streams, in the order of their first packets."""
    groups: dict[tuple[str, str, int, bytes], list[CapturedDatagram]] = defaultdict(list)
    for one in datagrams:
        payload = one.payload
        if len(payload) < 12 or payload[0] >> 6 != 2 or 72 <= payload[1] & 0x7F <= 76:
            continue
        if one.destination_port in _CLOCK_PORTS or one.length <= 12:
            continue
        key = (one.source, one.destination, one.destination_port, payload[8:12])
        if key in groups or len(groups) < _MOST_STREAMS:
            groups[key].append(one)
    streams = [RtpStream(group) for group in groups.values() if len(group) >= LEAST_PACKETS]
    return [stream for stream in streams if stream.frames_per_packet]


def _header_length(payload: bytes) -> int:
    length = 12 + 4 * (payload[0] & 15)
    if payload[0] & 0x10 and len(payload) >= length + 4:
        length += 4 + 4 * int.from_bytes(payload[length + 2 : length + 4], "big")
    return min(length, len(payload))


def _unwrapped(values: Longs, bits: int) -> Longs:
    # Each value at the distance from the one before that is nearest.
    half = 1 << (bits - 1)
    steps = (np.diff(values) + half) % (2 * half) - half
    return np.concatenate([values[:1], values[0] + np.cumsum(steps)])
