"""``kernel runs``, ``status`` and ``stop``: what runs on this machine, seen and ended from another terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from .parameters import examples, format_option

if TYPE_CHECKING:
    from ..control import RunStatus


@contextmanager
def _sentences() -> Iterator[None]:
    # A run that cannot be reached is an error in words, with exit code 1.
    from ..control import ControlError

    try:
        yield
    except ControlError as error:
        raise click.ClickException(str(error)) from None


@click.command(short_help="List the runs on this machine.", epilog=examples("kernel runs", "kernel runs --format json"))
@format_option
def runs(format: str) -> None:
    """List the runs of this user on this machine: name, process and graph."""
    import json

    from ..control import connect, list_runs

    listed = []
    for name, path in list_runs().items():
        with _sentences(), connect(path) as run:
            hello = run.hello
            listed.append({"name": name, "pid": hello.pid, "graph": hello.graph, "started_at": hello.started_at})
    if format == "json":
        click.echo(json.dumps({"runs": listed}, indent=2))
        return
    for entry in listed:
        click.echo(f"{entry['name']}: process {entry['pid']}, {entry['graph']}, since {entry['started_at']}")
    if not listed:
        click.echo("No run.")


@click.command(
    short_help="Show the state of a run.",
    epilog=examples("kernel status", "kernel status loopback --watch", "kernel status --format json"),
)
@click.argument("name", required=False)
@click.option("--watch", is_flag=True, help="Show it every second until the run ends.")
@format_option
def status(name: str | None, watch: bool, format: str) -> None:
    """Show the nodes and crossings of a run, those in trouble first.

    NAME is a name that `kernel runs` lists, or the path of a control socket. It may be left out where there is one run.
    Exits with 1 if there is no such run.
    """
    import msgspec

    from ..control import EventLine, connect

    def show(snapshot: RunStatus) -> None:
        if format == "json":
            click.echo(msgspec.json.encode(snapshot).decode())
        else:
            _print_status(snapshot, clear=watch and sys.stdout.isatty())

    with _sentences(), connect(name) as run:
        if not watch:
            show(run.status())
            return
        for line in run.subscribe(interval_s=1.0, events=format == "json"):
            if isinstance(line, EventLine):
                click.echo(msgspec.json.encode(line).decode())
            else:
                show(line)


@click.command(short_help="End a run.", epilog=examples("kernel stop", "kernel stop loopback --at-once"))
@click.argument("name", required=False)
@click.option("--at-once", is_flag=True, help="Do not wait for sinks to write and send what they have.")
def stop(name: str | None, at_once: bool) -> None:
    """End a run in order, as a signal does. It may take up to 5 seconds more than this command.

    NAME is a name that `kernel runs` lists, or the path of a control socket. It may be left out where there is one run.
    Exits with 1 if there is no such run.
    """
    from ..control import connect

    with _sentences(), connect(name) as run:
        run.stop(at_once=at_once)
        click.echo(f"{run.hello.name} (process {run.hello.pid}) is ending.")


def _print_status(snapshot: RunStatus, *, clear: bool) -> None:
    from .._core.terminal import printable
    from .status import COLOURS, columns, headline, node_lines, terminal_width

    out = getattr(sys.stdout, "unfiltered", sys.stdout)  # for our own colours: the lines are printable
    if clear:
        click.echo("\x1b[2J\x1b[H", nl=False, file=out)
    lines = node_lines(snapshot)
    click.echo(printable(f"{snapshot.name} (process {snapshot.pid}): {headline(snapshot)}"), file=out)
    for line, shown in zip(lines, columns(lines, terminal_width()), strict=True):
        click.echo(click.style(shown, fg=COLOURS[line.severity] or None), file=out)
