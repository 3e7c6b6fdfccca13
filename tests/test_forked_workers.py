"""tools/forked_workers.py: every test is reported once, whatever happens to the worker that runs it."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WORKERS = runpy.run_path(str(ROOT / "tools" / "forked_workers.py"))
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
CASES = """
import os, pathlib, signal
import pytest

@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    yield tmp_path_factory.mktemp("opened")
    pathlib.Path("closed.txt").open("a").write("closed ")

@pytest.mark.parametrize("number", range(70))
def test_passes(number, opened, tmp_path):
    assert opened.is_dir() and tmp_path.is_dir()

def test_fails():
    print("said before")
    assert [1, 2] == [1, 3]

def test_exits():
    os._exit(3)

def test_is_killed():
    os.kill(os.getpid(), signal.SIGKILL)

def test_skips():
    pytest.skip("not here")

@pytest.fixture
def broken():
    raise OSError("broken")

def test_errs(broken):
    pass
"""


def run(folder: Path, *options: str, cases: str = CASES) -> tuple[int, str]:
    (folder / "test_cases.py").write_text(cases)
    command = [sys.executable, "-m", "pytest", "-p", "tools.forked_workers", "-p", "no:cacheprovider", "--workers", "3"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [*command, *options, f"--rootdir={folder}", "."], cwd=folder, env=environment, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_each_test_is_reported_once_and_a_worker_that_ends_fails_one(tmp_path: Path) -> None:
    code, said = run(tmp_path)
    assert code == 1
    assert re.search(r"3 failed, 70 passed, 1 skipped, 1 error in", said), said
    assert "a worker ended (exit code 3) while it ran this test" in said
    assert "a worker ended (exit code -9) while it ran this test" in said
    assert "assert [1, 2] == [1, 3]" in said
    assert "said before" in said
    assert "OSError: broken" in said
    assert "closed" in (tmp_path / "closed.txt").read_text()


@pytest.mark.slow
def test_the_first_failure_ends_the_run_where_it_shall(tmp_path: Path) -> None:
    code, said = run(tmp_path, "-x", "-k", "fails or passes")
    assert code == 1
    assert "stopping after 1 failures" in said
    assert "1 failed" in said


SLEEPERS = """
import pathlib, subprocess, time
import pytest

@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    with open("started.txt", "a") as file:
        file.write(f"{process.pid} ")
    yield process
    process.kill()
    process.wait()

@pytest.mark.parametrize("number", range(9))
def test_sleeps(number, sleeper):
    if number == 0:
        while len(pathlib.Path("started.txt").read_text().split()) < 3:
            time.sleep(0.01)
        assert False
    sleeper.wait()
"""


@pytest.mark.slow
def test_workers_that_are_ended_early_end_their_fixtures(tmp_path: Path) -> None:
    code, said = run(tmp_path, "-x", "-k", "test_sleeps", cases=SLEEPERS)
    assert code == 1
    assert "1 failed" in said
    started = [int(pid) for pid in (tmp_path / "started.txt").read_text().split()]
    assert len(started) >= 3
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize(("items", "workers"), [(0, 2), (1, 6), (5, 6), (6000, 6)])
def test_the_ranges_are_all_tests_once(items: int, workers: int) -> None:
    ranges = list(WORKERS["ranges_of"](items, workers))
    assert [each for start, stop in ranges for each in range(start, stop)] == list(range(items))
    lengths = [stop - start for start, stop in ranges]
    assert lengths == sorted(lengths, reverse=True)
    assert max(lengths, default=0) <= WORKERS["MOST_AT_ONCE"]
