"""``kernel nmos``: the runs of this computer as an NMOS node."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

if TYPE_CHECKING:
    from .options import NmosOptions

EXAMPLES = """\
\b
Examples:
  kernel nmos
  kernel nmos loopback --interface eth0
  kernel nmos --registry http://10.0.0.5:8010
  kernel nmos --config nmos.toml
"""


@click.command("nmos", short_help="Offer runs as an NMOS node to broadcast controllers.", epilog=EXAMPLES)
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="File with options (TOML)."
)
@click.option("--child", is_flag=True, hidden=True, help="Started by a run: see `ControlProcessKind`.")
@click.option("--label", help="Name of the node; the name of the computer by default.")
@click.option("--interface", help="Network interface, by name or address; left out, all.")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port of the APIs, 3212 by default; 0 is any free one.")
@click.option("--registry", "registries", multiple=True, metavar="URL", help="Registry, in place of those of mDNS.")
@click.option("--mdns/--no-mdns", default=None, help="Find registries by mDNS, and announce the node to peers.")
@click.option("--remember/--no-remember", default=None, help="After a restart, restore what controllers have set.")
@click.option("--gateway/--no-gateway", default=None, help="Offer sessions of SAP and RAVENNA as senders.")
@click.option("--state", help="Folder for what controllers have set.")
def nmos_command(runs: tuple[str, ...], config: Path | None, child: bool, **given: Any) -> None:
    """Offer the runs of this computer, or those named, to NMOS controllers and registries, until a signal ends it.

    RUN is a name that `kernel runs` lists, or the path of a control socket. A run may begin and end meanwhile: it is
    there while it runs. Registries and peers are found by mDNS. Exits with 2 if the configuration is wrong.
    """
    from .http.http_server import CannotServe
    from .node_process import run_node

    if child:
        log_as_child()
        given = json.loads(sys.stdin.buffer.readline())
    options = _read_options(config, {name: value for name, value in given.items() if value not in (None, ())})
    try:
        run_node(options, runs, child=child)
    except KeyboardInterrupt:
        return
    except CannotServe as error:
        raise click.ClickException(str(error)) from None


def log_as_child() -> None:
    """Write log lines as the run reads them: a JSON object each."""
    import structlog

    structlog.configure(processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()])


def _read_options(config: Path | None, given: dict[str, Any]) -> NmosOptions:
    from .options import NmosOptions

    table: dict[str, Any] = {}
    if config is not None:
        try:
            table = tomllib.loads(config.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise click.BadParameter(f"{config} cannot be read: {error}", param_hint="--config") from None
    try:
        return msgspec.convert({**table, **given}, NmosOptions)
    except msgspec.ValidationError as error:
        where = f"{config}: " if config is not None else ""
        raise click.UsageError(f"{where}{error}") from None
