"""Identities and times of NMOS resources: stable UUIDs, and TAI times as text."""

from __future__ import annotations

import re
import uuid

from phasegraph import NS_PER_S

TAI_MINUS_UTC_NS = 37 * NS_PER_S
"""Since 2017; no leap second has been announced since."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z", re.ASCII)
_TIME = re.compile(r"(\d{1,15}):(\d{1,9})\Z", re.ASCII)


def stable_uuid(seed: uuid.UUID, *names: str) -> str:
    """The UUID of something within a node: the same for the same seed and names (IS-04, "Identifiers")."""
    return str(uuid.uuid5(seed, "\0".join(names)))


def is_uuid(value: object) -> bool:
    """Whether a value is a UUID as the schemas write it."""
    return isinstance(value, str) and _UUID.match(value) is not None


def format_tai(tai_ns: int) -> str:
    """A TAI time as ``seconds:nanoseconds``."""
    seconds, nanoseconds = divmod(tai_ns, NS_PER_S)
    return f"{seconds}:{nanoseconds}"


def parse_tai(text: str) -> int | None:
    """Nanoseconds of ``seconds:nanoseconds``; None for another text."""
    match = _TIME.match(text)
    if match is None or int(match[2]) >= NS_PER_S:
        return None
    return int(match[1]) * NS_PER_S + int(match[2])
