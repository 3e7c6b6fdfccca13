"""``kernel run``: runs a graph in real time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from .parameters import GraphArgument, duration_option, examples, graph_argument, report_option, trace_option

if TYPE_CHECKING:
    import socket

    from .._core.config import RecorderConfig
    from .._core.privileges import Account
    from .._graph_file.graph import Graph
    from .._run.logging import Format, Level
    from .._run.session import Session


class RunOptions(NamedTuple):
    """The parameters of ``kernel run``, by the names that are declared below."""

    graph: GraphArgument
    duration_ns: int | None
    report: Path | None
    trace: Path | None
    log_format: Format
    log_level: Level
    status: str | None
    strict: bool
    watch: bool
    control: Path | None
    recorder_ns: int | None
    no_control: bool
    user: str | None


@click.command(
    short_help="Run a graph.",
    epilog=examples(
        "kernel run graph.toml",
        "kernel run graph.toml --for 10s --report report.json",
        "kernel run graph.toml --profile no-ptp --set sources.file.path=take.wav",
    ),
)
@graph_argument
@duration_option("--for", "duration_ns", help="Stop after this time, such as 10s or 24h.")
@report_option
@trace_option
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Log for people or for scripts.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="The least important messages that are logged.",
)
@click.option(
    "--status",
    type=click.Choice(["none", "plain", "live"]),
    help="Show the status live, or as a line every 10 s; left out: live on a terminal.",
)
@click.option(
    "--strict", is_flag=True, help="Exit with 1 also where a node received, sent, read or wrote nothing at all."
)
@click.option("--watch", is_flag=True, help="Change the run to what the graph file says whenever it is saved.")
@click.option(
    "--control",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Make the control socket here, and not in the folder where kernel status finds it.",
)
@duration_option(
    "--recorder",
    "recorder_ns",
    help="Keep the packets of this time, such as 60s, and write them where there is trouble.",
)
@click.option("--no-control", is_flag=True, help="Make no control socket.")
@click.option(
    "--user",
    metavar="NAME",
    help="Started as root: continue as this user once everything has started, and every port is open.",
)
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> None:
    """Run a graph until its sources end, the time is up, or a signal ends it.

    SIGHUP has the graph file read again: the run changes to what it says, and untouched nodes go on.

    Exits with 0 if the run went as asked, 1 if a node failed or was restarting at the end, 2 if the graph or the call
    is wrong.
    """
    ctx.exit(run_graph(RunOptions(**options)))


def recorder_config(graph: Graph, last_ns: int | None) -> RecorderConfig | None:
    """The flight recorder of a call with ``--recorder``: the graph's, with another time. None without the option."""
    from msgspec.structs import replace

    from .._core.config import RecorderConfig
    from .._core.errors import GraphError, Problem

    if last_ns is None:
        return None
    if not 10**9 <= last_ns <= 3600 * 10**9:
        raise GraphError([Problem("--recorder", "expected 1 s to 1 h")])
    base = graph.recorder or RecorderConfig(folder=str(Path("captures").absolute()))
    return replace(base, last=last_ns)


def open_control(graph: str, path: Path | None, log: Any) -> tuple[socket.socket, Path] | None:
    """The control socket of a run and its place: a path, or the runtime folder. Raises GraphError for a path."""
    from .._control.socket_paths import listen, listen_as, run_name
    from .._core.errors import GraphError, Problem

    try:
        return (listen(path), path) if path is not None else listen_as(run_name(graph))
    except (OSError, AttributeError) as error:  # AttributeError: a system without Unix sockets
        reason = getattr(error, "strerror", None) or str(error)
        if path is not None:
            raise GraphError([Problem("--control", f"cannot make {path}: {reason}")]) from error
        log.warning(f"no control socket: {reason}")
        return None


async def drop_privileges(session: Session, account: Account, log: Any) -> None:
    """Become an ordinary user once every node has started."""
    await session.supervisor.started.wait()
    try:
        account.drop_privileges()
    except Exception as error:  # the run must not go on with them
        session.supervisor.fail("--user", error)
        return
    log.info("privileges_dropped", user=account.name)


def run_graph(options: RunOptions) -> int:
    """Run a graph; returns the exit code. Raises GraphError for a graph that is wrong."""
    import os
    import sys
    from contextlib import nullcontext, suppress
    from functools import partial

    import trio

    from .._control.control_processes import ControlProcesses
    from .._control.control_server import ControlServer
    from .._control.run_monitor import RunMonitor
    from .._control.service_manager import ServiceManager
    from .._control.socket_paths import run_name
    from .._core.privileges import find_account
    from .._plugins import loader
    from .._run.device_rates import DeviceRateStore, state_file
    from .._run.logging import make_log
    from .._run.session import Session, deferred_signals
    from .._run.summary import summary_lines
    from .._run.trace import Trace
    from .console import checked_report_file, publish_report
    from .status import Status, status_form

    account = None if options.user is None else find_account(options.user)
    if account is not None:
        account.prepare()
    registry = loader.load(check_options=False)
    loaded = options.graph.load(registry)
    log = make_log(options.log_format, options.log_level)
    with account.acting() if account is not None else nullcontext():  # what is made here is written later, as the user
        report_file = checked_report_file(options.report)
        trace_file = Trace(options.trace, log.error)
    session = Session(
        loaded,
        registry,
        log=log,
        trace=trace_file,
        profile=options.graph.profile,
        device_rates=DeviceRateStore(state_file(), log.warning),
        report_file=report_file,
        recorder=recorder_config(loaded, options.recorder_ns),
    )
    with account.acting() if account is not None else nullcontext():
        opened = None if options.no_control else open_control(session.name, options.control, log)
    control_processes = ControlProcesses(
        loaded.control, None if opened is None else opened[1], session.services.event, log
    )
    monitor = RunMonitor(session, opened[1].stem if opened else run_name(session.name), control_processes)
    companions = [monitor.run, control_processes.run]
    if (manager := ServiceManager.from_environment()) is not None:
        companions.append(partial(manager.run, monitor))
    if options.watch:
        companions.append(session.reload.watch)
    if opened is not None:
        companions.append(ControlServer(monitor, *opened, log).run)
    if account is not None:
        companions.append(partial(drop_privileges, session, account, log))
    with deferred_signals() as pending:
        with Status(status_form(options.status, options.log_format)) as status:

            def show(session: Session) -> None:
                if status.wants(session.meter.duration_s):
                    status.show(monitor.status())

            run_session = partial(
                session.run,
                for_ns=options.duration_ns,
                signals=True,
                pending_signals=pending,
                status=show,
                companions=companions,
            )
            result = trio.run(run_session)
        code = publish_report(result, summary_lines(result, strict=options.strict), report_file, strict=options.strict)
        if session.last_resort.armed:  # ended at once: nothing that libraries do at exit may hold it up
            with suppress(OSError, ValueError):
                sys.stdout.flush()
            os._exit(code)
        return code
