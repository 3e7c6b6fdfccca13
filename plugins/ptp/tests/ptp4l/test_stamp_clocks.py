"""Reading the clock of an interface."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from phasegraph import NodeError
from phasegraph.testing import SimLocalClock
from phasegraph_ptp.ptp4l import stamp_clocks
from phasegraph_ptp.ptp4l.stamp_clocks import HardwareStampClock, RealtimeStampClock, device_of


class Brackets:
    """Local time that passes unevenly while another clock is read."""

    def __init__(self) -> None:
        self.now = 1_000_000
        self.steps = iter((900, 100, 500, 20, 30, 300, 700, 700, 40, 5000))

    def now_ns(self) -> int:
        return self.now

    def read(self, clock: int) -> int:
        self.clock = clock
        self.now += next(self.steps)
        shown = 37_000 + self.now
        self.now += next(self.steps)
        return shown


def test_the_tightest_bracket_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    local = Brackets()
    monkeypatch.setattr(stamp_clocks, "time", SimpleNamespace(clock_gettime_ns=lambda clock: 0))
    clock = HardwareStampClock(Path(os.devnull), local)  # type: ignore[arg-type]
    monkeypatch.setattr(stamp_clocks, "time", SimpleNamespace(clock_gettime_ns=local.read))
    relation = clock.compare()
    # The third of them took 330 ns, the second 520 ns.
    assert relation.local_ns == 1_000_000 + 1000 + 520 + 165
    assert relation.offset_ns == 37_000 + 30 - 165
    assert (~(local.clock >> 3), local.clock & 7) == (clock._file, 3)
    clock.close()
    with pytest.raises(OSError):
        os.fstat(clock._file)


def test_what_is_no_clock_is_closed_again(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NodeError, match="is no clock"):
        HardwareStampClock(Path(os.devnull), SimLocalClock())
    with pytest.raises(NodeError, match="cannot read the clock .*No such file.*udev rule"):
        HardwareStampClock(tmp_path / "ptp0", SimLocalClock())
    assert len(os.listdir("/proc/self/fd")) == before


def test_realtime() -> None:
    local = SimLocalClock()
    relation = RealtimeStampClock(local).compare()
    assert (relation.local_ns, relation.offset_ns) == (local.now_ns(), local.realtime_offset_ns())


def test_the_device_of_an_interface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamp_clocks, "_SYSFS", tmp_path)
    assert device_of("eth0") is None
    assert device_of("") is None
    (tmp_path / "eth0/device/ptp/ptp3").mkdir(parents=True)
    assert device_of("eth0") == Path("/dev/ptp3")
    (tmp_path / "eth0/device/ptp/ptp4").mkdir()
    assert device_of("eth0") is None
