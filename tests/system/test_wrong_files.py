"""Whatever is given as a graph, and what shows only when it runs: a sentence and an exit code, never a traceback."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.addresses import LOOPBACK, free_group, free_port
from tests.support.graphs import table, write_graph
from tests.support.kernel import kernel_running, run_kernel

CHECK_S = 10.0
"""A graph of any size is refused at once; the rest of this is for a machine that is busy."""


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2 << 30)


def _random_bytes(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(100_000))


def _quadratic_key(path: Path) -> None:
    path.write_text(".".join(["a"] * 300_000) + " = 1\n")


def _nested(path: Path) -> None:
    path.write_text("a = " + "[" * 100_000)


FILES: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "2 GB": (_sparse, ("graph.toml has 2147483648 bytes", "at most 1048576", "is this the graph?")),
    "binary junk": (_random_bytes, ("not valid TOML: graph.toml is not UTF-8 text", "in line 1")),
    "a folder": (Path.mkdir, ("graph.toml is a folder, not a graph file",)),
    "a pipe": (os.mkfifo, ("graph.toml is not a regular file",)),
    "nothing": (lambda path: None, ("cannot read graph.toml: No such file or directory",)),
    "an empty file": (Path.touch, ("schema: missing: expected schema = 1", "put it in the first line")),
    "a long dotted key": (_quadratic_key, ("a dotted key has more than",)),
    "deep nesting": (_nested, ("not valid TOML",)),
    "text": (lambda path: path.write_text("Dear kernel,\nplease play it.\n"), ("not valid TOML", "line 1")),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_graph(tmp_path: Path, name: str) -> None:
    make, words = FILES[name]
    make(tmp_path / "graph.toml")
    with kernel_running(["run", "graph.toml"], tmp_path) as process:
        assert process.wait(CHECK_S) == 2, process.told()
    assert process.stdout == ""
    assert [word for word in words if word not in process.stderr] == [], process.stderr
    assert process.stderr.endswith("\n1 problem\n")
    assert "Traceback" not in process.stderr


def test_what_shows_only_when_it_runs(tmp_path: Path) -> None:
    """Interfaces and addresses that this machine does not have: the graph is right, each node says why it failed."""
    network = {"kind": "aes67", "group": free_group(), "port": free_port()}
    remote = {"kind": "aes67", "group": "192.0.2.77", "port": free_port(), "interface": LOOPBACK}
    isolated = {"on-failure": "isolate"}
    graph = write_graph(
        tmp_path / "graph.toml",
        table("sources", "tone", kind="tone"),
        table("sinks", "lost", input="tone", interface="studio9", **isolated, **network),
        table("sources", "stray", interface="studio9", **isolated, **network),
        table("sinks", "copy", kind="file", input="stray", path="copy.wav"),
        table("sources", "elsewhere", **isolated, **remote),
        table("sinks", "second-copy", kind="file", input="elsewhere", path="second.wav"),
    )
    with kernel_running(["check", graph], tmp_path) as process:
        assert process.wait(CHECK_S) == 0, process.told()
    result = run_kernel(graph, tmp_path)
    assert result.code == 1
    failures = {id: node.get("failure", "") for id, node in result.report["nodes"].items()}
    for id in ("lost", "stray"):
        assert failures[id].startswith("no network interface 'studio9'; there are: lo (127.0.0.1)")
    assert failures["elsewhere"].startswith("192.0.2.77 is not an address of this machine (")
    for id, node in result.report["nodes"].items():
        assert (node["state"] == "failed") == bool(failures[id])
        assert failures[id] in result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="there is no folder that takes no files")
def test_a_recording_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder that looks right and takes no files: the sink fails with the path and a remedy, and with it the run."""
    path = "/proc/copy.wav"
    graph = write_graph(
        tmp_path / "graph.toml",
        table("sources", "tone", kind="tone"),
        table("sinks", "copy", kind="file", input="tone", path=path),
    )
    result = run_kernel(graph, tmp_path)
    assert result.code == 1
    assert result.report["ended"] == "failed"
    failure = result.report["nodes"]["copy"]["failure"]
    assert f"cannot write {path}: " in failure
    assert "set another path" in failure
    assert failure in result.stdout
    assert "Traceback" not in result.stderr


def test_a_folder_that_is_a_file_is_found_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "takes").write_text("")
    graph = write_graph(
        tmp_path / "graph.toml",
        table("sources", "tone", kind="tone"),
        table("sinks", "copy", kind="file", input="tone", path="takes/copy.wav"),
    )
    with kernel_running(["run", graph], tmp_path) as process:
        assert process.wait(CHECK_S) == 2, process.told()
    assert process.stderr == f"sinks.copy.path: cannot write {tmp_path}/takes/copy.wav: Not a directory\n1 problem\n"


@pytest.mark.parametrize("option", ["--report", "--trace"])
def test_results_that_cannot_be_written_are_told_before_the_run(tmp_path: Path, option: str) -> None:
    graph = write_graph(
        tmp_path / "graph.toml",
        table("sources", "tone", kind="tone"),
        table("sinks", "copy", kind="file", input="tone", path="copy.wav"),
    )
    with kernel_running(["run", graph, option, tmp_path / "no-folder" / "out.json"], tmp_path) as process:
        assert process.wait(CHECK_S) == 2, process.told()
    assert process.stderr.startswith(f"{option}: cannot write {tmp_path}/no-folder/out.json: No such file")
    assert not (tmp_path / "copy.wav").exists()
