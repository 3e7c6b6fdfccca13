"""Reads other hosts' consoles through their API, each with its own token.

The file of the fleet names them. A console without ``url`` is one that mDNS must find under its name; one that mDNS
finds and the file does not name is listed and not read: no token is ever sent to a name that the file does not have.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import httpx
import msgspec
import trio
from msgspec import Meta, Struct

from .fleet_overview import ConsoleReading
from .followed_run import RunOverview

INTERVAL_S = 2.0
PATIENCE_S = 5.0
MOST_ANSWER_BYTES = 16 << 20
MOST_RUNS = 64
MOST_FOUND = 256
_NOT_NAMED = "found by mDNS; the file of the fleet does not name it, so it is not read"


class FleetError(Exception):
    """The file of the fleet is wrong. The message is a sentence."""


class FleetConsole(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A console in the file of the fleet."""

    url: Annotated[str, Meta(pattern=r"^https?://[^/?#@\s]+/?$")] = ""
    """Left out: found by mDNS under its name."""
    token: str = ""
    """Its read-only token."""
    ca: str = ""
    """File with the certificate that signs its own (PEM); left out: those that the system trusts."""


class _FleetFile(Struct, frozen=True, forbid_unknown_fields=True):
    consoles: dict[str, FleetConsole] = {}


class _Names(Struct, frozen=True):
    runs: list[_Name]


class _Name(Struct, frozen=True):
    name: str


def read_fleet_file(path: Path) -> dict[str, FleetConsole]:
    """The consoles of a fleet, by name. Raises FleetError."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), _FleetFile).consoles
    except OSError as error:
        raise FleetError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise FleetError(f"{path}: {error}") from None


class FleetWatch:
    """The newest reading of each console."""

    def __init__(self, consoles: Mapping[str, FleetConsole], found: Callable[[], Mapping[str, str]] = dict) -> None:
        """``found``: URLs of consoles by the name under which mDNS offers them now."""
        self._consoles = consoles
        self._found = found
        self._readings: dict[str, ConsoleReading] = {}

    def readings(self) -> list[ConsoleReading]:
        """Consoles that are named, then those that were found and are not."""
        others = {name: url for name, url in list(self._found().items())[:MOST_FOUND] if name not in self._consoles}
        unread = [ConsoleReading(name=name, url=url, problem=_NOT_NAMED, runs=[]) for name, url in others.items()]
        return [*self._readings.values(), *unread]

    async def run(self) -> None:
        """Read until cancelled."""
        async with trio.open_nursery() as nursery:
            for name, console in self._consoles.items():
                nursery.start_soon(self._read_console, name, console)

    async def _read_console(self, name: str, console: FleetConsole) -> None:
        verify = httpx.create_ssl_context(verify=console.ca or True) if console.ca else True
        headers = {"authorization": f"Bearer {console.token}"} if console.token else {}
        async with httpx.AsyncClient(verify=verify, headers=headers, timeout=PATIENCE_S, trust_env=False) as client:
            while True:
                url = (console.url or self._found().get(name, "")).rstrip("/")
                problem, runs = "not found by mDNS yet", list[RunOverview]()
                if url:
                    problem, runs = await _read(client, url)
                self._readings[name] = ConsoleReading(name=name, url=url, problem=problem, runs=runs)
                await trio.sleep(INTERVAL_S)


async def _read(client: httpx.AsyncClient, url: str) -> tuple[str, list[RunOverview]]:
    runs: list[RunOverview] = []
    with trio.move_on_after(2 * PATIENCE_S):
        try:
            names = msgspec.json.decode(await _get(client, f"{url}/api/v1/runs"), type=_Names)
            for each in names.runs[:MOST_RUNS]:
                path = httpx.URL(url).copy_with(path=f"/api/v1/runs/{each.name}")
                runs.append(msgspec.json.decode(await _get(client, str(path)), type=RunOverview))
        except (httpx.HTTPError, httpx.InvalidURL, FleetError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            return str(error) or type(error).__name__, runs
        return "", runs
    return f"it did not answer within {2 * PATIENCE_S:g} s", runs


async def _get(client: httpx.AsyncClient, url: str) -> bytes:
    body = bytearray()
    async with client.stream("GET", url) as answer:
        if answer.status_code in (401, 403):
            raise FleetError("it refuses the token: give its read-only token in the file of the fleet")
        if answer.status_code != 200:
            raise FleetError(f"it answered {answer.status_code}")
        async with aclosing(answer.aiter_raw()) as chunks:  # type: ignore[type-var]  # a generator, annotated as less
            async for chunk in chunks:
                body += chunk
                if len(body) > MOST_ANSWER_BYTES:
                    raise FleetError("its answer is too long")
    return bytes(body)
