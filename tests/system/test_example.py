"""The example with any file: what comes back over the network is what was sent, bit for bit, and the report says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support import material
from tests.support.addresses import LOOPBACK, free_group, free_port
from tests.support.graphs import END_AFTER, LINK_OFFSET
from tests.support.kernel import EXAMPLE, Outcome, exact, overrides, run_kernel


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A file, and how it is sent."""

    frames: int = 24_000
    channels: int = 2
    rate: int = 48_000
    subtype: str = "PCM_24"
    suffix: str = ".wav"
    sender: dict[str, str] = {}
    unicast: bool = False
    per_packet: int = 48
    """Frames of a whole packet."""

    @property
    def packets(self) -> int:
        """Packets that the file fills, the last one maybe in part."""
        return -(-self.frames // self.per_packet)


CASES = {
    "stereo, 24 bit": Case(frames=48_000),
    "8 channels": Case(channels=8),
    "16 bit as L16": Case(subtype="PCM_16", sender={"encoding": "L16"}),
    "125 us packets": Case(sender={"packet-time": "125us"}, per_packet=6),
    "FLAC": Case(suffix=".flac"),
    "unicast": Case(unicast=True),
}


class Trip(msgspec.Struct):
    """One file's way through the example: what was sent, and the files of the run."""

    folder: Path
    case: Case

    @property
    def copy(self) -> Path:
        """What came back."""
        return self.folder / "copy.wav"

    def run(self) -> Outcome:
        """The example with this file, on addresses of its own."""
        sdp = self.folder / "stream.sdp"
        return run_kernel(
            EXAMPLE,
            self.folder,
            *overrides(
                {
                    "sources.file.path": f"source{self.case.suffix}",
                    "sinks.network.group": LOOPBACK if self.case.unicast else free_group(),
                    "sinks.network.port": free_port(),
                    "sinks.network.sdp-out": sdp,
                    "sources.stream.sdp": sdp,
                    "sources.stream.link-offset": LINK_OFFSET,
                    "sources.stream.end-after": END_AFTER,
                    "sinks.copy.path": self.copy,
                    **{f"sinks.network.{name}": value for name, value in self.case.sender.items()},
                }
            ),
        )

    def exact(self) -> Outcome:
        """Run, and compare every sample."""
        case = self.case
        sent = material.make(
            self.folder / f"source{case.suffix}", case.frames, case.channels, rate=case.rate, subtype=case.subtype
        )
        return exact(self.run, lambda _: material.difference(sent, material.read(self.copy)))


@pytest.mark.parametrize("name", CASES)
def test_what_comes_back_is_what_was_sent(tmp_path: Path, name: str) -> None:
    trip = Trip(tmp_path, CASES[name])
    result = trip.exact()
    assert result.code == 0, result.stderr
    case = trip.case
    assert_the_report_is_complete(result.report, case)
    assert_words(result, case)
    assert_the_session_description_fits((tmp_path / "stream.sdp").read_bytes(), case)


def assert_the_report_is_complete(report: dict[str, Any], case: Case) -> None:
    """Everything that the contract names, with the numbers of a run in which nothing was lost."""
    assert report["schema"] == 1
    assert report["graph"] == str(EXAMPLE)
    assert report["profile"] is None
    assert report["virtual"] is False
    assert report["ended"] == "completed"
    assert case.frames / case.rate < report["duration_s"] < 20
    assert {
        id: (node["role"], node["kind"], node["state"]) for id, node in report["nodes"].items() if id != "house"
    } == {
        "file": ("source", "file", "ended"),
        "network": ("sink", "aes67", "ended"),
        "stream": ("source", "aes67", "ended"),
        "copy": ("sink", "file", "ended"),
    }
    house = report["nodes"]["house"]
    assert (house["role"], house["kind"], house["metrics"]["state"]) == ("clock", "system", "locked")
    assert set(house["metrics"]) >= {
        *("offset_ns", "rate_ppb", "sigma_ns", "bound_ns", "grandmaster", "timescale", "time_to_lock_s")
    }
    metrics = {id: node["metrics"] for id, node in report["nodes"].items()}
    assert metrics["file"]["frames_out"] == metrics["copy"]["frames_in"] == case.frames
    assert metrics["copy"]["overruns"] == 0
    assert metrics["network"]["packets_sent"] == metrics["stream"]["packets_received"] == case.packets
    assert metrics["network"]["send_errors"] == 0
    for name in ("lost", "late", "early", "duplicate", "reordered", "malformed"):
        assert metrics["stream"][f"packets_{name}"] == 0
    assert metrics["stream"]["frames_concealed"] == 0
    assert 0 < metrics["network"]["lead_ns"] <= 2_000_000
    for figure in ("pacing_error_p50_ns", "pacing_error_p99_ns", "pacing_error_max_ns"):
        assert figure in metrics["network"]
    for figure in ("lateness_p50_ns", "lateness_p99_ns", "lateness_max_ns"):
        assert figure in metrics["stream"]
    assert {name: edge["crossing"] for name, edge in report["edges"].items()} == {
        "file->network": False,
        "stream->copy": False,
    }
    assert all(edge["compensator"] is None for edge in report["edges"].values())
    (ended,) = [event for event in report["events"] if event["name"] == "stream_ended"]
    assert ended["node"] == "stream"
    assert ended["at_ns"] > 0
    json.dumps(report, allow_nan=False)


def assert_words(result: Outcome, case: Case) -> None:
    """What happened is said in words, one line for each node."""
    first, *lines = result.stdout.splitlines()
    assert first.startswith("Completed after ")
    assert [line.split(":")[0] for line in lines] == [
        "  clock house (system)",
        "  source file (file)",
        "  sink network (aes67)",
        "  source stream (aes67)",
        "  sink copy (file)",
    ]
    packets = f"{case.packets:,} packet{'s' if case.packets > 1 else ''}".replace(",", " ")
    assert f"sent {packets};" in lines[2]
    assert f"received {packets}; none lost or late;" in lines[3]
    assert "\x1b" not in result.stdout + result.stderr


def assert_the_session_description_fits(text: bytes, case: Case) -> None:
    """The written session description says what was sent."""
    encoding = case.sender.get("encoding", "L24")
    assert f"a=rtpmap:98 {encoding}/{case.rate}/{case.channels}\r\n".encode() in text
    assert f"a=framecount:{case.per_packet}\r\n".encode() in text
