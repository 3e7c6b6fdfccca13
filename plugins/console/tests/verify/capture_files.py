"""Composes captures for tests: RTP streams with given deltas, PTP messages, in every file format."""

from __future__ import annotations

import struct

import numpy as np

EPOCH_NS = 1_790_000_000 * 10**9


def rtp_packets(
    count=2000, *, frames=48, rate=48_000, channels=2, sample_bytes=3, delay_ns=1_100_000, lost=(), payload_type=98,
    destination="239.1.2.3", source="10.0.0.1", ssrc=7, first_frame=EPOCH_NS // 10**9 * 48_000, sound=None, sequence=0,
):  # fmt: skip
    """(stamp, datagram with headers) of a stream whose packets arrive ``delay_ns`` (or an array) after media time."""
    delays = np.broadcast_to(np.asarray(delay_ns), count)
    packets = []
    for number in range(count):
        if number in lost:
            continue
        frame = first_frame + number * frames
        stamp = frame * 10**9 // rate + int(delays[number])
        if sound is None:
            payload = bytes(frames * channels * sample_bytes)
        else:
            samples = np.zeros((frames, channels), "<i4")
            samples[:, 0] = np.round(sound[number * frames : (number + 1) * frames] * 2**23)
            payload = samples.astype(">i4").view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()
        header = struct.pack("!BBHII", 0x80, payload_type, (sequence + number) & 0xFFFF, frame & 0xFFFF_FFFF, ssrc)
        packets.append((stamp, datagram(header + payload, source=source, destination=destination)))
    return packets


def datagram(payload, *, source="10.0.0.1", destination="239.1.2.3", port=5004, tos=34 << 2):
    addresses = b"".join(bytes(map(int, one.split("."))) for one in (source, destination))
    ip = struct.pack("!BBHHHBBH", 0x45, tos, 28 + len(payload), 0, 0, 15, 17, 0) + addresses
    return ip + struct.pack("!HHHH", 5004, port, 8 + len(payload), 0) + payload


def ethernet(packet, vlan=False):
    return bytes(12) + (b"\x81\x00\x00\x05" if vlan else b"") + b"\x08\x00" + packet


def pcap(packets, *, order="<", ns=True, link=1, wrap=ethernet):
    magic = 0xA1B23C4D if ns else 0xA1B2C3D4
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65_535, link)]
    for stamp, packet in packets:
        data = wrap(packet)
        fraction = stamp % 10**9 // (1 if ns else 1000)
        out.append(struct.pack(order + "IIII", stamp // 10**9, fraction, len(data), len(data)) + data)
    return b"".join(out)


def pcapng(packets, *, order="<", resolution=9, link=101, comments=()):
    def block(kind, body):
        size = 12 + len(body)
        return struct.pack(order + "II", kind, size) + body + struct.pack(order + "I", size)

    def option(code, value):
        return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)

    end = struct.pack(order + "HH", 0, 0)
    out = [block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))]
    out.append(block(1, struct.pack(order + "HHI", link, 0, 0) + option(9, bytes([resolution])) + end))
    for number, (stamp, packet) in enumerate(packets):
        unit = stamp * 10**resolution // 10**9
        fixed = struct.pack(order + "IIIII", 0, unit >> 32, unit & 0xFFFF_FFFF, len(packet), len(packet))
        text = dict(comments).get(number)
        options = option(1, text.encode()) + end if text else b""
        out.append(block(6, fixed + packet + bytes(-len(packet) % 4) + options))
    return b"".join(out)
