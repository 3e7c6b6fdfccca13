"""docs/write-a-plugin.md shows the example's files as they are, and leaves out no hook and no suite."""

import inspect
import re
import shlex
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from phasegraph import NodeContext, hookimpl
from phasegraph._cli.app import cli
from phasegraph._plugins.specs import Specs
from phasegraph.testing import run_graph_now, sim_registry, suites

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/write-a-plugin.md").read_text()
SHOWN = re.findall(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def names_of(thing: type) -> list[str]:
    return [name for name, value in vars(thing).items() if inspect.isfunction(value) and not name.startswith("_")]


@pytest.mark.parametrize(("path", "text"), SHOWN, ids=[path for path, _ in SHOWN])
def test_shows_the_file_as_it_is(path: str, text: str) -> None:
    assert text == (ROOT / "tests/third_party" / path).read_text()


def test_shows_all_of_the_example() -> None:
    folder = ROOT / "tests/third_party"
    files = [folder / "pyproject.toml", *folder.glob("src/*/*.py"), *folder.glob("tests/*.py")]
    assert {path for path, _ in SHOWN} == {str(file.relative_to(folder)) for file in files}


@pytest.mark.parametrize("hook", names_of(Specs))
def test_names_every_hook_with_its_arguments(hook: str) -> None:
    arguments = list(inspect.signature(getattr(Specs, hook)).parameters)[1:]
    assert f"`{hook}({', '.join(arguments)})`" in PAGE


@pytest.mark.parametrize("method", names_of(NodeContext))
def test_names_all_that_a_node_may_use(method: str) -> None:
    assert re.search(rf"`(await )?{method}\(", PAGE)


@pytest.mark.parametrize("suite", suites.__all__)
def test_names_every_suite(suite: str) -> None:
    assert f"`{suite}`" in PAGE


CLOCK = re.search(r"^### A clock$.*?^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_clock_of_the_page_is_a_clock() -> None:
    assert CLOCK is not None
    names: dict[str, object] = {}
    exec(CLOCK[1], names)
    plugin = SimpleNamespace(register_clocks=hookimpl(lambda: [names["KIND"]]))
    registry = sim_registry()
    registry.add("counter", "1", plugin)
    assert registry.plugins[-1].status == "ok", registry.plugins[-1].reason
    graph = """
        schema = 1
        [clocks.house]
        kind = "counter"
        start = "1h"
        [sources.stage]
        kind = "sim-source"
        duration = "1s"
        [sinks.end]
        kind = "sim-recorder"
        input = "stage"
        """
    run = run_graph_now(graph, registry=registry)
    assert run.report["ended"] == "completed"
    assert run.metrics("house")["state"] == "locked"
    assert run.metrics("end")["frames_in"] == 48_000


def test_the_example_graph_is_right_toml() -> None:
    for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL):
        assert tomllib.loads(text)


def test_the_example_is_small() -> None:
    files = (ROOT / "tests/third_party/src").rglob("*.py")
    assert sum(len(file.read_text().splitlines()) for file in files) < 100


def test_the_commands_of_the_page_are_those_that_init_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = re.search(r"^## From zero$.*?^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert block is not None
    first, install, enter, *rest = block[1].splitlines()
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, shlex.split(first)[1:])
    assert result.exit_code == 0, result.output
    assert f"Next: {install}" in result.stdout
    assert f"then: ({enter} && {rest[0]}); {rest[1]}" in result.stdout
    assert (tmp_path / enter.removeprefix("cd ")).is_dir()


def test_the_folder_that_is_added_is_the_example() -> None:
    (folder,) = re.findall(r"dev\.py add (\S+)", PAGE)
    assert (ROOT / folder / "pyproject.toml").is_file()
