"""Phasegraph plugin: commands that look at this computer, its network and its runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phasegraph import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def register_commands(cli: click.Group) -> None:
    """The commands ``doctor``, ``console`` and ``verify``."""
    from .doctor.doctor_command import doctor_command
    from .verify.verify_command import verify_command
    from .web.console_command import console_command

    cli.add_command(doctor_command)
    cli.add_command(console_command)
    cli.add_command(verify_command)
