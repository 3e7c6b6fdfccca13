"""Servers of AirPlay's time that other programs run on this computer: nqptp, airptp and cliairplay's PTP daemon.

Each writes a shared memory. What it holds is read as one of nqptp's records, in local time, whatever the program.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from phasegraph import LocalClock, bracketed_offset

from ..mapped_file import DIRECTORY
from ..nqptp.nqptp_record import MemoryNotServed, NqptpRecord
from ..nqptp.shared_memory import MemoryReader
from ..senders import airptp, cliairplay

_S = 1_000_000_000
_TRIES = 9


class ClockRecordReader(Protocol):
    """Reads the time that a program has in its shared memory."""

    @property
    def path(self) -> Path:
        """The file."""

    def read_record(self) -> NqptpRecord | None:
        """The record now; None if the writer was in the way. Raises MemoryNotServed."""


def clock_offset_ns(local: LocalClock, clock: int) -> int:
    """A clock of this system less local time; 0 in virtual time."""
    return 0 if local.virtual else bracketed_offset(local.now_ns, lambda: time.clock_gettime_ns(clock))


class AirptpReader:
    """The time that airptp leads: it is CLOCK_MONOTONIC, so its memory only names the clock."""

    def __init__(self, local: LocalClock, directory: str = DIRECTORY) -> None:
        self.path = Path(directory) / airptp.NAME.removeprefix("/")
        self._local = local

    def status(self) -> airptp.AirptpStatus:
        """What the server writes about itself. Raises MemoryNotServed."""
        status = airptp.decode_status(_content(self.path, airptp.STATUS_SIZE))
        if status is None:
            raise MemoryNotServed(f"{self.path} is not a status of airptp 0.1")
        age_s = (self._local.now_ns() + clock_offset_ns(self._local, time.CLOCK_REALTIME)) // _S - status.written_s
        if age_s > airptp.STALE_S:
            raise MemoryNotServed(f"{self.path} is {age_s} s old: its server has ended")
        return status

    def read_record(self) -> NqptpRecord | None:
        """See `ClockRecordReader.read_record`."""
        offset_ns = clock_offset_ns(self._local, time.CLOCK_MONOTONIC)
        return NqptpRecord(clock=self.status().clock, local_ns=self._local.now_ns(), offset_ns=offset_ns)


class CliairplayReader:
    """The time in the memory of cliairplay's PTP daemon."""

    def __init__(self, local: LocalClock, directory: str = DIRECTORY) -> None:
        self.path = Path(directory) / cliairplay.NAME.removeprefix("/")
        self._local = local

    def read_record(self) -> NqptpRecord | None:
        """See `ClockRecordReader.read_record`."""
        for _ in range(_TRIES):
            octets = _content(self.path, cliairplay.SIZE)
            if octets[cliairplay.MAIN] == octets[cliairplay.SECONDARY]:
                break
        else:
            return None
        sample = cliairplay.decode_sample(octets)
        if sample is None:
            raise MemoryNotServed(f"{self.path} has no sample of version {cliairplay.VERSION}")
        realtime_offset_ns = clock_offset_ns(self._local, time.CLOCK_REALTIME)
        local_ns = sample.realtime_ns - realtime_offset_ns
        age_ns = self._local.now_ns() - local_ns
        if age_ns > cliairplay.STALE_NS:
            raise MemoryNotServed(f"{self.path} is {age_ns // _S} s old: its server has ended")
        offset_ns = sample.offset_ns + realtime_offset_ns
        since_ns = max(0, sample.started_ns - offset_ns)
        return NqptpRecord(clock=sample.clock, local_ns=local_ns, offset_ns=offset_ns, since_ns=since_ns)


class RunningServer:
    """A program that holds the ports of PTP."""

    def __init__(self, program: str, reader: ClockRecordReader) -> None:
        self.program = program
        """``nqptp``, ``airptp`` or ``cliairplay``."""
        self.reader = reader

    @property
    def alive(self) -> bool:
        """Whether its memory is served."""
        try:
            self.reader.read_record()
        except MemoryNotServed:
            return False
        return True

    def record(self) -> NqptpRecord | None:
        """Its time; all zero while it has none. None if the writer was in the way."""
        try:
            return self.reader.read_record()
        except MemoryNotServed:
            return NqptpRecord()


def find_running_server(
    local: LocalClock, directory: str, holders: Callable[[int], Sequence[str]], control_port: int
) -> tuple[RunningServer | None, list[str]]:
    """Which program serves already, and why each of the others does not. The ports of PTP are held by some program.

    The memory of nqptp says nothing about its age while no receiver plays: its control port does.
    """
    candidates: list[tuple[str, ClockRecordReader]] = [
        ("airptp", AirptpReader(local, directory)),
        ("cliairplay", CliairplayReader(local, directory)),
        ("nqptp", MemoryReader("/nqptp", directory)),
    ]
    reasons = []
    for program, reader in candidates:
        try:
            reader.read_record()
        except MemoryNotServed as reason:
            reasons.append(str(reason))
            continue
        if program != "nqptp" or holders(control_port):
            return RunningServer(program, reader), []
        reasons.append(f"{reader.path} exists, and no program has UDP port {control_port}")
    return None, reasons


def _content(path: Path, size: int) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            octets = os.pread(file, size + 1, 0)
        finally:
            os.close(file)
    except OSError as error:
        raise MemoryNotServed(f"cannot read {path}: {error.strerror}") from None
    if len(octets) != size:
        raise MemoryNotServed(f"{path} has {len(octets)} octets instead of {size}")
    return octets
