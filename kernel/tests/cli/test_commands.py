"""``kernel`` itself, ``run``, ``plugins``, ``explain`` and ``schema``."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phasegraph import GraphError, NodeError, Problem, __version__
from phasegraph._cli.run import RunOptions
from phasegraph._core.invocation import install_command


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands in for the function that runs the graph, and remembers how it was called."""
    seen = SimpleNamespace(options=None, result=0)

    def run_graph(options: RunOptions) -> int:
        seen.options = options
        if isinstance(seen.result, BaseException):
            raise seen.result
        return int(seen.result)

    monkeypatch.setattr("phasegraph._cli.run.run_graph", run_graph)
    return seen


def test_run_passes_every_option_on(kernel: Any, run_command: Any) -> None:
    options = "--profile p --set a.b.c=1 --set a.b.d=2 --for 1.5s --report r.json --trace t.jsonl --log-format json"
    assert kernel("run", "graph.toml", *options.split(), "--log-level", "debug").exit_code == 0
    assert run_command.options[:6] == (
        (Path("graph.toml"), "p", ("a.b.c=1", "a.b.d=2")),
        1_500_000_000,
        Path("r.json"),
        Path("t.jsonl"),
        "json",
        "debug",
    )


def test_run_has_defaults(kernel: Any, run_command: Any) -> None:
    kernel("run", "graph.toml")
    assert run_command.options[:6] == ((Path("graph.toml"), None, ()), None, None, None, "text", "info")


@pytest.mark.parametrize(
    ("result", "code", "stderr"),
    [
        (0, 0, ""),
        (1, 1, ""),
        (GraphError([Problem("sinks.a", "is wrong", "mend it")]), 2, "sinks.a: is wrong (mend it)\n1 problem\n"),
        (NodeError("no card", "plug one in"), 1, "no card (plug one in)\n"),
    ],
)
def test_exit_codes(kernel: Any, run_command: Any, result: Any, code: int, stderr: str) -> None:
    run_command.result = result
    answer = kernel("run", "graph.toml")
    assert (answer.exit_code, answer.stderr) == (code, stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "Missing argument 'GRAPH'"),
        (["run", "g", "--for", "3"], "expected a duration with a unit"),
        (["run", "g", "--for", "0s"], "expected a duration above zero"),
        (["run", "g", "--log-level", "loud"], "--log-level"),
        (["check", "g", "--format", "xml"], "--format"),
        (["chekc"], "no such command 'chekc' (did you mean 'check'?)"),
        (["helo"], "no such command 'helo'"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_calls_exit_with_two(kernel: Any, arguments: list[str], words: str) -> None:
    result = kernel(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize("command", ["run", "check", "plugins", "explain", "schema"])
def test_every_command_has_help_with_examples(kernel: Any, command: str) -> None:
    result = kernel(command, "--help")
    assert result.exit_code == 0
    assert f"  kernel {command}" in result.stdout.partition("Examples:")[2]


def test_help_lists_the_commands(kernel: Any) -> None:
    text = kernel("--help").stdout
    assert all(f"  {command} " in text for command in ("run", "check", "plugins", "explain", "schema"))
    assert "`kernel plugins` lists all plugins with their kinds and commands." in text
    assert kernel("--version").stdout == f"kernel, version {__version__}\n"


def test_plugins_as_text(kernel: Any) -> None:
    assert kernel("plugins").stdout.splitlines() == [
        "fake 1.0",
        "  kinds     clocks/system, sources/live, compensators/steady, resamplers/sinc, sinks/live, sinks/card",
        "lost 0.3  BROKEN",
        "  reason    import: ModuleNotFoundError: x y",
    ]


def test_plugins_as_json(kernel: Any) -> None:
    fake, lost = json.loads(kernel("plugins", "--format", "json").stdout)["plugins"]
    assert (fake["name"], fake["version"], fake["status"], fake["reason"]) == ("fake", "1.0", "ok", "")
    assert "sinks/card" in fake["kinds"]
    assert (lost["status"], lost["kinds"]) == ("broken", [])


def test_explain_lists_kinds(kernel: Any, registry: Any) -> None:
    text = kernel("explain").stdout
    assert "sinks\n  card  Sounds.\n  live  Goes out.\n" in text
    registry.resamplers.clear()
    assert "resamplers\n  none installed\n" in kernel("explain").stdout


def test_explain_a_kind_of_two_roles(kernel: Any) -> None:
    text = kernel("explain", "live").stdout
    source, _, sink = text.partition("\n\nlive (sink)\n")
    assert source.startswith("live (source)\n  Comes in.\n  It runs on the clock of the graph that `clock` names")
    assert '  pause  (required)\n      a duration of at least 10ms, such as "10ms" (units: ns, us, ' in source
    assert "      How long to rest.\n" in source
    assert "  size = 2\n      a whole number from 1 to 8\n      How large.\n" in source
    assert "  notes  (optional)\n      the path of a file\n" in source
    assert source.endswith('Example\n  [sources.NAME]\n  kind = "live"\n  pause = "10ms"')
    assert "follows the other end of its edge" in sink


def test_explain_shows_the_plugins_own_example(kernel: Any) -> None:
    assert 'Example\n  [clocks.x]\n  kind = "s"\n' in kernel("explain", "system").stdout
    assert 'Named by a compensator: resampler = "sinc"' in kernel("explain", "sinc").stdout


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("crad", "unknown kind \"crad\" (did you mean 'card'?)\n"),
        (
            "ptp",
            f'unknown kind "ptp" (it is a clock, and comes with phasegraph-ptp: {install_command("phasegraph-ptp")})\n',
        ),
        ("zzz", 'unknown kind "zzz" (`kernel explain` lists all kinds)\n'),
    ],
)
def test_explain_an_unknown_kind(kernel: Any, kind: str, words: str) -> None:
    result = kernel("explain", kind)
    assert result.exit_code == 2
    assert result.stderr.startswith(f'unknown kind "{kind}" (')
    assert result.stderr.endswith(words)


def test_schema(kernel: Any) -> None:
    schema = json.loads(kernel("schema").stdout)
    assert "sinks.card" in schema["$defs"]
