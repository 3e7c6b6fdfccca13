"""``kernel airplay serve``: what an AirPlay 2 receiver needs in place of nqptp."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from .mapped_file import DIRECTORY

if TYPE_CHECKING:
    from phasegraph import Metric

    from .nqptp.nqptp_server import NqptpServer

_PORT = click.IntRange(1, 65535)
EXAMPLES = """\
\b
Examples:
  kernel airplay serve --interface eth0
  kernel airplay serve --interface eth0 --name /nqptp --name /nqptp-kitchen
"""


@click.group("airplay", short_help="AirPlay timing for other programs.")
def airplay_command() -> None:
    """AirPlay timing for other programs."""


@airplay_command.command("serve", short_help="Serve shairport-sync in place of nqptp.", epilog=EXAMPLES)
@click.option("--interface", required=True, help="Network interface of the AirPlay senders, by name or address.")
@click.option(
    "--name",
    "names",
    multiple=True,
    default=("/nqptp",),
    show_default=True,
    help="Shared memory that exists from the start, one for each receiver. May be given several times. A receiver "
    "whose name begins with /nqptp- may also come unannounced, but finds its memory from its second start on.",
)
@click.option(
    "--filter",
    type=click.Choice(["envelope", "median", "nqptp"]),
    default="envelope",
    show_default=True,
    help="How stamps become a clock; nqptp gives the same time as rooms that run on nqptp have.",
)
@click.option("--event-port", type=_PORT, default=319, show_default=True, help="UDP port of PTP's event messages.")
@click.option("--general-port", type=_PORT, default=320, show_default=True, help="UDP port of PTP's general messages.")
@click.option("--control-port", type=_PORT, default=9000, show_default=True, help="UDP port of receivers' commands.")
@click.option("--nqptp/--no-nqptp", "serve_nqptp", default=True, help="Serve receivers in place of nqptp, or not.")
@click.option("--airptp/--no-airptp", "serve_airptp", default=True, help="Serve OwnTone in place of airptp, or not.")
@click.option(
    "--cliairplay/--no-cliairplay",
    "serve_cliairplay",
    default=True,
    help="Serve Music Assistant in place of cliairplay's PTP daemon, or not.",
)
@click.option(
    "--sender-control-port", type=_PORT, default=9010, show_default=True, help="UDP port of cliairplay's commands."
)
@click.option(
    "--state",
    envvar="STATE_DIRECTORY",
    help="Folder that keeps the names of receivers, so that their memories exist after the next start of the system. "
    "Default: $STATE_DIRECTORY, which systemd sets with StateDirectory=, or the user's own state folder.",
)
@click.option(
    "--sessions", help="Unix socket for programs that speak RTSP themselves: peers and anchors in, times out."
)
@click.option("--directory", default=DIRECTORY, show_default=True, help="Where the system has shared memory.")
def serve_command(state: str | None, **options: Any) -> None:
    """Be what nqptp is to an AirPlay 2 receiver on this computer, such as shairport-sync: it needs no change.

    Start it before the receivers. It runs until it is interrupted, may be started again at any time, and exits with 1
    where a port, the interface or a shared memory cannot be had. Where nqptp, airptp or cliairplay serve already, it
    serves the programs that they do not serve, with their time, and takes their place when they end.
    """
    import trio  # here and below: the kernel asks for commands before it knows which one is meant
    from platformdirs import user_state_path

    from phasegraph import NodeError, SystemLocalClock
    from phasegraph.net import SystemNetwork

    from .nqptp.client_commands import RefusedCommand
    from .nqptp.nqptp_server import NqptpServer
    from .server_options import NqptpServerOptions

    local = SystemLocalClock()
    state = state or str(user_state_path("phasegraph", appauthor=False))
    try:
        server = NqptpServer(NqptpServerOptions(**options, state=state), SystemNetwork(local), local, _emit_event)
    except RefusedCommand as error:
        raise click.BadParameter(str(error), param_hint="--name") from None
    if sys.platform != "linux":
        raise click.ClickException("serving needs Linux: elsewhere shared memory is no file")
    said = ""
    try:
        trio.run(_serve, server)
    except* (NodeError, OSError) as failures:
        said = " and ".join(map(str, _leaves(failures)))
    if said:  # raised outside: what is raised within except* may come in a group
        raise click.ClickException(said)


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each


async def _serve(server: NqptpServer) -> None:
    import trio

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            _tell_systemd()
            async for _ in signals:
                nursery.cancel_scope.cancel()
    _emit_event("ended", **server.metrics())


def _tell_systemd() -> None:
    # sd_notify(3), for units of Type=notify: what is to start after this one must find it serving.
    import socket

    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(b"READY=1", address.replace("@", "\0", 1) if address[0] == "@" else address)


def _emit_event(name: str, **fields: Metric) -> None:
    said = " ".join(f"{key}={value}" for key, value in fields.items() if value != "")
    click.echo(f"{datetime.now():%H:%M:%S.%f} {name} {said}", err=True)
