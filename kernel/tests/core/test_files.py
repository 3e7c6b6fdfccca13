"""Files that people name: a pipe or a device in the place of a file is an error and no wait."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from phasegraph._cli.app import cli
from phasegraph._core.files import create_file, file_problem, read_file

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_what_is_no_regular_file_is_named(pipe: Path, tmp_path: Path) -> None:
    for to_write in (False, True):
        assert file_problem(pipe, to_write=to_write) == f"expected a regular file, {pipe} is a named pipe"
        assert file_problem(tmp_path, to_write=to_write) == f"expected a file, {tmp_path} is a folder"
        assert file_problem("/dev/zero", to_write=to_write) == "expected a regular file, /dev/zero is a device"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        assert file_problem(tmp_path / "socket").endswith("is a socket")


def test_a_file_to_write_need_not_exist_but_its_folder_may_not_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert file_problem(tmp_path / "new.sdp", to_write=True) == ""
    assert file_problem(os.devnull, to_write=True) == ""
    assert file_problem(tmp_path / "new.sdp") == f"cannot read {tmp_path / 'new.sdp'}: No such file or directory"
    assert "Not a directory" in file_problem(tmp_path / "file" / "x", to_write=True)


def test_nothing_is_waited_for(pipe: Path) -> None:
    with pytest.raises(OSError, match="it is not a regular file"):
        read_file(pipe, 10)
    with pytest.raises(OSError, match="No such device or address"):
        create_file(pipe)


def test_files_are_read_and_written(tmp_path: Path) -> None:
    with create_file(tmp_path / "a") as file:
        file.write(b"0123456789")
    assert read_file(tmp_path / "a", 4) == b"0123"
    create_file(tmp_path / "a").close()
    assert read_file(tmp_path / "a", 4) == b""


@pytest.mark.parametrize("option", ["--report", "--trace"])
def test_a_run_does_not_wait_for_a_reader_of_its_report(pipe: Path, tmp_path: Path, option: str) -> None:
    graph = tmp_path / "graph.toml"
    graph.write_text('schema = 1\n[clocks.house]\nkind = "system"\n')
    result = CliRunner().invoke(cli, ["run", str(graph), "--for", "1s", option, str(pipe)])
    assert result.exit_code == 2
    assert f"{option}: cannot write {pipe}" in result.stderr


@pytest.mark.slow
def test_a_report_may_go_to_a_pipe_that_has_a_reader(tmp_path: Path) -> None:
    graph = tmp_path / "graph.toml"
    graph.write_text('schema = 1\n[clocks.house]\nkind = "system"\n')
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "phasegraph", "run", graph, "--for", "100ms", "--report", f"/dev/fd/{writer}"]
    process = subprocess.Popen(command, pass_fds=[writer], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    assert process.wait() == 0
    assert json.loads(text)["ended"] == "time"
