"""How healthy one domain of a receiver or sender is, and an observation of it."""

from __future__ import annotations

from enum import IntEnum

import msgspec


class Health(IntEnum):
    """States of all domains, with the numbers of NcConnectionStatus and its relatives.

    NcLinkStatus has the names AllUp, SomeDown and AllDown for 1 to 3; NcSynchronizationStatus has NotUsed for 0.
    """

    NEUTRAL = 0
    """Inactive or NotUsed: neither healthy nor unhealthy."""
    HEALTHY = 1
    PARTIALLY_HEALTHY = 2
    UNHEALTHY = 3


class Observation(msgspec.Struct, frozen=True):
    """What one domain looks like now."""

    health: Health
    message: str | None = None
    """The reason in words; None where all is well."""


NEUTRAL = Observation(Health.NEUTRAL)
HEALTHY = Observation(Health.HEALTHY)
