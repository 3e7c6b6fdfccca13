"""Options of the ``nqptp`` clock, as a graph writes them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from phasegraph import ClockConfig, Duration

from ..mapped_file import DIRECTORY

EXAMPLE = """\
[clocks.group]
kind = "nqptp"
"""


class NqptpConfig(ClockConfig, frozen=True, kw_only=True):
    """Options of the ``nqptp`` clock."""

    server: Annotated[
        Literal["nqptp", "airptp", "cliairplay"],
        Meta(description="The program whose shared memory is read: 'kernel airplay serve' writes all three."),
    ] = "nqptp"
    name: Annotated[
        str,
        Meta(
            pattern=r"^/[A-Za-z0-9._-]{1,62}$",
            description="The shared memory of nqptp that is read; the other programs have one each.",
        ),
    ] = "/nqptp"
    directory: Annotated[str, Meta(description="Where the system has shared memory.")] = DIRECTORY
    bound: Annotated[
        Duration,
        Meta(
            ge=1_000,
            le=1_000_000_000,
            description="How far off that may be which is written there: nqptp does not know, since it never measures "
            "the path. Below 1 ms the clock says that it is locked.",
        ),
    ] = 100_000_000
