"""``kernel sdp``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from phasegraph_aes67 import sdp
from phasegraph_aes67.parameters import StreamParameters
from phasegraph_aes67.sdp_command import sdp_command

GOOD = sdp.write(
    StreamParameters(address="239.1.0.1", frames_per_packet=48, ttl=15, ts_refclk="ptp=IEEE1588-2008:traceable"),
    name="desk",
    origin="192.0.2.1",
    session_id=7,
)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    good, bad = tmp_path / "good.sdp", tmp_path / "bad.sdp"
    good.write_text(GOOD)
    bad.write_text("v=0\ns=empty\n")
    return str(good), str(bad)


def test_words(files: tuple[str, str]) -> None:
    result = CliRunner().invoke(sdp_command, [files[0]])
    assert result.exit_code == 0
    assert "multicast group 239.1.0.1, port 5004" in result.output
    assert "any PTP grandmaster that is traceable to TAI" in result.output
    result = CliRunner().invoke(sdp_command, [*files, "/nowhere.sdp"])
    assert result.exit_code == 1
    assert "not usable: there is no m=audio line" in result.output
    assert "cannot be read: No such file" in result.output


def test_json(files: tuple[str, str]) -> None:
    result = CliRunner().invoke(sdp_command, [*files, "--format", "json"])
    assert result.exit_code == 1
    good, bad = json.loads(result.output)
    assert (good["ok"], good["problems"], good["name"]) == (True, [], "desk")
    assert good["streams"] == [
        {
            "group": "239.1.0.1",
            "port": 5004,
            "encoding": "L24",
            "rate": 48000,
            "channels": 2,
            "packet_time_ns": 1_000_000,
            "frames_per_packet": 48,
            "payload_type": 98,
            "ts_refclk": "ptp=IEEE1588-2008:traceable",
            "mediaclk_offset": 0,
            "source_filter": None,
            "excluded_sources": [],
            "ttl": 15,
            "dup_of": None,
        }
    ]
    assert bad["ok"] is False
    assert bad["streams"] == []


def test_standard_input() -> None:
    result = CliRunner().invoke(sdp_command, ["-"], input=GOOD)
    assert result.exit_code == 0
    assert result.output.startswith("-: desk")
