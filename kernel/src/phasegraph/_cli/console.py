"""What commands print: problems, reports, and how far a long run has come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .._core.errors import Problem
from .._option_types.wording import format_count

if TYPE_CHECKING:
    from .._run.report_file import ReportFile

_MOST_PROBLEMS = 200


def print_problems(problems: Sequence[Problem]) -> None:
    """Write problems to standard error as ``path: message (hint)``, and their number."""
    for problem in problems[:_MOST_PROBLEMS]:
        # A plugin's message may have several lines; a problem has one.
        click.echo(" ".join(str(problem).split("\n")), err=True)
    more = len(problems) - _MOST_PROBLEMS
    click.echo(format_count(len(problems), "problem") + (f", {more} of them not shown" if more > 0 else ""), err=True)


def checked_report_file(path: Path | None) -> ReportFile | None:
    """The file of a report, if any. Raises GraphError if it cannot be written."""
    from .._run.report_file import ReportFile

    if path is None:
        return None
    file = ReportFile(path)
    file.check()
    return file


def publish_report(
    report: Mapping[str, Any], lines: Iterable[str], file: ReportFile | None, *, strict: bool = False
) -> int:
    """Write a report to its file, if any, and print its ``lines``. Returns the command's exit code.

    The lines are printed even if the file cannot be written; then raises ClickException (exit code 1).
    """
    from .._run.report import exit_code

    try:
        if file is not None:
            file.write_report(report)
    except OSError as error:
        raise click.ClickException(f"cannot write the report {file and file.path}: {error.strerror}") from error
    finally:
        with suppress(OSError):  # the terminal or the reader may be gone
            for line in lines:
                click.echo(line)
    return exit_code(report, strict=strict)
