"""Making RTP packets: frames in, rows of packets out. Sans-IO."""

from __future__ import annotations

import secrets

import numpy as np
from numpy.typing import NDArray

from phasegraph import Encoding, Frames, RawSampleReader

from .. import am824
from ..parameters import RTP_HEADER_BYTES, StreamParameters


class Packetiser:
    """Writes the packets of one stream into rows of a send buffer.

    The sequence number follows from media time, as the timestamp does, so that two redundant senders, or a
    sender that starts again, agree on it.
    """

    def __init__(self, parameters: StreamParameters, ssrc: int, received: RawSampleReader | None = None) -> None:
        """``received`` reads received AM824 words, which are passed on unchanged."""
        if parameters.frames_per_packet is None or parameters.payload_type is None:
            raise ValueError("a sender must know its packet time and payload type")
        self.parameters = parameters
        self.frames_per_packet = parameters.frames_per_packet
        self._payload_type = parameters.payload_type
        self.ssrc = ssrc
        self._subframes = am824.Subframes(parameters.channels, parameters.rate, received)
        self.packet_bytes = RTP_HEADER_BYTES + self.frames_per_packet * parameters.frame_bytes

    def prepare(self, rows: NDArray[np.uint8]) -> None:
        """Write into the rows what never changes."""
        rows[:, 0] = 0x80
        rows[:, 1] = self._payload_type
        rows[:, 8:12] = np.frombuffer(self.ssrc.to_bytes(4, "big"), np.uint8)

    def stamp(self, rows: NDArray[np.uint8], frame: int) -> None:
        """Write sequence numbers and timestamps of consecutive packets, of which the first begins with ``frame``."""
        count = len(rows)
        index = frame + np.arange(count, dtype=np.int64) * self.frames_per_packet
        sequence = (index // self.frames_per_packet) & 0xFFFF
        timestamp = (index + (self.parameters.mediaclk_offset or 0)) & 0xFFFFFFFF
        rows[:, 2:4] = sequence.astype(">u2").view(np.uint8).reshape(count, 2)
        rows[:, 4:8] = timestamp.astype(">u4").view(np.uint8).reshape(count, 4)

    def fill(self, rows: NDArray[np.uint8], lengths: NDArray[np.int64], frame: int, frames: Frames) -> None:
        """Put ``frames``, of which the first has index ``frame``, into the rows; the last packet may be short.

        ``rows`` and ``lengths`` have one entry per packet.
        """
        self.stamp(rows, frame)
        count = len(rows)
        per_packet = self.frames_per_packet
        parameters = self.parameters
        encoded = parameters.encoding.encode(frames)
        if parameters.encoding is Encoding.AM824:
            encoded = self._subframes.words(frame, encoded)
        whole = len(frames) // per_packet
        payload = rows[:, RTP_HEADER_BYTES : self.packet_bytes]
        payload[:whole] = encoded[: whole * per_packet].reshape(whole, payload.shape[1])
        lengths[:whole] = self.packet_bytes
        if whole < count:
            rest = encoded[whole * per_packet :].reshape(-1)
            payload[whole, : len(rest)] = rest
            lengths[whole] = RTP_HEADER_BYTES + len(rest)


def random_ssrc() -> int:
    """A synchronisation source that no other sender has (RFC 3550, 8.1), also where one graph runs twice."""
    return secrets.randbits(32)
