"""Wrong graphs, by the command: told at the place where they are wrong, with a remedy, all at once, and exit code 2."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.support import material
from tests.support.graphs import table

from phasegraph._cli.app import cli

pytestmark = pytest.mark.slow
Nodes = dict[str, dict[str, Any]]
RIGHT: Nodes = {
    "clocks.house": {"kind": "system"},
    "sources.file": {"kind": "file", "path": "source.wav"},
    "sinks.network": {"kind": "aes67", "input": "file", "group": "239.69.1.1", "interface": "127.0.0.1"},
    "sources.stream": {"kind": "aes67", "group": "239.69.1.1", "interface": "127.0.0.1"},
    "sinks.copy": {"kind": "file", "input": "stream", "path": "copy.wav"},
}
SDP = "v=0\r\nc=IN IP4 239.69.1.1/32\r\nm=audio 5004 RTP/AVP 98\r\n"


def graph(changes: Mapping[str, object] = {}, *, without: str = "") -> str:
    """The right graph with options changed or added (``sinks.copy.path``), or new nodes, and without one node."""
    nodes = {id: dict(options) for id, options in RIGHT.items() if id != without}
    for path, option in changes.items():
        id, _, name = path.rpartition(".")
        if isinstance(option, dict):
            nodes[path] = option
        else:
            nodes[id][name] = option
    return "schema = 1\n" + "".join(table(*id.split(".", 1), **options) for id, options in nodes.items())


# Name: what is changed, and what must be said: for each path the words of message and remedy.
WRONG: dict[str, tuple[dict[str, object], dict[str, tuple[str, ...]]]] = {
    "an unknown kind": ({"sinks.network.kind": "aes76"}, {"sinks.network.kind": ("aes76", "did you mean 'aes67'?")}),
    "a kind of another role": ({"sinks.copy.kind": "tone"}, {"sinks.copy.kind": ("tone", "source", "not a sink")}),
    "an unknown option": (
        {"sinks.network.packet-tme": "1ms"},
        {"sinks.network.packet-tme": ("unknown option", "did you mean 'packet-time'?")},
    ),
    "no unit": ({"sinks.network.packet-time": "1"}, {"sinks.network.packet-time": ("with a unit", "'3ms'", "got '1'")}),
    "an unknown unit": (
        {"sinks.network.packet-time": "1 parsec"},
        {"sinks.network.packet-time": ("unknown unit 'parsec'", "use one of ns")},
    ),
    "a unit of something else": (
        {"sources.stream.rate": "3ms"},
        {"sources.stream.rate": ("unknown unit 'ms'", "use one of Hz, kHz")},
    ),
    "a port out of range": ({"sinks.network.port": 70_000}, {"sinks.network.port": ("from 1 to 65535", "70000")}),
    "a group that is no address": (
        {"sinks.network.group": "studio"},
        {"sinks.network.group": ("studio", "IPv4 address")},
    ),
    "a group of IPv6": ({"sources.stream.group": "ff02::1"}, {"sources.stream.group": ("ff02::1", "IPv4 address")}),
    "a missing file": ({"sources.file.path": "gone.wav"}, {"sources.file.path": ("gone.wav", "No such file")}),
    "a folder as a file": ({"sources.file.path": "folder"}, {"sources.file.path": ("expected a file", "folder")}),
    "a file that is no audio": (
        {"sources.file.path": "junk.bin"},
        {"sources.file.path": ("junk.bin", "cannot be read as audio", "give a WAV")},
    ),
    "an empty audio file": ({"sources.file.path": "empty"}, {"sources.file.path": ("empty", "give a WAV")}),
    "a missing SDP": (
        {"sources.stream": {"kind": "aes67", "sdp": "no.sdp"}},
        {"sources.stream.sdp": ("no.sdp", "No such")},
    ),
    "an SDP that is junk": (
        {"sources.stream": {"kind": "aes67", "sdp": "junk.bin"}},
        {"sources.stream.sdp": ("junk.bin", "not a usable session description")},
    ),
    "an SDP without a codec": (
        {"sources.stream": {"kind": "aes67", "sdp": "half.sdp"}},
        {"sources.stream.sdp": ("half.sdp", "rtpmap", "L24/48000/2")},
    ),
    "SDP and group": (
        {"sources.stream.sdp": "half.sdp"},
        {"sources.stream.group": ("sdp and group are both given", "keep one")},
    ),
    "no stream to receive": (
        {"sources.stream": {"kind": "aes67"}},
        {"sources.stream": ("no stream to receive is given", "give sdp, or")},
    ),
    "more channels than fit": (
        {"sources.file.path": "wide.wav"},
        {"sinks.network.packet-time": ("1728 bytes", "1440 fit", "up to 10 channels", "shorten packet-time")},
    ),
    "a channel that is not there": (
        {"sinks.network.input": [{"source": "file", "channels": [1, 3]}]},
        {"sinks.network.input": ("2 channels", "no channel 3", "count from 1")},
    ),
    "another rate than the input": (
        {"sinks.network.rate": "96kHz"},
        {"sinks.network.rate": ("96000 Hz", "leave rate out")},
    ),
    "inputs of two rates": (
        {"sources.slow": {"kind": "tone", "rate": "44.1kHz"}, "sinks.network.input": ["file", "slow"]},
        {"sinks.network.input": ("different rates: 44.1 kHz, 48 kHz", "need the same rate")},
    ),
    "a recording of unknown format": (
        {"sinks.copy.path": "copy.mp3"},
        {"sinks.copy.path": ("'.mp3'", "use one of .wav")},
    ),
    "an input that is not there": (
        {"sinks.copy.input": "streem"},
        {"sinks.copy.input": ("streem", "did you mean 'stream'?")},
    ),
    "a clock that is not there": (
        {"sinks.network.clock": "huose"},
        {"sinks.network.clock": ("huose", "did you mean 'house'?")},
    ),
    "one id in two roles": (
        {"sinks.stream": {"kind": "null", "input": "stream"}},
        {"sinks.stream": ("is used by sources.stream", "rename one")},
    ),
    "a cycle through a file": (
        {"sources.file.path": "copy.wav", "sinks.copy.input": "file"},
        {"sinks.copy": ("a cycle",)},
    ),
    "a cycle through a session description": (
        {
            "sources.stream": {"kind": "aes67", "sdp": "loop.sdp"},
            "sinks.network": {"kind": "aes67", "input": "stream", "group": "239.69.1.1", "sdp-out": "loop.sdp"},
            "sinks.copy.input": "file",
        },
        {"sinks.network": ("in a cycle: sinks.network -> sources.stream -> sinks.network", "remove one")},
    ),
    "a crossing without a compensator": (
        {
            "clocks.other": {"kind": "system", "rate-offset": "50ppm"},
            "sources.stream.clock": "other",
            "sinks.network": {"kind": "aes67", "input": "stream", "group": "239.69.1.2", "clock": "house"},
            "sinks.copy.input": "file",
        },
        {
            "sinks.network.compensator": (
                "clock 'other'",
                "clock 'house'",
                "crosses clock domains",
                "[compensators.align]",
            )
        },
    ),
    "two sinks, one file": (
        {"sinks.again": {"kind": "file", "input": "stream", "path": "copy.wav"}},
        {"sinks.again.path": ("sinks.copy writes the same file",)},
    ),
    "several at once": (
        {
            "sinks.network.port": 0,
            "sinks.network.packet-time": 3,
            "sources.file.path": "gone.wav",
            "sinks.copy.kind": "x",
        },
        {
            "sinks.network.port": ("from 1 to 65535",),
            "sinks.network.packet-time": ("duration",),
            "sources.file.path": ("No such file",),
            "sinks.copy.kind": ("unknown kind",),
        },
    ),
    "several that show when nodes are made": (
        {"sinks.network.group": "a", "sources.stream.group": "b"},
        {"sinks.network.group": ("'a'",), "sources.stream.group": ("'b'",)},
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with the files that the graphs name."""
    material.make(tmp_path / "source.wav", 100)
    material.make(tmp_path / "wide.wav", 100, 12)
    (tmp_path / "junk.bin").write_bytes(bytes(range(256)) * 16)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "half.sdp").write_text(SDP)
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kernel(*arguments: str) -> Result:
    """The command, in this process: whatever it raises is a failure."""
    result = CliRunner().invoke(cli, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert "Traceback" not in result.output
    return result


def test_the_graph_that_the_others_are_made_from_is_right(folder: Path) -> None:
    (folder / "graph.toml").write_text(graph())
    result = kernel("check", "graph.toml")
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(folder: Path, name: str) -> None:
    """``check`` and ``run`` say the same and exit with 2; the JSON has a path, a message and a hint for each."""
    changes, expected = WRONG[name]
    (folder / "graph.toml").write_text(graph(changes))
    before = sorted(folder.iterdir())
    told = kernel("check", "graph.toml")
    assert told.exit_code == 2
    assert told.stdout == ""
    *lines, last = told.stderr.splitlines()
    for path, words in expected.items():
        (line,) = [line for line in lines if line.startswith(f"{path}: ")]
        assert [word for word in words if word not in line] == [], line
    assert {line.split(": ")[0] for line in lines} == set(expected)
    assert last == f"{len(lines)} problem{'s' if len(lines) > 1 else ''}"

    run = kernel("run", "graph.toml")
    assert (run.exit_code, run.stderr) == (2, told.stderr)
    as_json = kernel("check", "graph.toml", "--format", "json")
    assert as_json.exit_code == 2
    found = json.loads(as_json.stdout)
    assert found["ok"] is False
    assert [problem["path"] for problem in found["problems"]] == [line.split(": ")[0] for line in lines]
    assert all(set(problem) == {"path", "message", "hint"} for problem in found["problems"])
    assert sorted(folder.iterdir()) == before, "nothing is written"


def test_two_tables_of_one_role_and_id(folder: Path) -> None:
    """TOML itself forbids them; the line is told."""
    (folder / "graph.toml").write_text(graph() + table("sinks", "copy", kind="null", input="stream"))
    told = kernel("check", "graph.toml")
    assert told.exit_code == 2
    assert "not valid TOML" in told.stderr
    assert "twice" in told.stderr
    assert "line " in told.stderr


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("sinks.network.prot=5004", ("sinks.network.prot", "unknown option", "did you mean 'port'?")),
        ("sinks.netwrok.port=5004", ("netwrok",)),
        ("sinks.network.port=high", ("sinks.network.port", "from 1 to 65535", "high")),
        ("sinks.network.port", ("--set", "ROLE.ID.OPTION=VALUE")),
    ],
)
def test_what_the_command_line_sets_is_checked_too(folder: Path, option: str, words: tuple[str, ...]) -> None:
    (folder / "graph.toml").write_text(graph())
    told = kernel("run", "graph.toml", "--set", option)
    assert told.exit_code == 2
    assert [word for word in words if word not in told.stderr] == [], told.stderr
