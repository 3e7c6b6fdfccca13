"""What a browser of a subtype is not told by zeroconf: that a session is somewhere else, or its text another."""

from __future__ import annotations

from collections.abc import Callable

from zeroconf import RecordUpdate, RecordUpdateListener, Zeroconf

_SRV, _TXT = 33, 16
"""Types of records (RFC 2782, RFC 1035)."""


class _Records(RecordUpdateListener):
    def __init__(self, tell: Callable[[str, str, object], None]) -> None:
        self._tell = tell

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Called by zeroconf with what has come."""
        for update in records:
            record = update.new
            if update.old is not None or record.is_expired(now):
                continue  # nothing new
            if record.type == _SRV:
                self._tell(record.name, "SRV", (getattr(record, "server", ""), getattr(record, "port", 0)))
            elif record.type == _TXT:
                self._tell(record.name, "TXT", getattr(record, "text", b""))

    def async_update_records_complete(self) -> None:
        """Called by zeroconf after that."""


def watch_records(zeroconf: Zeroconf, tell: Callable[[str, str, object], None]) -> None:
    """Have every new SRV and TXT record told, by name, type and what it says, in zeroconf's thread."""
    zeroconf.add_listener(_Records(tell), None)
