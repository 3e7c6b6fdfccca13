"""``kernel runs``, ``status``, ``stop`` and ``capture``: what runs on this machine, reached from another terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from .completion import complete_nodes, complete_runs
from .parameters import examples, format_option

if TYPE_CHECKING:
    from ..control import RunStatus

run_option = click.option(
    "--run",
    metavar="NAME",
    shell_complete=complete_runs,
    help="The run: its name or the path of its socket; or the only one.",
)
WATCH_S = 0.5
"""How often a watched status is shown on a terminal."""


@contextmanager
def control_errors() -> Iterator[None]:
    """A run that cannot be reached is an error in words, with exit code 1."""
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
        with control_errors(), connect(path) as run:
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
@click.argument("name", required=False, shell_complete=complete_runs)
@click.option("--watch", is_flag=True, help="Show it again and again until the run ends.")
@click.option("--node", metavar="ID", shell_complete=complete_nodes, help="Show one node or edge with all its figures.")
@format_option
def status(name: str | None, watch: bool, node: str | None, format: str) -> None:
    """Show the nodes and crossings of a run: what is wrong first, then a table with the most urgent on top.

    NAME is a name that `kernel runs` lists, or the path of a control socket. It may be left out where there is one run.
    Exits with 1 if there is no such run or no such node.
    """
    import msgspec

    from ..control import EventLine, connect
    from .status import print_lines, terminal_size
    from .status_table import node_details, status_lines

    redraw = watch and format == "text" and sys.stdout.isatty()

    def show(snapshot: RunStatus) -> None:
        if format == "json":
            click.echo(msgspec.json.encode(snapshot).decode())
            return
        width, height = terminal_size()
        lines = status_lines(snapshot, width, height - 1 if redraw else height, note=f" (process {snapshot.pid})")
        if node is not None:
            details = node_details(snapshot, node, width)
            if details is None:
                raise click.ClickException(f"no node or edge '{node}': there are {', '.join(snapshot.nodes)}")
            lines = details[: height - 1] if redraw else details
        print_lines(lines, redraw=redraw)

    with control_errors(), connect(name) as run:
        if not watch:
            show(run.status())
            return
        if redraw:
            click.clear()
        for line in run.subscribe(interval_s=WATCH_S if redraw else 1.0, events=format == "json"):
            if isinstance(line, EventLine):
                click.echo(msgspec.json.encode(line).decode())
            else:
                show(line)


@click.command(short_help="End a run.", epilog=examples("kernel stop", "kernel stop loopback --at-once"))
@click.argument("name", required=False, shell_complete=complete_runs)
@click.option("--at-once", is_flag=True, help="Do not wait for sinks to write and send what they have.")
def stop(name: str | None, at_once: bool) -> None:
    """End a run in order, as a signal does. It may take up to 5 seconds more than this command.

    NAME is a name that `kernel runs` lists, or the path of a control socket. It may be left out where there is one run.
    Exits with 1 if there is no such run.
    """
    from ..control import connect

    with control_errors(), connect(name) as run:
        run.stop(at_once=at_once)
        click.echo(f"{run.hello.name} (process {run.hello.pid}) is ending.")


@click.command(
    short_help="Write the packets of the last seconds.",
    epilog=examples("kernel capture", "kernel capture loopback --reason 'a click was heard'"),
)
@click.argument("name", required=False, shell_complete=complete_runs)
@click.option("--reason", default="requested", show_default=True, help="Becomes part of the file's name and comment.")
def capture(name: str | None, reason: str) -> None:
    """Write what the flight recorder of a run holds to a capture file, and print its path.

    NAME is a name that `kernel runs` lists, or the path of a control socket. It may be left out where there is one run.
    Exits with 1 if there is no such run, or it has no flight recorder.
    """
    from ..control import connect

    with control_errors(), connect(name) as run:
        click.echo(run.capture(reason[:200]))
