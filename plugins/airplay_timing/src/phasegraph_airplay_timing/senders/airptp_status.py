"""The status of airptp in shared memory, as its server writes it."""

from __future__ import annotations

from ..mapped_file import MappedFile
from . import airptp


class AirptpStatusWriter:
    """The time is written after all else, and cleared first: a client that finds a fresh one finds the rest right."""

    def __init__(self, directory: str, clock: int, ports: tuple[int, int], *, ipv4: bool, ipv6: bool) -> None:
        """``ports`` are the UDP ports (event, general). Raises NodeError where the memory is not available."""
        self._file = MappedFile(airptp.NAME, directory, airptp.STATUS_SIZE, reopened=True)
        self._file.write_ordered(airptp.WRITTEN_AT, airptp.encode_time(0))
        self._file.write_ordered(
            slice(0, airptp.STATUS_SIZE), airptp.encode_status(clock, 0, ports, ipv4=ipv4, ipv6=ipv6)
        )

    def renew(self, now_s: int) -> None:
        """The server is alive at this time of the system's wall clock, in seconds."""
        self._file.write_ordered(airptp.WRITTEN_AT, airptp.encode_time(now_s))

    def abandon(self) -> None:
        """Let go of the memory, and leave it as it is: what the end of a process does."""
        self._file.close()

    def close(self) -> None:
        """Clear and remove the memory: its clients look for it again."""
        self._file.write_ordered(airptp.WRITTEN_AT, airptp.encode_time(0))
        self._file.close(remove=True)
