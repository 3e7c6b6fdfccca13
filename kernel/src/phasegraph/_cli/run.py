"""``kernel run``, once its options are read: loads the graph, runs it, and says what happened."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio

from .._core.errors import GraphError, Problem
from .._graph_file import load_graph
from .._plugins import loader
from .._run.device_rates import DeviceRateStore, state_file
from .._run.logging import Format, Level, make_log
from .._run.session import Session
from .._run.trace import Trace
from .._run.words import in_words
from .status import Status


def run_command(
    graph_path: Path,
    *,
    profile: str | None,
    overrides: Sequence[str],
    duration_ns: int | None,
    report: Path | None,
    trace: Path | None,
    log_format: Format,
    log_level: Level,
) -> int:
    """Run a graph; returns the exit code. Raises GraphError for a graph that is wrong."""
    registry = loader.load()
    graph = load_graph(graph_path, registry, profile=profile, overrides=overrides)
    log = make_log(log_format, log_level)
    must_be_writable(report)
    learned = DeviceRateStore(state_file(), log.warning)
    session = Session(graph, registry, log=log, trace=Trace(trace, log.error), profile=profile, learned=learned)
    with Status(live=None if log_format == "text" else False) as status:
        result = trio.run(partial(session.run, for_ns=duration_ns, signals=True, status=status))
    tell(result, in_words(result), report)
    return exit_code(result)


def exit_code(report: Mapping[str, Any]) -> int:
    """1 where a node has failed, 0 otherwise."""
    failed = any(node["state"] == "failed" for node in report["nodes"].values())
    return 1 if failed or report["ended"] == "failed" else 0


def tell(report: Mapping[str, Any], lines: Iterable[str], path: Path | None) -> None:
    """Write a report where that is asked for, and print its ``lines``, also where the disk refuses it: then raises
    ClickException (exit code 1)."""
    try:
        if path is not None:
            path.write_text(json.dumps(report, indent=2) + "\n")
    except OSError as error:
        raise click.ClickException(f"cannot write the report {path}: {error.strerror}") from error
    finally:
        for line in lines:
            click.echo(line)


def must_be_writable(report: Path | None) -> None:
    """Raise GraphError where a report could not be written: before the run, so that hours of it are not lost."""
    if report is not None:
        try:
            report.write_text("")
        except OSError as error:
            raise GraphError([Problem("--report", f"cannot write {report}: {error.strerror}")]) from error
