"""Metadata that a grandmaster of SMPTE ST 2059-2 sends once a second: frame rate, lock, local time, its next change."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from phasegraph import ClockState
from phasegraph.ieee1588 import SmpteSynchronizationMetadata
from phasegraph.ieee1588.extension_tlvs import MasterLocking

from .protocol.utc_offset import DAY_S, UtcOffset

_AHEAD_DAYS = 370
_LOCKING = {
    ClockState.LOCKED: MasterLocking.LOCKED,
    ClockState.HOLDOVER: MasterLocking.WARM_LOCKING,
    ClockState.ACQUIRING: MasterLocking.COLD_LOCKING,
    ClockState.UNLOCKED: MasterLocking.FREE_RUN,
}
_IN_EFFECT, _AFTER_JUMP = 1, 2
_DROP_FRAME = 1


def metadata(
    tai_s: int, utc: UtcOffset, zone: ZoneInfo, frame_rate: str, reference: ClockState | None
) -> SmpteSynchronizationMetadata:
    """The metadata at a time in s of TAI. ``reference`` is the state of the served clock; None for our oscillator."""
    numerator, _, denominator = frame_rate.partition("/")
    offset_s, saving = _local(tai_s, utc, zone)
    jump_s, next_s, leaps = _next_jump(tai_s, utc, zone)
    saving_then = _local(next_s, utc, zone)[1] if next_s else False
    return SmpteSynchronizationMetadata(
        frame_rate_numerator=int(numerator),
        frame_rate_denominator=int(denominator or 1),
        master_locking=MasterLocking.FREE_RUN if reference is None else _LOCKING[reference],
        # At 29.97 frames a second, only drop-frame counting keeps up with the time of day.
        time_address_flags=_DROP_FRAME if denominator == "1001" and int(numerator) % 30_000 == 0 else 0,
        local_offset_s=offset_s,
        jump_s=jump_s,
        next_jump_s=next_s,
        daylight_saving=_IN_EFFECT * saving | _AFTER_JUMP * saving_then,
        leap_second_jump=leaps,
    )


def _local(tai_s: int, utc: UtcOffset, zone: ZoneInfo) -> tuple[int, bool]:
    # Local time minus PTP time, and whether daylight saving time is in force.
    less_s = utc.offset_at(tai_s)
    local = datetime.fromtimestamp(tai_s - less_s, UTC).astimezone(zone)
    offset, saving = local.utcoffset(), local.dst()
    return (int(offset.total_seconds()) if offset else 0) - less_s, bool(saving)


def _next_jump(tai_s: int, utc: UtcOffset, zone: ZoneInfo) -> tuple[int, int, bool]:
    # The next jump of local time against PTP time, when it is, and whether it is a leap second.
    now_s = _local(tai_s, utc, zone)[0]
    ends = (tai_s + day * DAY_S for day in range(1, _AHEAD_DAYS))
    after = next((end for end in ends if _local(end, utc, zone)[0] != now_s), None)
    if after is None:
        return 0, 0, False
    before = after - DAY_S
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if _local(middle, utc, zone)[0] == now_s else (before, middle)
    return _local(after, utc, zone)[0] - now_s, after, utc.offset_at(after) != utc.offset_at(before)
