"""``kernel apply`` and ``kernel set``: a run is changed from another terminal while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from .completion import complete_settings
from .parameters import Command, examples, format_option
from .remote import control_errors, run_option

if TYPE_CHECKING:
    from .._core.graph_change import AppliedChange, ChangePlan, ChangeTime

_PATIENCE_S = 366 * 86_400.0
"""A change is answered when it has happened. Ctrl-C ends the waiting, not the change."""


def change_options(command: Command) -> Command:
    """``--at``, ``--crossfade``, ``--no-wait`` and ``--format`` of a command that changes a run."""
    options: list[Callable[[Command], Command]] = [
        click.option(
            "--at",
            default="now",
            show_default=True,
            metavar="TIME",
            help="When inputs are switched: now, +5s, CLOCK:NANOSECONDS of media time, or frame:INDEX.",
        ),
        click.option(
            "--crossfade", default="0ms", show_default=True, metavar="TIME", help="Cross-fade switched inputs."
        ),
        click.option("--no-wait", is_flag=True, help="Return when the change is planned, not when it has happened."),
        format_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command(
    short_help="Change a run to what a graph file says.",
    epilog=examples(
        "kernel apply hall.toml --plan",
        "kernel apply hall.toml",
        "kernel apply hall.toml --at +5s --crossfade 20ms",
    ),
)
@click.argument("graph", type=click.Path(path_type=Path))
@run_option
@click.option("--plan", "plan_only", is_flag=True, help="Say what would change, and change nothing.")
@change_options
def apply(graph: Path, run: str | None, plan_only: bool, at: str, crossfade: str, no_wait: bool, format: str) -> None:
    """Change a run to what a graph file says, all of it or nothing; nodes that are the same go on untouched.

    The profile and `--set` of the run stay in force. Without --run it is the run with the name of the file, or the only
    one. Exits with 0 if it happened, 2 if the graph is wrong, 1 if there is no such run.
    """
    from ..control import connect

    try:
        text = graph.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"cannot read {graph}: {getattr(error, 'strerror', None) or error}") from None
    folder = str(graph.absolute().parent)
    moment, crossfade_ms = _moment(at), _milliseconds(crossfade)
    with control_errors(), connect(_run_of(graph, run)) as connection, _refusals(format):
        if plan_only:
            plan = connection.plan(toml=text, folder=folder)
            _print_plan(plan, format)
            if plan.problems:
                click.get_current_context().exit(2)
            return
        done = connection.apply(
            toml=text, folder=folder, at=moment, crossfade_ms=crossfade_ms, wait=not no_wait, timeout_s=_PATIENCE_S
        )
    _print_change(done, format)


@click.command(
    "set",
    short_help="Change options of a run.",
    epilog=examples(
        "kernel set source.stage.link-offset=6ms",
        "kernel set sink.speakers.input=spare --at +2s --crossfade 20ms",
    ),
)
@click.argument("values", nargs=-1, required=True, metavar="ROLE.ID.OPTION=VALUE...", shell_complete=complete_settings)
@run_option
@change_options
def set_options(values: tuple[str, ...], run: str | None, at: str, crossfade: str, no_wait: bool, format: str) -> None:
    """Change options of a run while it goes on, all of them or none.

    VALUE is as in a graph file: text, or a TOML value. Exits with 0 if it happened, 2 if a value is wrong, 1 if there
    is no such run.
    """
    from ..control import connect

    settings = dict(map(_setting, values))
    moment, crossfade_ms = _moment(at), _milliseconds(crossfade)
    with control_errors(), connect(run) as connection, _refusals(format):
        done = connection.set(settings, at=moment, crossfade_ms=crossfade_ms, wait=not no_wait, timeout_s=_PATIENCE_S)
    _print_change(done, format)


@contextmanager
def _refusals(format: str) -> Iterator[None]:
    # What is wrong with a graph is printed as `kernel check` does, with exit code 2.
    from ..control import ChangeRefused

    try:
        yield
    except ChangeRefused as refused:
        if format == "json":
            _print_json({"ok": False, "plan": refused.plan})
        else:
            for problem in refused.plan.problems:
                click.echo(problem, err=True)
        click.get_current_context().exit(2)


def _run_of(graph: Path, run: str | None) -> str | None:
    from .._control.socket_paths import run_name
    from ..control import list_runs

    name = run_name(str(graph))
    return run if run is not None or name not in list_runs() else name


def _setting(text: str) -> tuple[str, Any]:
    import tomllib

    path, equals, value = text.partition("=")
    if not equals or path.count(".") < 2:
        raise click.BadParameter(f"expected ROLE.ID.OPTION=VALUE, such as source.stage.link-offset=6ms, got {text!r}")
    try:
        return path.strip(), tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        return path.strip(), value.strip()


def _moment(text: str) -> ChangeTime | Literal["now"]:
    from .._core.graph_change import ChangeTime
    from .._core.localtime import SystemLocalClock

    if text == "now":
        return "now"
    if text.startswith("+"):
        return ChangeTime(local_ns=SystemLocalClock().now_ns() + _nanoseconds(text[1:], "--at"))
    clock, colon, number = text.rpartition(":")
    if not colon or not clock or not number.isdecimal():
        raise click.BadParameter(
            f"expected now, +5s, CLOCK:NANOSECONDS or frame:INDEX, got {text!r}", param_hint="--at"
        )
    return ChangeTime(frame=int(number)) if clock == "frame" else ChangeTime(clock=clock, time_ns=int(number))


def _nanoseconds(text: str, option: str) -> int:
    from .._core.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def _milliseconds(text: str) -> float:
    return _nanoseconds(text, "--crossfade") / 1e6


def _print_plan(plan: ChangePlan, format: str) -> None:
    if format == "json":
        _print_json({"ok": not plan.problems, "plan": plan})
        return
    for problem in plan.problems:
        click.echo(problem, err=True)
    for change in plan.changed:
        click.echo(change.text)
    if not plan.problems:
        untouched = len(plan.changes) - len(plan.changed)
        click.echo(f"{untouched} untouched." if plan.changed else "Nothing would change.")


def _print_change(done: AppliedChange, format: str) -> None:
    if format == "json":
        _print_json({"ok": True, "plan": done.plan, "applied": done.applied})
        return
    for change in done.plan.changed:
        frame = done.applied.get(change.node)
        click.echo(change.text + (f" (from frame {frame.frame})" if frame else ""))
    if not done.plan.changed:
        click.echo("Nothing has changed.")


def _print_json(value: Any) -> None:
    import msgspec

    click.echo(msgspec.json.encode(value).decode())
