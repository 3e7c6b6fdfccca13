"""TAI less UTC: what it is, and when a leap second changes it (IEEE 1588-2019, 7.2.4 and 8.2.4)."""

from __future__ import annotations

import msgspec

from .data_sets import TimeProperties

DAY_S = 86_400
_NTP_TO_UNIX_S = 2_208_988_800
_LATE_S = 60
"""How long a grandmaster may go on announcing a leap second after it."""
_NEVER_S = 2**62
_OFFSETS_S = range(-(2**15), 2**15)
"""The range of an Announce."""


class UtcOffset(msgspec.Struct, frozen=True, kw_only=True):
    """The offset over time. Times are seconds of TAI since 1970, as PTP counts them."""

    changes: tuple[tuple[int, int], ...]
    """(since when, offset), in order; the first also holds before. Each is the first second of a UTC day."""
    expires_s: int = _NEVER_S
    """When the list ends: later changes are not known."""

    @classmethod
    def constant(cls, offset_s: int) -> UtcOffset:
        """No leap second is known."""
        return cls(changes=((0, offset_s),))

    @classmethod
    def announced(cls, properties: TimeProperties, tai_s: int) -> UtcOffset:
        """As a grandmaster announces it at a time."""
        offset_s = properties.utc_offset_s
        leap_s = properties.leap61 - properties.leap59
        if not leap_s or offset_s + leap_s not in _OFFSETS_S:
            return cls.constant(offset_s)
        midnight_s = ((tai_s - offset_s - _LATE_S) // DAY_S + 1) * DAY_S
        return cls(changes=((0, offset_s), (midnight_s + offset_s + leap_s, offset_s + leap_s)))

    @classmethod
    def listed(cls, text: str) -> UtcOffset:
        """By a ``leap-seconds.list`` of IERS or NIST. Raises ValueError."""
        changes: list[tuple[int, int]] = []
        expires_s = _NEVER_S
        for number, line in enumerate(text.splitlines(), 1):
            words = line.removeprefix("#@").partition("#")[0].split()
            if not words:
                continue
            try:
                since_s = int(words[0]) - _NTP_TO_UNIX_S
                if line.startswith("#@"):
                    expires_s = since_s
                    continue
                offset_s = int(words[1])
            except (ValueError, IndexError):
                raise ValueError(f"line {number} is not of a list of leap seconds: {line[:40]!r}") from None
            changes.append((since_s + offset_s, offset_s))
        if not changes or changes != sorted(changes) or any(offset not in _OFFSETS_S for _, offset in changes):
            raise ValueError("it lists no leap seconds in the order of time")
        return cls(changes=tuple(changes), expires_s=expires_s)

    def offset_at(self, tai_s: int) -> int:
        """The offset at a time."""
        return next((offset for since, offset in reversed(self.changes) if since <= tai_s), self.changes[0][1])

    def at_utc(self, utc_s: int) -> int:
        """The offset at a time of UTC, in the seconds of POSIX."""
        since = (offset for since_s, offset in reversed(self.changes) if since_s - offset <= utc_s)
        return next(since, self.changes[0][1])

    def next(self, tai_s: int) -> tuple[int, int] | None:
        """The next change, as in `changes`; None if none is known."""
        return next((change for change in self.changes if change[0] > tai_s), None)

    def known(self, tai_s: int) -> bool:
        """Whether the offset at a time is known."""
        return tai_s < self.expires_s

    def properties(self, tai_s: int) -> TimeProperties:
        """The properties in Announces: a leap second is announced throughout the UTC day that ends with it."""
        offset_s, leap_s = self.offset_at(tai_s), 0
        coming = self.next(tai_s)
        if coming is not None:
            since_s, then_s = coming
            leap_s = then_s - offset_s if since_s - tai_s <= DAY_S + then_s - offset_s else 0
        return TimeProperties(
            utc_offset_s=offset_s, utc_offset_valid=self.known(tai_s), leap59=leap_s < 0, leap61=leap_s > 0
        )
