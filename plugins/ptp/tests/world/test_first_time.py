"""How soon after the first Announce a follower's clock can be used, by the bound that it publishes itself."""

from __future__ import annotations

import msgspec
import pytest

from phasegraph_ptp.estimators import make_estimator
from phasegraph_ptp.protocol import PortRole, Settings

from .followed_clock import FollowedClock
from .links import Link
from .node import S
from .world import World

EIGHT_A_SECOND = Settings(
    role=PortRole.FOLLOWER, log_announce_interval=0, log_sync_interval=-3, log_min_delay_req_interval=-3
)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ppm", [-90.0, 5.0, 90.0])
def test_it_knows_the_time_to_20_us_after_a_second_and_a_half(seed: int, ppm: float) -> None:
    world = World(seed, link=Link(delay_ns=8_000, jitter_ns=1_000), through_codec=False)
    grandmaster = world.add(msgspec.structs.replace(EIGHT_A_SECOND, role=PortRole.GRANDMASTER))
    world.run(10.37)
    follower = world.add(EIGHT_A_SECOND, ppm=ppm)
    clock = FollowedClock(world, grandmaster, follower, make_estimator())
    below: dict[int, float] = {}
    while clock.announced_ns is None or world.now_ns - clock.announced_ns < 4 * S:
        world.run(0.02)
        estimate, error_ns = clock.look()
        if clock.announced_ns is not None:
            assert abs(error_ns) <= estimate.bound_ns
            for limit_ns in (1_000_000, 20_000):
                if estimate.bound_ns < limit_ns:
                    below.setdefault(limit_ns, (world.now_ns - clock.announced_ns) / S)
    assert below[1_000_000] <= 1.0
    assert below[20_000] <= 1.5
