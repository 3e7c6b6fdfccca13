"""``kernel completion``, and what shells complete: names of runs, nodes, options and profiles."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from .._core.terminal import printable
from .parameters import examples, first_argument, setting_paths

VARIABLE = "_KERNEL_COMPLETE"
"""By which a shell asks for completions."""
SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command(
    short_help="Print the completion script of a shell.",
    epilog=examples("kernel completion bash > ~/.local/share/bash-completion/completions/kernel"),
)
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script by which SHELL completes commands, options, and names of runs, nodes and profiles.

    Packages of a distribution bring the scripts along.
    """
    root = ctx.find_root().command
    click.echo(SHELLS[shell](root, {}, "kernel", VARIABLE).source())


def complete_runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of the runs on this machine."""
    from ..control import list_runs

    return _harmless(name for name in list_runs() if name.startswith(incomplete))


def complete_nodes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Nodes of the run that the command line names."""
    tables = _running_graph(first_argument(ctx, "name")).values()
    return _harmless(id for nodes in tables if isinstance(nodes, dict) for id in nodes if id.startswith(incomplete))


def complete_settings(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """``ROLE.ID.OPTION=`` of the run that the command line names."""
    return _harmless(setting_paths(_running_graph(ctx.params.get("run")), incomplete))


def _running_graph(run: str | None) -> dict[str, Any]:
    from ..control import ControlError, connect

    with suppress(ControlError), connect(run, timeout_s=1.0) as connection:
        return connection.graph()
    return {}


def _harmless(words: Iterable[str]) -> list[str]:
    # The names of others' runs and nodes are shown on a terminal.
    return [word for word in words if printable(word) == word]
