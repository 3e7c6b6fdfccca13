"""Changes that zeroconf does not report to the browser of a subtype: another address, or another text."""

from __future__ import annotations

from collections.abc import Callable

from zeroconf import RecordUpdate, RecordUpdateListener, Zeroconf

_SRV, _TXT = 33, 16
"""Types of records (RFC 2782, RFC 1035)."""


class _Records(RecordUpdateListener):
    def __init__(self, report: Callable[[str, str, object], None]) -> None:
        self._report = report

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Called by zeroconf with the records that were received."""
        for update in records:
            record = update.new
            if update.old is not None or record.is_expired(now):
                continue  # nothing new
            if record.type == _SRV:
                self._report(record.name, "SRV", (getattr(record, "server", ""), getattr(record, "port", 0)))
            elif record.type == _TXT:
                self._report(record.name, "TXT", getattr(record, "text", b""))

    def async_update_records_complete(self) -> None:
        """Called by zeroconf after that."""


def watch_records(zeroconf: Zeroconf, report: Callable[[str, str, object], None]) -> None:
    """Report every new SRV and TXT record, by name, type and value, in zeroconf's thread."""
    zeroconf.add_listener(_Records(report), None)
