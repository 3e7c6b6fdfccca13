"""``kernel console``: the runs of this machine in a browser, by HTTP, and for Prometheus."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import click

NICE = 10
"""Of the console's process."""
EXAMPLES = """\
\b
Examples:
  kernel console
  kernel console --port 9000
  kernel console --host 192.168.1.20 --tls-cert cert.pem --tls-key key.pem
"""


@click.command(
    "console", short_help="Show the runs of this machine in a browser, by HTTP, and for Prometheus.", epilog=EXAMPLES
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen to.")
@click.option("--port", type=click.IntRange(0, 65535), default=8420, show_default=True, help="0: any free port.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="File with the tokens; made if it is missing. Left out: in the state folder.",
)
@click.option("--tls-cert", type=click.Path(path_type=Path, exists=True), help="Certificate (PEM): serve HTTPS.")
@click.option("--tls-key", type=click.Path(path_type=Path, exists=True), help="Private key of the certificate (PEM).")
@click.option("--allow-host", "names", multiple=True, metavar="NAME", help="Name by which browsers call this console.")
@click.option(
    "--fleet",
    type=click.Path(path_type=Path),
    help="File that names other hosts' consoles (docs/console.md): show their runs too, and look for more by mDNS.",
)
@click.option("--name", default="", help="Name under which --fleet announces this console by mDNS.")
@click.option("--interface", help="Interface on which to listen for announced sessions.")
def console_command(
    host: str,
    port: int,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    names: tuple[str, ...],
    fleet: Path | None,
    name: str,
    interface: str | None,
) -> None:
    """Serve a page, an API and metrics of the runs of this machine, until SIGINT or SIGTERM.

    It is a process of its own beside the runs, which go on when it ends. Reading on the loopback interface needs no
    token. Changing a run, and reading where --host is another address, do: they are in the token file.
    """
    import trio

    from .console_process import ConsoleSettings, run_console
    from .fleet_watch import FleetError, read_fleet_file
    from .http_listener import ListenError
    from .token_file import TokenFileError, default_token_file, read_or_make_tokens

    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key belong together")
    path = token_file or default_token_file()
    try:
        tokens = read_or_make_tokens(path)
        say = partial(click.echo, err=True)
        say(f"The tokens are in {path}.")
        tls = (tls_cert, tls_key) if tls_cert and tls_key else None
        consoles = None if fleet is None else read_fleet_file(fleet)
        settings = ConsoleSettings(
            host, port, tokens, names=names, tls=tls, fleet=consoles, name=name, interface=interface
        )
        if hasattr(os, "setpriority"):  # runs on the same processors go first
            os.setpriority(os.PRIO_PROCESS, 0, max(os.getpriority(os.PRIO_PROCESS, 0), NICE))
        trio.run(run_console, settings, say)
    except (FleetError, TokenFileError, ListenError) as error:
        raise click.ClickException(str(error)) from None
