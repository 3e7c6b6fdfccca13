"""Control characters of foreign text do not reach the terminal."""

from __future__ import annotations

import io
import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner

from phasegraph._cli.app import Kernel
from phasegraph._core.terminal import printable, printable_output
from phasegraph._run.logging import make_log

TITLE = "\x1b]0;owned\x07"
CLEAR = "\x1b[2J"
RED = "\x1b[31m"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("Bühne 1\tleft\n", "Bühne 1\tleft\n"),
        (f"a{TITLE}b", r"a\x1b]0;owned\x07b"),
        ("a\rb\x7f\x9b2J", r"a\rb\x7f\x9b2J"),
        ("evil\u202egnp.exe", r"evil\u202egnp.exe"),
    ],
)
def test_control_characters_become_escapes(text: str, escaped: str) -> None:
    assert printable(text) == escaped


def test_colours_of_our_own_may_pass_and_nothing_else() -> None:
    assert printable(f"{RED}a{CLEAR}", keep_colours=True) == f"{RED}a\\x1b[2J"


@pytest.mark.parametrize("error", [False, True])
def test_every_command_is_filtered_those_of_plugins_too(error: bool) -> None:
    @click.group(cls=Kernel)
    def group() -> None:
        pass

    @group.command()
    def shout() -> None:
        click.echo(f"name{TITLE}", err=error)
        print(f"other{CLEAR}", file=sys.stderr if error else sys.stdout)
        raise click.ClickException(f"bad{CLEAR}")

    result = CliRunner().invoke(group, ["shout"])
    assert "\x1b" not in result.output
    assert "\x07" not in result.output
    assert "Error: bad" in result.stderr


def test_the_streams_are_as_before_afterwards() -> None:
    before = sys.stdout
    with printable_output():
        assert sys.stdout is not before
        assert sys.stdout.fileno is not None
    assert sys.stdout is before


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("format", ["text", "json"])
def test_the_log_has_no_control_characters_of_strangers(monkeypatch: pytest.MonkeyPatch, format: Any) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with printable_output():
        make_log(format).warning("session_unusable", session=f"Stage{CLEAR}{RED}", reason=f"no{TITLE}")
    text = terminal.getvalue()
    assert "session_unusable" in text
    assert CLEAR not in text
    assert TITLE not in text
    assert f"Stage{RED}" not in text
    assert "2J" in text  # it is shown, without effect
