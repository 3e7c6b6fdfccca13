"""The arithmetic of the benchmarks; the measurements themselves need other programs and a quiet machine."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

# The benchmarks are scripts, not a package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import _measure
import _peers
import _pipewire
import _spacing
import _table
import _wire


def test_spacing_of_an_even_sender_with_another_rate_is_zero() -> None:
    n = np.arange(6000)
    stamps = np.round(1_700_000_000e9).astype(np.int64) + np.round(n * 1_000_000 * (1 + 20e-6)).astype(np.int64)
    seen = _spacing.spacing(stamps, (n + 65_000) % 65_536, 1e6)
    assert seen is not None
    assert seen.max_us < 0.1
    assert seen.back_to_back == 0
    assert seen.rate_ppm == pytest.approx(-20, abs=0.1)


def test_spacing_sees_late_packets_and_bursts() -> None:
    n = np.arange(6000)
    stamps = n * 1_000_000
    stamps[1000] += 990_000  # nearly a packet time late: the next one follows at once
    bursts = (n // 10) * 10_000_000 + (n % 10) * 20_000
    late, burst = _spacing.spacing(stamps, n % 65_536, 1e6), _spacing.spacing(bursts, n % 65_536, 1e6)
    assert late is not None
    assert burst is not None
    assert late.p99_us == pytest.approx(0, abs=1)
    assert late.max_us == pytest.approx(990, abs=1)
    assert late.back_to_back == pytest.approx(1 / 5999)
    assert burst.back_to_back == pytest.approx(0.9, abs=0.001)


def test_a_sender_that_leaves_packet_times_out_is_slow() -> None:
    n = np.arange(6000)
    seen = _spacing.spacing(n * 1_000_000 + n // 100 * 300_000, n % 65_536, 1e6)
    assert seen is not None
    assert seen.rate_ppm == pytest.approx(-3000, rel=0.02)


def test_missing_packets_are_counted_across_the_wrap() -> None:
    numbers = np.delete((np.arange(100) + 65_500) % 65_536, [10, 50, 51])
    assert _spacing.missing(numbers) == 3


@pytest.mark.parametrize("frame", [0, 1, 47_999, 83_000_000_000_001])
def test_a_frame_is_due_when_the_media_clock_says_its_number(frame: int, monkeypatch: pytest.MonkeyPatch) -> None:
    due = _wire.frame_time(frame, 48_000)
    for offset, number in ((0, frame), (-1, frame - 1)):
        monkeypatch.setattr(time, "time_ns", lambda now=due + offset: now)
        assert _wire.media_now(48_000) == number


def test_the_message_header_has_the_kernels_size() -> None:
    assert ctypes.sizeof(_wire.Mmsghdr) == 64


def test_cpu_of_this_process_group_grows() -> None:
    before = _measure.cpu_ns(os.getpgrp())
    sum(range(1_000_000))
    assert _measure.cpu_ns(os.getpgrp()) > before


def test_remarks_say_how_often() -> None:
    assert _table.remarks(["slow", "", "slow"]) == "slow (2 of 3 rounds)"
    assert _table.median([None, 1.0, 3.0, 2.0]) == 2.0


@pytest.mark.slow
def test_commands_name_every_group(tmp_path: Path) -> None:
    job = _peers.Job(_wire.Format(8, 48), _wire.Streams(3, "239.69.1", 5004), tmp_path, 10)
    for peer in (*_peers.receivers(tmp_path, "20ms").values(), *_peers.senders(tmp_path).values()):
        if peer.missing:
            continue
        text = " ".join(peer.command(job)) + "".join(p.read_text() for p in tmp_path.glob("*.sdp"))
        graph = tmp_path / "graph.toml"
        text += graph.read_text() if graph.exists() else ""
        assert all(job.streams.group(i) in text for i in range(3)), peer.key


@pytest.mark.parametrize("rt", [False, True])
def test_the_configuration_of_pipewire_names_every_group_and_is_balanced(rt: bool) -> None:
    text = _pipewire.config(8, 5004, [f"239.69.1.{i + 1}" for i in range(3)], rt=rt)
    assert all(f'destination.ip = "239.69.1.{i + 1}"' in text for i in range(3))
    assert text.count("{") == text.count("}")
    assert ("libpipewire-module-rt }" in text) == rt
