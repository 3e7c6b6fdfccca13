"""The command: captures, graphs on a simulated network, formats, exit codes."""

import json

import pytest
from click.testing import CliRunner

from phasegraph_console.verify.verify_command import verify_command

from .capture_files import pcap, rtp_packets

GRAPH = """schema = 1
[clocks.house]
kind = "system"
[sources.it]
kind = "tone"
[sinks.nowhere]
kind = "null"
input = "it"
"""


def run(*words):
    return CliRunner().invoke(verify_command, [str(word) for word in words])


@pytest.fixture
def capture(tmp_path):
    def write(packets, name="a.pcap"):
        (tmp_path / name).write_bytes(pcap(packets))
        return tmp_path / name

    return write


def test_a_capture_that_passes(capture):
    result = run(capture(rtp_packets()))
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[1] == "PASS 239.1.2.3:5004"
    assert lines[-1] == "PASS 1 of 1 passed."
    assert "L24 48 kHz 2 ch, 48 frames a packet, 2000 packets" in result.output


def test_a_capture_that_fails_as_json(capture):
    result = run(capture(rtp_packets(lost=(7,))), "--format", "json")
    assert result.exit_code == 1
    told = json.loads(result.output)
    assert told["verdict"] == "FAIL"
    (subject,) = told["subjects"]
    failed = [one for one in subject["checks"] if one["verdict"] == "FAIL"]
    assert failed == [
        {"standard": "ST 2110-10", "name": "lost packets", "verdict": "FAIL", "measured": "1 of 2000", "limit": "0"}
    ]


def test_the_page_is_whole_and_needs_nothing(capture):
    result = run(capture(rtp_packets(destination="239.1.2.3")), "--format", "html")
    page = result.output
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") == 2
    assert "http" not in page
    assert "<script" not in page
    assert "Delta packet against RTP time, us" in page


def test_nothing_found_fails(capture):
    result = run(capture([]))
    assert result.exit_code == 1
    assert "No stream and no PTP was found." in result.output


@pytest.mark.parametrize("content", [b"", b"\xd4\xc3\xb2\xa1", b"\x0a\x0d\x0d\x0a"])
def test_a_file_that_is_neither_is_an_error_of_the_call(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert run(tmp_path / "x", "--simulate", "studio").exit_code != 0
    assert run(tmp_path / "missing").exit_code == 2


def test_a_graph_on_a_simulated_network_is_judged_without_sending(tmp_path):
    pytest.importorskip("phasegraph_sinks", reason="the plugin with tones is not installed")
    (tmp_path / "g.toml").write_text(GRAPH)
    result = run(tmp_path / "g.toml", "--simulate", "studio", "--for", "3s", "--format", "json")
    told = json.loads(result.output)
    assert [subject["name"] for subject in told["subjects"]] == ["clock house"]


@pytest.mark.parametrize("words", [("--for", "2h"), ("--for", "x"), ("--for", "0s")])
def test_times_that_are_none(tmp_path, words):
    pytest.importorskip("phasegraph_sinks", reason="the plugin with tones is not installed")
    (tmp_path / "g.toml").write_text(GRAPH)
    assert run(tmp_path / "g.toml", "--simulate", "studio", *words).exit_code == 2


TRACE = "".join(
    json.dumps({"t": "clock", "node": node, "local_ns": n * 500_000_000,
                "reference_ns": 10**18 + n * 500_000_500 + more,
                "state": state}) + "\n"
    for n, state in enumerate(("acquiring", "locked", "locked", "holdover"))
    for node, more in (("house", 0), ("other", 7))
)  # fmt: skip


def test_the_time_error_of_a_trace_as_csv(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text('{"t": "correction", "node": "align", "local_ns": 1}\n' + TRACE)
    result = run(path, "--format", "csv", "--clock", "house")
    assert result.output.splitlines() == [
        "time,offset", "0.000000000,0.000000000", "0.500000000,0.000000500", "1.000000000,0.000001000",
    ]  # fmt: skip
    assert "name one with --clock" in run(path, "--format", "csv").output
    assert "no clock 'x'" in run(path, "--format", "csv", "--clock", "x").output
    path.write_text("[1]\n")
    assert run(path, "--format", "csv").exit_code == 2
