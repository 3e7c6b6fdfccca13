"""What can be set of an estimator."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from phasegraph import Duration, RateOffset


class EstimatorOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """Options of all estimators."""

    lock_within: Annotated[Duration, Meta(ge=100, description="Locked once three sigmas are within this.")] = 20_000
    unlock_beyond: Annotated[
        Duration, Meta(ge=1000, description="No longer locked, or in holdover, once the bound exceeds this.")
    ] = 1_000_000
    step_beyond: Annotated[
        Duration, Meta(ge=1000, description="A change of grandmaster or path by more than this is a jump, not slewed.")
    ] = 1_000_000
    slew_limit: Annotated[
        RateOffset, Meta(gt=0, le=500_000, description="How fast a locked clock may correct its phase.")
    ] = 20_000.0


class KalmanOptions(EstimatorOptions, frozen=True, kw_only=True):
    """Options of ``kalman``."""

    delay_memory: Annotated[
        Duration, Meta(ge=1_000_000_000, description="How long the path's delay is assumed to stay the same.")
    ] = 200_000_000_000


class WindowOptions(EstimatorOptions, frozen=True, kw_only=True):
    """Options of ``linear-regression`` and ``median``."""

    window: Annotated[
        Duration, Meta(ge=1_000_000_000, le=600_000_000_000, description="How much of the past counts.")
    ] = 20_000_000_000
