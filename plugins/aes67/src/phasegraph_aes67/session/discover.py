"""``kernel discover``: which streams are announced on the network, by SAP and as RAVENNA does."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import click
import trio

from phasegraph import NodeError, SystemLocalClock, parse_duration
from phasegraph.net import Interface, SystemNetwork

from .. import sdp
from ..interface_lookup import interface_or_route
from ..sdp_command import examine_text
from . import sap
from .mdns import why_missing
from .ravenna import DescribedSession, browse_ravenna
from .sap_listener import SapListener

POLL_S = 0.05
_SIGNS = {"added": "+", "changed": "~", "deleted": "-", "expired": "-", "disputed": "!"}
_REMARKS = {
    "deleted": ": deleted",
    "expired": ": expired",
    "disputed": ": ignored, because another host announces this session",
}
EXAMPLES = """\
\b
Examples:
  kernel discover
  kernel discover --interface eth0 --for 60s
  kernel discover --format json
"""


async def browse_sap(listener: SapListener, seconds: float, report: Callable[[sap.SapChange], None]) -> None:
    """Listen for this long and report every change."""
    with trio.move_on_after(seconds):
        while True:
            for change in listener.poll():
                report(change)
            await trio.sleep(POLL_S)


class Listing:
    """The sessions that were found, printed as they appear if ``live``."""

    def __init__(self, listener: SapListener, *, live: bool) -> None:
        self.listener = listener
        self.ravenna: dict[tuple[str, str], DescribedSession] = {}
        """By name and address."""
        self._disputed: set[tuple[str, str]] = set()
        """Sessions, each with a host that announces it beside the first one: reported once."""
        self.notes: list[str] = []
        self._live = live

    async def listen(self, interface: Interface, seconds: float) -> None:
        """Listen for this long."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen_to_ravenna, interface)
            await browse_sap(self.listener, seconds, self._report_change)
            nursery.cancel_scope.cancel()

    async def _listen_to_ravenna(self, interface: Interface) -> None:
        try:
            await browse_ravenna(interface, self._report_ravenna)
        except ImportError:
            self.notes.append(why_missing())
        except OSError as error:
            self.notes.append(f"cannot browse RAVENNA sessions: {error.strerror or error}")

    def _report_ravenna(self, found: DescribedSession) -> None:
        if len(self.ravenna) >= sap.MAX_SESSIONS:
            return
        self.ravenna[found.name, found.address] = found
        if self._live:
            origin = f"{found.address} (RAVENNA)"
            click.echo(_line("+", found.sdp, found.name, origin, found.problem, offered_as=found.name))

    def _report_change(self, change: sap.SapChange) -> None:
        session = change.session
        if change.kind == "disputed":
            host = session.key, session.source
            if host in self._disputed or len(self._disputed) >= sap.MAX_SESSIONS:
                return
            self._disputed.add(host)
        if self._live:
            line = _line(_SIGNS[change.kind], session.sdp, session.key, session.origin)
            click.echo(line + _REMARKS.get(change.kind, ""))

    def as_json(self) -> list[dict[str, Any]]:
        """For scripts."""
        sessions = [
            {"by": "sap", "origin": each.origin, "key": each.key, "sdp": each.sdp, **examine_text(each.sdp)[0]}
            for each in self.listener.table
        ]
        for each in self.ravenna.values():
            examined = {"ok": False, "problems": [each.problem], "streams": []}
            if not each.problem:
                examined = examine_text(each.sdp)[0]
            about = {"by": "mdns", "origin": each.address, "key": sap.session_key(each.sdp), "sdp": each.sdp}
            sessions.append({**about, **examined, "name": each.name})
        return sessions

    def summary(self) -> list[str]:
        """How many there are, and notes."""
        found = sum(1 for _ in self.listener.table) + len(self.ravenna)
        lines = [f"{found} session{'' if found == 1 else 's'} announced"]
        if not found:
            silence = "nothing was received; devices repeat after 30 s, and --interface selects where to listen"
            lines = ["no session is announced any more" if self.listener.table.changes else f"{lines[0]}: {silence}"]
        refused = self.listener.refused.items()
        lines += [f"note: {count} packets were not announcements ({reason})" for reason, count in refused]
        return lines + [f"note: {note}" for note in self.notes]


def _line(sign: str, text: str, name: str, origin: str, problem: str = "", offered_as: str = "") -> str:
    try:
        described = sdp.parse(text)
    except sdp.MalformedSdp as error:
        line = f"{sign} {name}, from {origin}: not usable: {problem or error}"
    else:
        line = f"{sign} {offered_as or described.name or name}, from {origin}: {'; '.join(map(str, described.streams))}"
    return sdp.printable_text(line)


@click.command("discover", short_help="List the streams that are announced on the network.", epilog=EXAMPLES)
@click.option("--interface", default="", help="Network interface, by name or address; left out, the system chooses.")
@click.option(
    "--for", "duration", default="35s", show_default=True, help="How long to listen; devices repeat after 30 s."
)
@click.option("--format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Output format.")
def discover_command(interface: str, duration: str, format: str) -> None:
    """Listen to session announcements (SAP) and to RAVENNA devices (mDNS, RTSP), and list the streams.

    Exits with 0, also where nothing is announced: Wheatstone and Livewire devices do not announce. RAVENNA needs the
    package zeroconf, an extra: phasegraph-aes67[mdns].
    """
    try:
        seconds = parse_duration(duration) / 1e9
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    local = SystemLocalClock()
    network = SystemNetwork(local)
    try:
        via = interface_or_route(network.interface, interface)
        listener = SapListener(network, local, via)
    except NodeError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"cannot listen to announcements: {error.strerror or error}") from None
    listing = Listing(listener, live=format == "text")
    try:
        trio.run(listing.listen, via, seconds if seconds > 0 else math.inf)
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()
    if format == "json":
        click.echo(json.dumps(listing.as_json(), indent=2))
    else:
        click.echo("\n".join(listing.summary()))
