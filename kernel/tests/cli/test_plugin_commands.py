"""Commands of plugins."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import click
import pytest

from phasegraph import hookimpl


@click.command()
def hello() -> None:
    """Says hello."""
    click.echo("hello")


@hookimpl
def register_commands(cli: click.Group) -> None:
    cli.add_command(hello)
    cli.add_command(hello, "check")  # the kernel's own stays


GOOD = SimpleNamespace(register_commands=register_commands)


def bad_hook(cli: click.Group) -> None:
    raise RuntimeError("not today")


bad_hook.__name__ = "register_commands"
BAD = SimpleNamespace(register_commands=hookimpl(bad_hook))


@pytest.fixture
def extended(registry: Any) -> Any:
    registry.add("good", "1", GOOD)
    registry.add("bad", "2", BAD)
    return registry


def test_an_unknown_command_is_searched_in_the_plugins(kernel: Any, extended: Any) -> None:
    result = kernel("hello")
    assert (result.exit_code, result.stdout) == (0, "hello\n")


def test_a_plugin_cannot_replace_a_built_in_command(kernel: Any, extended: Any) -> None:
    assert "Report every problem of a graph" in kernel("check", "--help").stdout


def test_a_plugin_that_fails_is_named_and_hides_no_other(kernel: Any, extended: Any) -> None:
    result = kernel("helo")
    assert result.exit_code == 2
    assert "plugin 'bad' could not add its commands: RuntimeError: not today\n" in result.stderr
    assert "no such command 'helo' (did you mean 'hello'?)" in result.stderr


def test_plugins_lists_commands(kernel: Any, extended: Any) -> None:
    listed = {p["name"]: p for p in json.loads(kernel("plugins", "--format", "json").stdout)["plugins"]}
    assert listed["good"]["commands"] == ["hello"]
    assert listed["good"]["reason"] == "its commands: there is a command 'check' already"
    assert listed["bad"]["status"] == "broken"
    assert listed["bad"]["reason"] == "its commands: RuntimeError: not today"
    assert "  commands  hello\n" in kernel("plugins").stdout
