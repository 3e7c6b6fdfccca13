"""What the flight recorder keeps within its memory, and the capture files that it composes."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from phasegraph import ClockEstimate, ClockState
from phasegraph._run.flight_recorder import ClockSample, write_capture
from phasegraph._run.packet_memory import CHUNK_ROWS, LEAST_BYTES, KeptDatagram, PacketMemory
from phasegraph._run.pcapng_writer import headed_datagram
from phasegraph.net import PacketBatch

S = 1_000_000_000
MIB = 1 << 20


def batch_of(count, length, first_ns, step_ns=1_000_000, source=0x0A000001):
    batch = PacketBatch(count, 1500)
    batch.count = count
    batch.length[:] = length
    batch.arrival_ns[:] = first_ns + step_ns * np.arange(count)
    batch.source[:] = source
    batch.destination[:] = 0xEF450101
    batch.source_port[:] = 5006
    batch.data[:, :length] = np.random.default_rng(first_ns).integers(0, 256, (count, length))
    return batch


def packets_of(path):
    """Stamp, captured octets, original length and comment of each packet of a pcapng file."""
    content, at, found = path.read_bytes(), 0, []
    while at < len(content):
        kind, size = struct.unpack_from("<II", content, at)
        assert size % 4 == 0
        assert struct.unpack_from("<I", content, at + size - 4) == (size,)
        if kind == 6:
            _, high, low, captured, original = struct.unpack_from("<IIIII", content, at + 8)
            options = content[at + 28 + -(-captured // 4) * 4 : at + size - 4]
            comment = options[4 : 4 + struct.unpack_from("<H", options, 2)[0]].decode() if options else ""
            found.append(((high << 32) + low, content[at + 28 : at + 28 + captured], original, comment))
        at += size
    return found


def stored(memory):
    return sum(len(rows) for rows in memory.snapshot().batches)


def test_packets_are_whole_while_they_fit():
    memory = PacketMemory(60 * S, 512 * MIB)
    batch = batch_of(1000, 300, S)
    memory.store(batch, 5004)
    (rows,) = memory.snapshot().batches
    assert np.array_equal(rows.data[:, :300], batch.data[:, :300])
    assert rows.stamp_ns.tolist() == batch.arrival_ns.tolist()
    assert set(rows.destination_port) == {5004}


@pytest.mark.slow
def test_what_is_older_is_forgotten():
    memory = PacketMemory(10 * S, 512 * MIB)
    for second in range(100):
        memory.store(batch_of(4000, 100, second * S, 250_000), 5004)
    first = min(int(rows.stamp_ns[0]) for rows in memory.snapshot().batches)
    assert first == pytest.approx(90 * S, abs=0.01 * S)
    assert memory.size_bytes < 70_000 * 130


@pytest.mark.parametrize("part", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_a_minute_of_64_streams_fits_into_512_mib(part):
    memory = PacketMemory(60 * S // part, 512 * MIB // part)
    batch = batch_of(CHUNK_ROWS, 300, 0, 15_625)  # 64 000 packets a second, 300 octets each
    for _ in range(300 // part):  # for 77 s
        memory.store(batch, 5004)
        batch.arrival_ns += CHUNK_ROWS * 15_625
        assert memory.size_bytes <= 512 * MIB // part
    batches = memory.snapshot().batches
    assert sum(len(rows) for rows in batches) >= 0.98 * 60 * 64_000 / part
    assert all(rows.data.shape[1] >= LEAST_BYTES for rows in batches)


@pytest.mark.slow
def test_memory_is_bounded_even_where_headers_do_not_fit():
    memory = PacketMemory(60 * S, 8 * MIB)
    batch = batch_of(CHUNK_ROWS, 1452, 0)
    for _ in range(20):
        memory.store(batch, 5004)
        batch.arrival_ns += CHUNK_ROWS * 1_000_000
        assert memory.size_bytes <= 8 * MIB
    assert stored(memory) >= 2 * CHUNK_ROWS


def test_datagrams_of_clocks_are_bounded_by_time():
    memory = PacketMemory(10 * S, 8 * MIB)
    for second in range(100):
        memory.add_datagram(KeptDatagram(second * S, b"sync", ("10.0.0.1", 319), ("224.0.1.129", 319)))
    assert [one.stamp_ns // S for one in memory.snapshot().datagrams] == list(range(89, 100))


def estimate(local_ns, reference_ns):
    return ClockEstimate(
        local_ns=local_ns, reference_ns=reference_ns, rate_ppb=1500.0, sigma_ns=20.0, bound_ns=900.0,
        state=ClockState.LOCKED, timescale="ptp", grandmaster="aa-bb",
    )  # fmt: skip


def test_a_capture_has_every_packet_in_order_with_its_comment(tmp_path):
    memory = PacketMemory(60 * S, 64 * MIB)
    memory.store(batch_of(50, 100, S), 5004)
    memory.store(batch_of(50, 61, S + 500_000, source=0xC0A80001), 5006)
    sync = KeptDatagram(S + 20_250_000, b"\x00" * 44, ("10.0.0.9", 319), ("224.0.1.129", 319))
    late = KeptDatagram(2 * S, b"\x01" * 44, ("fe80::1", 319), ("ff0e::181", 319))
    memory.add_datagram(sync)
    memory.add_datagram(late)
    samples = [ClockSample("house", S + 10_000_000, estimate(S + 10_000_000, 7 * S))]
    path = tmp_path / "new" / "a.pcapng"
    assert write_capture(path, memory.snapshot(), samples, 100, "a click was heard") == 102
    found = packets_of(path)
    stamps = [stamp for stamp, _, _, _ in found]
    assert stamps == sorted(stamps)
    assert stamps[0] == S + 100
    lengths = [original for _, _, original, _ in found]
    assert (lengths.count(128), lengths.count(89), lengths.count(72), lengths.count(92)) == (50, 50, 1, 1)
    ((_, octets, _, comment),) = [one for one in found if one[3]]
    assert f"reference = stamp + {7 * S - S - 10_000_000 - 100} ns" in comment
    assert "locked, timescale ptp" in comment
    version, protocol, source = octets[0], octets[9], octets[12:16]
    assert (version, protocol, source) == (0x45, 17, bytes([10, 0, 0, 1]))
    assert b"A click was heard" in path.read_bytes()


def test_headers_that_are_made_for_many_are_those_that_are_made_for_one(tmp_path):
    memory = PacketMemory(60 * S, 64 * MIB)
    batch = batch_of(3, 77, S)
    memory.store(batch, 5004)
    write_capture(tmp_path / "a.pcapng", memory.snapshot(), [], 0, "x")
    for row, (_, octets, _, _) in enumerate(packets_of(tmp_path / "a.pcapng")):
        assert octets == headed_datagram(batch.data[row, :77].tobytes(), ("10.0.0.1", 5006), ("239.69.1.1", 5004))
        words = struct.unpack("!10H", octets[:20])
        assert sum(words) % 0xFFFF == 0, "the checksum of the header"


def test_a_capture_replaces_no_file(tmp_path):
    (tmp_path / "a.pcapng").write_text("mine")
    with pytest.raises(FileExistsError):
        write_capture(tmp_path / "a.pcapng", PacketMemory(S, 8 * MIB).snapshot(), [], 0, "x")


def test_packets_are_cut_and_their_length_is_kept(tmp_path):
    memory = PacketMemory(60 * S, 8 * MIB)
    memory.store(batch_of(10, 1452, S), 5004)
    write_capture(tmp_path / "a.pcapng", memory.snapshot(), [ClockSample("c", S, estimate(S, S))], 0, "x")
    found = packets_of(tmp_path / "a.pcapng")
    assert {original for _, _, original, _ in found} == {1480}
    assert {len(octets) for _, octets, _, _ in found} < set(range(LEAST_BYTES, 200))
