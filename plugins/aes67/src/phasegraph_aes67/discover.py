"""``kernel discover``: which streams are announced on the network."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import click
import trio

from phasegraph import NodeError, SystemLocalClock, parse_duration
from phasegraph.net import SystemNetwork

from . import sap, sdp
from .browse import Browser
from .commands import examine_text
from .receive_hub import find_interface

LOOK_S = 0.05
EXAMPLES = """\
\b
Examples:
  kernel discover
  kernel discover --interface eth0 --for 60s
  kernel discover --format json
"""


async def browse(browser: Browser, seconds: float, tell: Callable[[sap.Change], None]) -> None:
    """Listen for so long, telling every change."""
    with trio.move_on_after(seconds):
        while True:
            for change in browser.look():
                tell(change)
            await trio.sleep(LOOK_S)


@click.command("discover", short_help="List the streams that are announced on the network.", epilog=EXAMPLES)
@click.option("--interface", default="", help="Network interface, by name or address; left out, the system chooses.")
@click.option(
    "--for", "duration", default="35s", show_default=True, help="How long to listen; devices repeat after 30 s."
)
@click.option("--format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to say it.")
def discover_command(interface: str, duration: str, format: str) -> None:
    """Listen to session announcements (SAP) and list the streams.

    Exits with 0, also where nothing is announced: RAVENNA devices announce by mDNS, Wheatstone and Livewire not at all.
    """
    try:
        seconds = parse_duration(duration) / 1e9
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    local = SystemLocalClock()
    network = SystemNetwork(local)
    try:
        browser = Browser(network, local, find_interface(network.interface, interface))
    except NodeError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"cannot listen to announcements: {error.strerror or error}") from None
    live = format == "text"
    try:
        trio.run(browse, browser, seconds if seconds > 0 else math.inf, _tell if live else lambda change: None)
    except KeyboardInterrupt:
        pass
    finally:
        browser.close()
    if format == "json":
        click.echo(json.dumps([_as_json(session) for session in browser.table], indent=2))
    else:
        found = sum(1 for _ in browser.table)
        click.echo(f"{found} session{'' if found == 1 else 's'} announced" + ("" if found else ": nothing was heard"))
        for reason, count in browser.refused.items():
            click.echo(f"note: {count} packets were no announcements ({reason})")


def _tell(change: sap.Change) -> None:
    session = change.session
    if change.kind in ("deleted", "expired"):
        click.echo(f"- {session.key}: {change.kind}")
        return
    sign = "+" if change.kind == "added" else "~"
    try:
        described = sdp.parse(session.sdp)
    except sdp.MalformedSdp as error:
        click.echo(f"{sign} {session.key}, from {session.origin}: not usable: {error}")
        return
    streams = "; ".join(str(stream) for stream in described.streams)
    click.echo(f"{sign} {described.name or session.key}, from {session.origin}: {streams}")


def _as_json(session: sap.KnownSession) -> dict[str, Any]:
    return {"origin": session.origin, "key": session.key, "sdp": session.sdp, **examine_text(session.sdp)[0]}
