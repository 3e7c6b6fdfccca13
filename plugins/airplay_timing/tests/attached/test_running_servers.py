"""Which program serves already: its memory says so, and an old memory does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from phasegraph.testing import SimLocalClock
from phasegraph_airplay_timing.attached.running_servers import AirptpReader, CliairplayReader, find_running_server
from phasegraph_airplay_timing.nqptp.nqptp_record import MemoryNotServed, NqptpRecord
from phasegraph_airplay_timing.nqptp.shared_memory import MemoryWriter
from phasegraph_airplay_timing.senders import airptp, cliairplay

S = 10**9
CLOCK = 0x0102_0304_0506_0708


def write_status(directory: Path, written_s: int, clock: int = CLOCK) -> None:
    """As airptp does."""
    octets = airptp.encode_status(clock, written_s, (319, 320), ipv4=True, ipv6=True)
    (directory / "airptp_shm").write_bytes(octets)


def write_sample(directory: Path, realtime_ns: int, offset_ns: int = 7 * S) -> None:
    """As cliairplay does."""
    sample = cliairplay.CliairplaySample(
        updates=9, clock=CLOCK, realtime_ns=realtime_ns, offset_ns=offset_ns, started_ns=offset_ns + 1
    )
    (directory / "cliairplay-ptp").write_bytes(cliairplay.encode_header() + 2 * sample.encode())


class StoppedClock(SimLocalClock):
    """Local time that stands still, without a run of trio."""

    def now_ns(self) -> int:
        return 1_000 * S


@pytest.fixture
def local() -> SimLocalClock:
    return StoppedClock()


def test_nothing_runs(local: SimLocalClock, tmp_path: Path) -> None:
    found, reasons = find_running_server(local, str(tmp_path), lambda port: ["nqptp (process 1)"], 9000)
    assert found is None
    assert len(reasons) == 3


def test_airptp_runs_until_its_status_is_old(local: SimLocalClock, tmp_path: Path) -> None:
    now_s = local.now_ns() // S
    write_status(tmp_path, now_s - airptp.STALE_S)
    found, _ = find_running_server(local, str(tmp_path), lambda port: [], 9000)
    assert found is not None
    assert found.program == "airptp"
    assert found.record() == NqptpRecord(clock=CLOCK, local_ns=local.now_ns(), offset_ns=0)
    write_status(tmp_path, now_s - airptp.STALE_S - 1)
    assert not found.alive
    assert found.record() == NqptpRecord()
    found, reasons = find_running_server(local, str(tmp_path), lambda port: [], 9000)
    assert found is None
    assert "16 s old: its server has ended" in reasons[0]


def test_cliairplay_runs_until_its_sample_is_old(local: SimLocalClock, tmp_path: Path) -> None:
    now = local.now_ns()
    write_sample(tmp_path, now - cliairplay.STALE_NS)
    found, _ = find_running_server(local, str(tmp_path), lambda port: [], 9000)
    assert found is not None
    assert found.program == "cliairplay"
    record = found.record()
    assert record == NqptpRecord(clock=CLOCK, local_ns=now - cliairplay.STALE_NS, offset_ns=7 * S, since_ns=1)
    write_sample(tmp_path, now - cliairplay.STALE_NS - S)
    with pytest.raises(MemoryNotServed, match="16 s old"):
        CliairplayReader(local, str(tmp_path)).read_record()


def test_a_memory_of_nqptp_counts_while_a_program_has_its_control_port(local: SimLocalClock, tmp_path: Path) -> None:
    MemoryWriter("/nqptp", str(tmp_path), now_ns=0).close()
    found, reasons = find_running_server(local, str(tmp_path), lambda port: [], 9000)
    assert found is None
    assert "no program has UDP port 9000" in reasons[2]
    found, _ = find_running_server(local, str(tmp_path), lambda port: ["x"] * (port == 9000), 9000)
    assert found is not None
    assert (found.program, found.record()) == ("nqptp", NqptpRecord())


@pytest.mark.parametrize("content", [b"", b"\0" * 32, b"\xff" * 32, b"\0" * 104, b"\1" + b"\0" * 103, os.urandom(200)])
def test_other_content_is_no_server(local: SimLocalClock, tmp_path: Path, content: bytes) -> None:
    for name in ("airptp_shm", "cliairplay-ptp", "nqptp"):
        (tmp_path / name).write_bytes(content)
    assert find_running_server(local, str(tmp_path), lambda port: ["x"], 9000)[0] is None


def test_a_sample_that_is_being_written_is_read_again(local: SimLocalClock, tmp_path: Path) -> None:
    write_sample(tmp_path, local.now_ns())
    path = tmp_path / "cliairplay-ptp"
    path.write_bytes(path.read_bytes()[:-8] + b"\1" * 8)
    assert CliairplayReader(local, str(tmp_path)).read_record() is None


def test_a_status_without_time_is_of_no_server(local: SimLocalClock, tmp_path: Path) -> None:
    write_status(tmp_path, 0)
    with pytest.raises(MemoryNotServed, match="not a status"):
        AirptpReader(local, str(tmp_path)).status()
