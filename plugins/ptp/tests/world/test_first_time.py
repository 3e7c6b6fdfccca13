"""How soon after the first Announce a follower's clock can be used, by the bound that it publishes itself."""

from __future__ import annotations

import msgspec
import pytest

from phasegraph import StampKind
from phasegraph.ieee1588 import Announce, Message
from phasegraph_ptp.estimators import make_estimator
from phasegraph_ptp.protocol import ParentChanged, PortRole, Settings

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
    clock = make_estimator()
    heard: list[int] = []

    def passes(message: Message) -> bool:
        if isinstance(message, Announce):
            heard.append(world.now_ns)
        return True

    def followed(change: ParentChanged) -> None:
        clock.reference_changed(follower.local_ns, same_timescale=change.same_timescale)

    grandmaster.passes, follower.on_sample, follower.on_followed = passes, clock.add_sample, followed
    grandmaster.stamp_kind = follower.stamp_kind = StampKind.HARDWARE
    below: dict[int, float] = {}
    while not heard or world.now_ns - heard[0] < 4 * S:
        world.run(0.02)
        estimate = clock.estimate(follower.local_ns)
        error_ns = estimate.reference_ns - (
            grandmaster.told.reference_ns + grandmaster.local_ns - grandmaster.told.local_ns
        )
        if heard:
            assert abs(error_ns) <= estimate.bound_ns
            for limit_ns in (1_000_000, 20_000):
                if estimate.bound_ns < limit_ns:
                    below.setdefault(limit_ns, (world.now_ns - heard[0]) / S)
    assert below[1_000_000] <= 1.0
    assert below[20_000] <= 1.5
