"""Captures of real streams, where they are present: in the folder that PHASEGRAPH_VECTORS names."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trio

from phasegraph.testing import SimNetwork, running_graph

FOLDER = Path(os.environ.get("PHASEGRAPH_VECTORS", "")) / "pcap"
REDUNDANT = "ebu-list_ST2022-7-Audio_dropped_in_both.pcap"
PLAIN = "ebu-list_l16_48000_2ch_1ms.pcap"
BEGIN_NS = 200_000_000
"""True time at which a capture begins."""
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="PHASEGRAPH_VECTORS names no folder of captures")

Captured = tuple[int, str, int, bytes]
"""Time in ns, destination address and port, payload."""


def capture(name: str) -> list[Captured]:
    if not (FOLDER / name).is_file():
        pytest.skip(f"{FOLDER} has no {name}")
    return list(datagrams((FOLDER / name).read_bytes()))


def datagrams(pcap: bytes) -> Iterator[Captured]:
    assert pcap[:4] == b"\x4d\x3c\xb2\xa1", "nanoseconds, little endian"
    at = 24
    while at < len(pcap):
        seconds, ns, length = struct.unpack_from("<III", pcap, at)
        frame = pcap[at + 16 : at + 16 + length]
        at += 16 + length
        udp = 14 + (frame[14] & 0xF) * 4
        _, port, size = struct.unpack_from("!HHH", frame, udp)
        yield seconds * 10**9 + ns, socket.inet_ntoa(frame[30:34]), port, frame[udp + 8 : udp + size]


async def replay(packets: list[Captured], source: str):
    """Play a capture to a source, in its own time; returns the run."""
    network = SimNetwork()
    epoch = packets[0][0] - BEGIN_NS
    graph = (
        f'schema = 1\n[clocks.house]\nkind = "sim-clock"\nepoch = "{epoch}ns"\n[sources.it]\nkind = "aes67"\n'
        f'interface = "eth0"\nend-after = "100ms"\n{source}\n[sinks.recorder]\nkind = "sim-recorder"\ninput = "it"\n'
    )
    async with running_graph(graph, network=network) as run:
        sender = network.sender(network.interface("eth0"), ttl=1, dscp=0)
        flows = sorted({(address, port) for _, address, port, _ in packets})
        buffer = sender.buffer(len(flows), 1500, flows)
        began = trio.current_time()
        for at_ns, address, port, payload in packets:
            await trio.sleep_until(began + (at_ns - epoch) / 1e9)
            row = flows.index((address, port))
            buffer.data[row, : len(payload)] = np.frombuffer(payload, np.uint8)
            buffer.length[row] = len(payload)
            sender.send(buffer, row, 1)
        await trio.sleep(0.3)
    return run


LEGS = (
    'group = "239.1.2.1"\nport = 6000\nchannels = 1\npacket-time = "125us"\n'
    'leg-b = {group = "239.1.2.2", port = 6000}\nlink-offset = "2ms"\n'
)


@pytest.mark.parametrize("conceal", ["true", "false"])
async def test_lost_in_both_legs(autojump_clock, conceal):
    packets = capture(REDUNDANT)
    run = await replay(packets, LEGS + f"conceal = {conceal}")
    it = run.metrics("it")
    assert it["packets_received"] == 195
    assert it["packets_lost"] == 5
    assert (it["gaps_concealed"], it["frames_concealed"]) == (1, 30)
    assert (it["leg_a_packets_received"], it["leg_b_packets_received"]) == (189, 185)
    assert (it["leg_a_packets_lost"], it["leg_b_packets_lost"]) == (11, 5), "what came before and after is unknown"
    for name in ("late", "early", "duplicate", "reordered", "malformed", "foreign"):
        assert it[f"packets_{name}"] == 0, name
    # Every frame that came on either leg is where it belongs, bit for bit; leg A writes first.
    recorded = run.nodes["recorder"].recording()
    expected = np.zeros((1200, 1), np.float32)
    there = np.zeros(1200, np.bool_)
    first = struct.unpack_from("!H", packets[0][3], 2)[0]
    for _, _, _, payload in sorted(packets, key=lambda one: one[1], reverse=True):
        at = 6 * (struct.unpack_from("!H", payload, 2)[0] - first)
        octets = np.frombuffer(payload[12:], np.uint8).reshape(6, 3).astype(np.int32)
        whole = (octets[:, 0] << 24 | octets[:, 1] << 16 | octets[:, 2] << 8) >> 8
        expected[at : at + 6, 0] = whole / 2.0**23
        there[at : at + 6] = True
    assert len(recorded) == 1200
    assert np.flatnonzero(~there).tolist() == list(range(504, 534))
    assert (recorded[there] == expected[there]).all()
    gap = recorded[~there]
    if conceal == "true":
        steepest = np.abs(np.diff(expected[there], axis=0)).max()
        assert gap.any()
        assert np.abs(np.diff(recorded[498:540], axis=0)).max() <= 1.5 * steepest
    else:
        assert not gap.any()


@pytest.mark.parametrize(
    ("timing", "count"),
    [
        pytest.param("mediaclk-offset = 178908655", 2_500, id="absolute"),
        pytest.param("mediaclk-offset = 178908655", 10_062, id="absolute, to its end", marks=pytest.mark.slow),
        pytest.param('media-clock = "relative"', 10_062, id="relative", marks=pytest.mark.slow),
    ],
)
async def test_a_stream_without_trouble(autojump_clock, timing, count):
    packets = capture(PLAIN)
    assert len(packets) == 10_062
    packets = packets[:count]
    source = f'group = "239.31.114.5"\nencoding = "L16"\n{timing}\nlink-offset = "2ms"'
    run = await replay(packets, source)
    it = run.metrics("it")
    assert it["packets_received"] == count
    troubles = ("lost", "late", "early", "duplicate", "reordered", "malformed", "foreign")
    assert [it[f"packets_{name}"] for name in troubles] == [0] * 7
    assert it["frames_concealed"] == it["gaps_concealed"] == 0
    recorded = run.nodes["recorder"].recording()
    sent = np.frombuffer(b"".join(payload[12:] for *_, payload in packets), ">i2").reshape(-1, 2)
    assert (recorded * 2.0**15 == sent).all()
