"""Phasegraph plugin: the runs of a computer as an NMOS node.

A run is seen and changed by its control socket (``phasegraph.control``). ``model`` makes the NMOS resources of it,
``connection`` is the machine of staged and active parameters (IS-05), ``mapping`` that of channel maps (IS-08),
``registration`` the dialogue with a registry (IS-04), ``control_model`` and ``status_monitors`` what IS-12 shows: all
without I/O. ``http`` answers requests, and ``node_process`` connects all of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from phasegraph import ControlProcessKind, hookimpl

from .options import NmosOptions

if TYPE_CHECKING:
    import click


@hookimpl
def register_control_processes() -> Iterable[ControlProcessKind]:
    """The table ``[control.nmos]``."""
    yield ControlProcessKind(
        kind="nmos",
        summary="Offers the run as an NMOS node to broadcast controllers and registries.",
        config=NmosOptions,
        example='[control.nmos]\ninterface = "eth0"\nregistries = ["http://10.0.0.5:8010"]',
    )


@hookimpl
def register_commands(cli: click.Group) -> None:
    """The command ``nmos``."""
    from .nmos_command import nmos_command

    cli.add_command(nmos_command)
