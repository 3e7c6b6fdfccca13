"""Rooms that follow one leader over Wi-Fi agree with each other, and a room that starts again agrees soon."""

from __future__ import annotations

from itertools import combinations

import pytest

from ..simulated_group import Path, SimRooms

WIFI = Path(delay_ns=1_500_000, jitter_ns=300_000, loss=0.05)
STEP_S = 0.1


@pytest.mark.parametrize("seconds", [10, 25, 40, 90])
@pytest.mark.slow
def test_any_two_rooms_agree(seconds: int) -> None:
    rooms = SimRooms(WIFI)
    apart: dict[tuple[int, int], list[int]] = {pair: [] for pair in combinations(range(6), 2)}
    for _ in range(round(seconds / STEP_S)):
        rooms.run(STEP_S)
        for pair, distances in apart.items():
            one, other = map(rooms.error_ns, pair)
            if one is not None and other is not None and all(map(rooms.locked, pair)):
                distances.append(abs(one - other))
    for distances in apart.values():
        assert len(distances) > seconds / STEP_S - 50
        assert sorted(distances[len(distances) // 5 :])[-len(distances) // 100] < 50_000
        assert max(distances) < 250_000


@pytest.mark.parametrize(
    ("seed", "restarted", "seconds"),
    [(1, 1, 8), (1, 1, 30), (1, 6, 30), (2, 6, 30)],
)
@pytest.mark.slow
def test_a_room_that_starts_again_is_in_line_within_a_second_and_a_half(
    seed: int, restarted: int, seconds: int
) -> None:
    rooms = SimRooms(WIFI, seed=seed)
    rooms.run(seconds)
    for number in range(restarted):
        rooms.restart(number)
        rooms.run(1.5)
        for _ in range(30):
            errors = [rooms.error_ns(each) for each in range(6)]
            assert None not in errors
            assert abs((errors[number] or 0) - (errors[number - 1] or 0)) < 250_000
            rooms.run(STEP_S)
