"""The synchronization metadata of SMPTE ST 2059-2."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from phasegraph import ClockState
from phasegraph.ieee1588 import MasterLocking
from phasegraph_ptp.protocol.utc_offset import UtcOffset
from phasegraph_ptp.smpte import metadata

TAI_LESS_UTC_S = 37
KNOWN = UtcOffset.constant(TAI_LESS_UTC_S)


def tai_s(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp()) + TAI_LESS_UTC_S  # type: ignore[arg-type, misc]


def test_winter_in_berlin() -> None:
    told = metadata(tai_s(2026, 1, 15, 12), KNOWN, ZoneInfo("Europe/Berlin"), "25", ClockState.LOCKED)
    assert told.local_offset_s == 3600 - TAI_LESS_UTC_S
    assert (told.jump_s, told.next_jump_s) == (3600, tai_s(2026, 3, 29, 1))
    assert (told.daylight_saving, told.leap_second_jump) == (2, 0)
    assert told.master_locking == MasterLocking.LOCKED
    assert (told.frame_rate_numerator, told.frame_rate_denominator, told.time_address_flags) == (25, 1, 0)


def test_summer_in_berlin() -> None:
    told = metadata(tai_s(2026, 7, 15, 12), KNOWN, ZoneInfo("Europe/Berlin"), "25", None)
    assert told.local_offset_s == 7200 - TAI_LESS_UTC_S
    assert (told.jump_s, told.next_jump_s) == (-3600, tai_s(2026, 10, 25, 1))
    assert told.daylight_saving == 1
    assert told.master_locking == MasterLocking.FREE_RUN


def test_without_a_jump_to_come() -> None:
    told = metadata(tai_s(2026, 7, 15), KNOWN, ZoneInfo("UTC"), "60000/1001", ClockState.HOLDOVER)
    assert (told.local_offset_s, told.jump_s, told.next_jump_s, told.daylight_saving) == (-TAI_LESS_UTC_S, 0, 0, 0)
    assert (told.frame_rate_numerator, told.frame_rate_denominator, told.time_address_flags) == (60000, 1001, 1)
    assert told.master_locking == MasterLocking.WARM_LOCKING


@pytest.mark.parametrize("leap_s", [1, -1])
def test_a_leap_second_is_a_jump(leap_s: int) -> None:
    first_s = tai_s(2027, 1, 1) + leap_s
    utc = UtcOffset(changes=((0, TAI_LESS_UTC_S), (first_s, TAI_LESS_UTC_S + leap_s)))
    told = metadata(tai_s(2026, 12, 1), utc, ZoneInfo("America/New_York"), "30000/1001", None)
    assert (told.jump_s, told.next_jump_s, told.leap_second_jump) == (-leap_s, first_s, 1)
    assert told.local_offset_s == -5 * 3600 - TAI_LESS_UTC_S
