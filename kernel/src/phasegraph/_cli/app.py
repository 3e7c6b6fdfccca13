"""The group of all commands: the built-in ones, and those of plugins, which are loaded when one is called."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import Any

import click
from click.shell_completion import CompletionItem

from .. import __version__
from .._core.terminal import printable_output
from .change import apply, set_options
from .check import check
from .compare import compare
from .completion import VARIABLE, completion
from .explain import explain
from .init import init
from .plugins import plugins
from .remote import capture, runs, status, stop
from .run import run
from .schema import schema
from .simulate import simulate
from .sweep import sweep

COMMANDS_GROUP = "phasegraph.commands"
"""Entry points by which plugins declare the names of their commands; the value is the plugin's module."""

FIRST_PARTY_COMMANDS = {
    "airplay": "AirPlay timing for other programs.",
    "console": "Show the runs of this machine in a browser, by HTTP, and for Prometheus.",
    "devices": "List sound cards, their rates and channels.",
    "discover": "List the streams that are announced on the network.",
    "doctor": "Find what stands in the way of a run, with remedies.",
    "nmos": "Offer runs as an NMOS node to broadcast controllers.",
    "sdp": "Explain session descriptions, and what is wrong with them.",
    "verify": "Judge streams and PTP by published limits.",
}
"""What the commands of this project's plugins do, for a list that imports no plugin."""


def declared_commands() -> set[str]:
    """The commands that plugins declare, without importing a plugin."""
    from .._plugins.entry_points import entry_points

    return {entry.name for entry in entry_points(COMMANDS_GROUP)}


class Kernel(click.Group):
    """Finds commands of plugins, and prints errors without a traceback."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name."""
        command = super().get_command(ctx, cmd_name)
        if command is None:
            from .plugin_commands import plugin_commands

            found = plugin_commands(builtin=self.commands)
            for failure in found.failures.items():
                click.echo("plugin '{}' could not add its commands: {}".format(*failure), err=True)
            command = found.commands.get(cmd_name)
            if command is None:
                from .._option_types.wording import did_you_mean

                hint = did_you_mean(cmd_name, [*self.commands, *found.commands])
                ctx.fail(f"no such command '{cmd_name}'" + (f" ({hint})" if hint else ""))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands; those of plugins by their declarations, without importing a plugin."""
        super().format_commands(ctx, formatter)
        names = sorted(declared_commands() - self.commands.keys())
        rows = [(name, FIRST_PARTY_COMMANDS.get(name, f"See kernel {name} --help.")) for name in names]
        if rows:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """What a shell completes: commands of plugins as well, without importing a plugin."""
        declared = sorted(declared_commands() - self.commands.keys())
        more = [CompletionItem(name) for name in declared if name.startswith(incomplete)]
        return super().shell_complete(ctx, incomplete) + more

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command line, with output in which control characters of foreign text have no effect."""
        with nullcontext() if VARIABLE in os.environ else printable_output():  # completions are octets
            return super().main(*arguments, **{"complete_var": VARIABLE, **options})

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. A wrong graph exits with 2, a node that cannot work with 1."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, OSError):
            raise
        except Exception as error:
            from .._core.errors import GraphError, NodeError
            from .console import print_problems

            if isinstance(error, GraphError):
                print_problems(error.problems)
                ctx.exit(2)
            if isinstance(error, NodeError):
                click.echo(str(error), err=True)
                ctx.exit(1)
            raise


@click.group(
    cls=Kernel,
    epilog="`kernel plugins` lists all plugins with their kinds and commands.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="kernel")
def cli() -> None:
    """Keep network audio in phase with any clock: run a graph of clocks, sources, compensators and sinks.

    \b
    kernel check graph.toml      reports its problems, or what would run
    kernel run graph.toml        runs it
    """


for _command in (
    init,
    run,
    runs,
    status,
    apply,
    set_options,
    capture,
    stop,
    check,
    simulate,
    compare,
    sweep,
    plugins,
    explain,
    schema,
    completion,
):
    cli.add_command(_command)
