"""A grandmaster that is away altogether, without Announce and Sync, and comes back unchanged, is followed at once."""

from __future__ import annotations

import pytest

from phasegraph_ptp.protocol import PortRole, PortState, Settings

from .bench import Bench, S, announce


class Grandmaster:
    """Announces every 2 s, eight Syncs a second, and answers; the bench's time passes with it."""

    def __init__(self, role: PortRole = PortRole.FOLLOWER, log_announce: int = 1) -> None:
        self.bench = Bench(Settings(role=role, log_announce_interval=log_announce), serving=True)
        self.bench.answers = lambda send: True
        self.log_announce = log_announce
        self.sequence = self.announces = 0

    def present(self, seconds: float, *, syncs: bool = True) -> float | None:
        """It sends. Returns after how many seconds it was first followed."""
        bench, since, followed = self.bench, self.bench.now_ns, None
        for _ in range(round(seconds * 8)):
            bench.at(bench.now_ns + S // 8)
            self.sequence = (self.sequence + 1) & 0xFFFF
            if (bench.now_ns // (S // 8)) % (8 << self.log_announce) == 0:
                self.announces += 1
                bench.receive(announce(sequence=self.announces, log_interval=self.log_announce, priority1=10))
            if syncs:
                bench.synced(self.sequence)
            if followed is None and bench.clock.state is PortState.SLAVE:
                followed = (bench.now_ns - since) / S
        return followed

    def away(self, seconds: float) -> None:
        self.bench.at(self.bench.now_ns + round(seconds * S))


@pytest.mark.parametrize("role", [PortRole.FOLLOWER, PortRole.ORDINARY])
@pytest.mark.parametrize("log_announce", [1, *(pytest.param(log, marks=pytest.mark.slow) for log in (0, 2))])
@pytest.mark.parametrize("seconds", [2, 3.5, 4.5, 5, 5.8, 7, 10, 30])
def test_it_is_followed_again_at_once_and_not_called_mute(seconds: float, log_announce: int, role: PortRole) -> None:
    gm = Grandmaster(role, log_announce)
    gm.present(60)
    for _ in range(3):
        gm.away(seconds)
        again_s = gm.present(40)
        assert again_s is not None
        # Two Announces within four intervals qualify it; where the one before is remembered, one does.
        assert again_s <= 2 * 2**log_announce + 1
    assert gm.bench.told("master_demoted") == []


@pytest.mark.parametrize("log_announce", [0, 1])
def test_one_that_announces_itself_and_sends_no_sync_is_still_left(log_announce: int) -> None:
    gm = Grandmaster(log_announce=log_announce)
    gm.present(60)
    gm.present(8, syncs=False)
    (event,) = gm.bench.told("master_demoted")
    assert event.fields["reason"].startswith("it announces itself, but no Sync or Follow_Up arrives: ")
    assert gm.bench.clock.state is PortState.LISTENING


def test_one_that_comes_back_with_announces_alone_has_some_time_for_its_first_sync() -> None:
    gm = Grandmaster()
    gm.present(60)
    gm.away(5)
    gm.present(1.5, syncs=False)
    assert gm.present(10) is not None
    assert gm.bench.told("master_demoted") == []


def test_requests_during_an_outage_do_not_count_as_unanswered() -> None:
    gm = Grandmaster(log_announce=3)  # its Announces time out after 24 s only
    gm.present(60)
    gm.away(15)
    gm.present(20)
    assert gm.bench.told("master_demoted") == []
    assert gm.bench.clock.state is PortState.SLAVE
