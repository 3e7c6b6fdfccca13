"""Recordings by time: where a file ends, and what it is called.

Media time alone decides, so that two recorders of one stream divide it at the same frame, whenever they began.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from string import Formatter

import msgspec

from phasegraph import NS_PER_S, MediaPosition, NodeError, frame_at, time_of_frame

START_PATTERN = "{start:%Y-%m-%dT%H%M%SZ}"
"""The name that messages recommend: sorts by time, and has no character that a file system refuses."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_S = 253_402_300_799
"""The last second of the year 9999, which ends the calendar of Python."""
DAY_NS = 86_400 * NS_PER_S


class RecordingTime(msgspec.Struct, frozen=True):
    """Converts places in media time to the time of day (UTC), and divides it."""

    rate: int
    utc_offset_s: int
    """TAI less UTC: what a clock that counts TAI is ahead."""
    split_ns: int | None = None
    """Length of a file; None for one file. Files end at its multiples, counted from midnight UTC of 1970-01-01."""

    def utc_ns(self, position: MediaPosition) -> int:
        """Time of day of a frame, in nanoseconds since 1970; of timescale ``arb`` since the clock's own epoch."""
        return time_of_frame(position.frame, self.rate) - self._offset_ns(position)

    def period(self, position: MediaPosition) -> int:
        """Which file a frame belongs to: frames of one period belong to one file."""
        return 0 if self.split_ns is None else self.utc_ns(position) // self.split_ns

    def frames_left(self, position: MediaPosition) -> int | None:
        """Frames from a place to the end of its file, one at least; None without an end."""
        if self.split_ns is None:
            return None
        end_ns = (self.period(position) + 1) * self.split_ns + self._offset_ns(position)
        return frame_at(end_ns - 1, self.rate) + 1 - position.frame

    def samples_since_midnight(self, position: MediaPosition) -> int:
        """TimeReference of BWF (EBU Tech 3285, 2.3): frames since midnight UTC."""
        midnight_ns = self.utc_ns(position) // DAY_NS * DAY_NS + self._offset_ns(position)
        return position.frame - frame_at(midnight_ns - 1, self.rate) - 1

    def start(self, position: MediaPosition) -> datetime:
        """Time of day of a frame, to the microsecond below."""
        seconds, rest_ns = divmod(self.utc_ns(position), NS_PER_S)
        return _EPOCH + timedelta(seconds=max(0, min(_LAST_S, seconds)), microseconds=rest_ns // 1000)

    def _offset_ns(self, position: MediaPosition) -> int:
        return self.utc_offset_s * NS_PER_S if position.timescale == "ptp" else 0


def has_start(path: str) -> bool:
    """Whether a path has a part ``{start:...}``.

    Raises NodeError (option ``path``) for any other part in braces, and for a format that is not one of a time.
    """
    try:
        fields = [field for field in Formatter().parse(path) if field[1] is not None]
        if any(name != "start" or conversion for _, name, _, conversion in fields) or "{" in "".join(
            format or "" for _, _, format, _ in fields
        ):
            raise ValueError("only start can stand in braces")
        if fields:
            path_at(path, _EPOCH)
    except (ValueError, IndexError, KeyError) as error:
        raise NodeError(
            f"{path} is no name by time: {error}",
            f"write {START_PATTERN}, with any directives of strftime; a brace itself is doubled: {{{{",
            option="path",
        ) from error
    return bool(fields)


def path_at(path: str, start: datetime) -> str:
    """The path of the file that begins at a time."""
    return path.format(start=start)
