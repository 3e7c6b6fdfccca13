"""What commands print: problems, reports, and how far a long run has come."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from .._core.errors import GraphError, Problem
from .._core.files import create_file
from .._option_types.wording import format_count

_MOST_PROBLEMS = 200


def print_problems(problems: Sequence[Problem]) -> None:
    """Write problems to standard error as ``path: message (hint)``, and their number."""
    for problem in problems[:_MOST_PROBLEMS]:
        # A plugin's message may have several lines; a problem has one.
        click.echo(" ".join(str(problem).split("\n")), err=True)
    more = len(problems) - _MOST_PROBLEMS
    click.echo(format_count(len(problems), "problem") + (f", {more} of them not shown" if more > 0 else ""), err=True)


def check_writable(report: Path | None) -> None:
    """Raise GraphError if a report cannot be written: before the run, so that hours of it are not lost."""
    if report is not None:
        try:
            create_file(report).close()
        except OSError as error:
            raise GraphError([Problem("--report", f"cannot write {report}: {error.strerror}")]) from error


def publish_report(report: Mapping[str, Any], lines: Iterable[str], path: Path | None) -> int:
    """Write a report to ``path``, if any, and print its ``lines``. Returns the command's exit code.

    The lines are printed even if the file cannot be written; then raises ClickException (exit code 1).
    """
    try:
        if path is not None:
            with create_file(path) as file:
                file.write(json.dumps(report, indent=2).encode() + b"\n")
    except OSError as error:
        raise click.ClickException(f"cannot write the report {path}: {error.strerror}") from error
    finally:
        for line in lines:
            click.echo(line)
    failed = any(node["state"] == "failed" for node in report["nodes"].values())
    return 1 if failed or report["ended"] == "failed" else 0
