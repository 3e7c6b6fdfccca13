"""TAI less UTC, around leap seconds."""

from __future__ import annotations

import pytest

from phasegraph_ptp.protocol import TimeProperties
from phasegraph_ptp.protocol.utc_offset import DAY_S, UtcOffset

NEW_YEAR_S = 1_483_228_800
"""2017-01-01 of UTC, after the last leap second until now."""
FIRST_S = NEW_YEAR_S + 37
LIST = """\
#  a comment
#$\t 3928521600
#@\t3960057600
#
2272060800\t10\t# 1 Jan 1972
3644697600\t36\t# 1 Jul 2015
3692217600\t37\t# 1 Jan 2017
#h\t16edd0f0 3666784f 37db6bdd e74ced87 59af5bf1
"""


@pytest.mark.parametrize(
    ("tai_s", "offset_s", "leap"),
    [
        (0, 10, False),
        (FIRST_S - DAY_S - 2, 36, False),
        (FIRST_S - DAY_S - 1, 36, True),  # 00:00:00 of the day that has 86,401 s
        (FIRST_S - 1, 36, True),  # 23:59:60
        (FIRST_S, 37, False),
    ],
)
def test_a_list(tai_s: int, offset_s: int, leap: bool) -> None:
    known = UtcOffset.listed(LIST)
    told = TimeProperties(utc_offset_s=offset_s, utc_offset_valid=True, leap61=leap)
    assert known.properties(tai_s) == told
    assert known.offset_at(tai_s) == offset_s


def test_a_list_that_has_expired_is_not_vouched_for() -> None:
    known = UtcOffset.listed(LIST)
    expiry_s = 3_960_057_600 - 2_208_988_800
    assert known.properties(expiry_s - 1).utc_offset_valid
    assert not known.properties(expiry_s).utc_offset_valid
    assert known.properties(expiry_s).utc_offset_s == 37


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "3692217600 37\n3644697600 36\n", "3692217600\n", "x 37\n", "3692217600 40000\n"]
)
def test_what_is_no_list(text: str) -> None:
    with pytest.raises(ValueError, match="leap seconds"):
        UtcOffset.listed(text)


@pytest.mark.parametrize(("utc_s", "offset_s"), [(NEW_YEAR_S - 1, 36), (NEW_YEAR_S, 37), (NEW_YEAR_S + 1, 37)])
def test_by_the_time_of_posix(utc_s: int, offset_s: int) -> None:
    assert UtcOffset.listed(LIST).at_utc(utc_s) == offset_s


@pytest.mark.parametrize("leap_s", [1, -1])
@pytest.mark.parametrize("said_at_s", [-DAY_S + 100, -1, 0, 30])
def test_what_a_grandmaster_announces_goes_on_without_it(leap_s: int, said_at_s: int) -> None:
    told = TimeProperties(utc_offset_s=36, utc_offset_valid=True, leap61=leap_s > 0, leap59=leap_s < 0)
    known = UtcOffset.announced(told, NEW_YEAR_S + 36 + said_at_s)
    first_s = NEW_YEAR_S + 36 + leap_s
    assert known.properties(first_s - 1) == told
    assert known.properties(first_s) == TimeProperties(utc_offset_s=36 + leap_s, utc_offset_valid=True)


def test_nothing_comes_of_an_offset_that_no_announce_can_say() -> None:
    told = TimeProperties(utc_offset_s=32767, utc_offset_valid=True, leap61=True)
    assert UtcOffset.announced(told, FIRST_S).offset_at(2**40) == 32767


def test_without_a_leap_second_nothing_changes() -> None:
    told = TimeProperties(utc_offset_s=36, utc_offset_valid=True)
    known = UtcOffset.announced(told, FIRST_S)
    assert known.next(0 + 1) is None
    assert known.properties(2**40) == told
