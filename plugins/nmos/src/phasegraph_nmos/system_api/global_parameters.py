"""The global configuration resource (IS-09 v1.0, ``/global``), and the options of runs that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta


class RegistrationParameters(msgspec.Struct, frozen=True):
    """Of IS-04."""

    heartbeat_interval: Annotated[int, Meta(ge=1, le=1000)]
    """Seconds between two heartbeats."""


class PtpParameters(msgspec.Struct, frozen=True):
    """Of IEEE 1588."""

    announce_receipt_timeout: Annotated[int, Meta(ge=2, le=10)]
    """Announce intervals without an Announce after which a grandmaster is gone."""
    domain_number: Annotated[int, Meta(ge=0, le=127)]


class SyslogServer(msgspec.Struct, frozen=True):
    """Where log messages go to."""

    hostname: Annotated[str, Meta(min_length=1, max_length=253)] = ""
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None


class GlobalParameters(msgspec.Struct, frozen=True):
    """What all nodes of a system have in common. Members that are not known here are ignored."""

    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$")]
    """UUID of the system."""
    version: Annotated[str, Meta(pattern=r"^[0-9]+:[0-9]+$")]
    is04: RegistrationParameters
    ptp: PtpParameters
    label: str = ""
    syslog: SyslogServer | None = None
    """By UDP (RFC 5426), port 514 by default."""
    syslogv2: SyslogServer | None = None
    """By TLS (RFC 5425), port 6514 by default."""


_decode = msgspec.json.Decoder(GlobalParameters).decode


def parse_global(body: bytes) -> GlobalParameters:
    """The parameters that a System API answered with. Raises ValueError, with a sentence."""
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"the global parameters cannot be used: {error}") from None


def clock_changes(parameters: GlobalParameters, graph: Mapping[str, Any], *, override: bool) -> dict[str, Any]:
    """The options of a run's ``ptp`` clocks that follow from the parameters.

    Options that the graph sets itself stay, unless ``override``.
    """
    wanted = {
        "domain": parameters.ptp.domain_number,
        "announce-receipt-timeout": parameters.ptp.announce_receipt_timeout,
    }
    return {
        f"clock.{id}.{option}": value
        for id, table in graph.get("clocks", {}).items()
        if table.get("kind") == "ptp"
        for option, value in wanted.items()
        if (override or option not in table) and table.get(option) != value
    }
