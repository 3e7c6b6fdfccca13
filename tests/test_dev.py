"""What `tools/dev.py` makes of tests that failed beside others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.modules import load_module

PEER, OURS = "tests/peers/test_a.py::test_it", "tests/system/test_b.py::test_it[L16 mono, 125 us]"


@pytest.fixture
def dev() -> Any:
    return load_module("tools/dev.py")


@pytest.mark.parametrize(
    ("alone", "code", "said"),
    [
        ([[]], 0, ""),
        ([[OURS]], 1, ""),
        ([[PEER], [], []], 0, "passed, after it failed beside others and 1 of 3 times alone: tests/peers"),
        ([[PEER], [PEER], []], 1, "FAILED, after it failed beside others and 2 of 3 times alone: tests/peers"),
        ([[PEER], [], [PEER]], 1, "2 of 3 times"),
        ([[PEER, OURS], [], []], 1, "1 of 3 times"),
    ],
)
def test_what_fails_alone_has_failed_but_other_programs_get_two_more_runs(
    alone: Sequence[Sequence[str]],
    code: int,
    said: str,
    dev: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = iter(alone)

    def run_alone(pytest: Sequence[str], tests: Sequence[str]) -> tuple[int, dict[str, bool]]:
        failures = {name: name == PEER for name in next(runs)}
        assert failures.keys() <= set(tests)
        return int(bool(failures)), failures

    monkeypatch.setattr(dev, "run_alone", run_alone)
    (tmp_path / "failed").write_text(f"{PEER}\tpeers\n{OURS}\n{OURS}\n")
    assert dev.run_again(["pytest"], tmp_path / "failed") == code
    assert next(runs, None) is None
    assert said in capsys.readouterr().err


def test_a_run_that_breaks_off_has_failed(dev: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failed").write_text(f"{PEER}\tpeers\n")
    monkeypatch.setattr(dev, "run_alone", lambda pytest, tests: (3, {}))
    assert dev.run_again(["pytest"], tmp_path / "failed") == 3


def test_nothing_that_failed_is_no_run_of_everything(dev: Any, tmp_path: Path) -> None:
    assert dev.run_again(["pytest"], tmp_path / "none") == 0
