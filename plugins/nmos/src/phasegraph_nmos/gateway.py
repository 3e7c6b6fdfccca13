"""Sessions of devices without NMOS, which ``kernel discover`` finds by SAP and as RAVENNA announces them."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import trio

from phasegraph import child_process_options

from .connection.transport_params import is_multicast
from .model.resources import Gateway

LISTEN = "35s"
"""How long one round listens: devices repeat their announcements after 30 s."""
PAUSE_S = 5.0
TIMEOUT_S = 60.0
MOST_SESSIONS = 256
_ENCODINGS = ("L16", "L24", "AM824")


class GatewaySession(msgspec.Struct, frozen=True, kw_only=True):
    """A session that can be offered: what IS-04 shows of it, and its description."""

    gateway: Gateway
    sdp: str


def announced_sessions(found: list[Any], interface: str, own: frozenset[str] = frozenset()) -> list[GatewaySession]:
    """The usable sessions of a list of ``kernel discover --format json``; those to an address of ``own`` are left out.

    ``own`` are the groups that this node's runs send to: their senders are there already.
    """
    sessions = []
    for entry in found[:MOST_SESSIONS]:
        streams = entry.get("streams") or []
        if not entry.get("ok") or not streams or streams[0]["encoding"] not in _ENCODINGS:
            continue
        first = streams[0]
        if first["group"] in own:
            continue
        gateway = Gateway(
            key=str(entry["key"]),
            name=str(entry.get("name") or entry["key"]),
            encoding=first["encoding"],
            rate=first["rate"],
            channels=first["channels"],
            interface=interface,
            multicast=is_multicast(first["group"]),
            legs=1,
        )
        sessions.append(GatewaySession(gateway=gateway, sdp=str(entry["sdp"])))
    return sessions


async def follow_announcements(interface: str, report: Callable[[list[Any]], Awaitable[None]], log: Any) -> None:
    """Listen in rounds, and report the sessions of each, until cancelled."""
    command = [sys.executable, "-m", "phasegraph", "discover", "--for", LISTEN, "--format", "json"]
    command += ["--interface", interface] if interface else []
    options = child_process_options()
    while True:
        with trio.move_on_after(TIMEOUT_S) as patience:
            done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False, **options)
            if done.returncode == 0:
                await report(_sessions(done.stdout))
            else:
                log.warning("no sessions are found", reason=done.stderr.decode("utf-8", "replace").strip()[-300:])
        if patience.cancelled_caught:
            log.warning("no sessions are found", reason="kernel discover did not end")
        await trio.sleep(PAUSE_S)


def _sessions(output: bytes) -> list[Any]:
    try:
        found = json.loads(output)
    except ValueError:
        return []
    return found if isinstance(found, list) else []
