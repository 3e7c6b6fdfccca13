"""Problems on the terminal: one line each, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence

import click

from .._core.errors import Problem
from .._option_types.wording import format_count

_MOST = 200


def show_problems(problems: Sequence[Problem]) -> None:
    """Write problems to standard error as ``path: message (hint)``, and their number."""
    for problem in problems[:_MOST]:
        # A plugin's words may have several lines; a problem has one.
        click.echo(" ".join(str(problem).split("\n")), err=True)
    more = len(problems) - _MOST
    click.echo(format_count(len(problems), "problem") + (f", {more} of them not shown" if more > 0 else ""), err=True)
