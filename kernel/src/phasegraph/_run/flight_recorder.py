"""The flight recorder of a run: writes the packets of the last seconds where something went wrong.

What asks for a capture: concealed frames of a source, a jump of a clock that was locked, or a request. After a trigger
it waits for a second, so that what follows is in the capture too.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import trio

from .._core.clock import NS_PER_S, ClockEstimate, ClockState
from .._core.config import RecorderConfig
from .._core.errors import NodeError
from .._core.localtime import bracketed_offset
from .._core.node import ClockSource
from .._core.role import Role
from .build import BuiltGraph
from .context import Services
from .packet_memory import MemorySnapshot, PacketMemory
from .pcapng_writer import Datagrams, headed_datagram, packet, packets, section

SAMPLE_S = 0.5
AFTER_S = 1.0
"""How much of what follows a trigger is in its capture."""
_TRUSTED = (ClockState.LOCKED, ClockState.HOLDOVER)
_COMMENT = (
    "{reason}. Stamps are local time (CLOCK_MONOTONIC_RAW) {shift} ns. IP and UDP headers are composed: TTL, DSCP and "
    "checksums of UDP are not known. Packets may be cut to fit into the memory."
)


class CaptureError(Exception):
    """A capture cannot be written. The message is a sentence."""


class ClockSample(msgspec.Struct, frozen=True, gc=False):
    """A clock's estimate at one time."""

    node: str
    local_ns: int
    estimate: ClockEstimate

    def comment(self, shift_ns: int) -> str:
        """In words that ``kernel verify`` reads too. ``shift_ns``: the file's stamps less local time."""
        estimate = self.estimate
        ahead_ns = estimate.reference_at(self.local_ns) - self.local_ns - shift_ns
        return (
            f"clock {self.node}: {estimate.state}, timescale {estimate.timescale}, reference = stamp + {ahead_ns} ns, "
            f"rate {estimate.rate_ppb:+.3f} ppb, sigma {estimate.sigma_ns:.0f} ns, bound {estimate.bound_ns:.0f} ns"
            + (f", grandmaster {estimate.grandmaster}" if estimate.grandmaster else "")
        )


class FlightRecorder:
    """Watches one run, and writes captures. Lives on the control plane."""

    def __init__(
        self, config: RecorderConfig, memory: PacketMemory, built: BuiltGraph, services: Services, *, run: str
    ) -> None:
        self._config = config
        self._memory = memory
        self._built = built
        self._services = services
        self._run = re.sub(r"[^A-Za-z0-9_.-]", "_", run)
        self._samples: deque[ClockSample] = deque()
        self._concealed: dict[str, int] = {}
        self._estimates: dict[str, ClockEstimate] = {}
        self._last_capture_ns: int | None = None
        self._captures = 0
        self._writing = trio.Lock()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await trio.sleep(SAMPLE_S)
            now_ns = self._services.local.now_ns()
            reason = self._look(now_ns)
            if reason is None or not self._may_capture(now_ns):
                continue
            self._last_capture_ns = now_ns
            self._captures += 1
            await trio.sleep(AFTER_S)
            self._look(self._services.local.now_ns())  # what happened meanwhile is in this capture
            try:
                await self.capture(reason)
            except CaptureError as error:
                self._services.log.error(f"cannot write a capture: {error}")

    async def capture(self, reason: str) -> Path:
        """Write what the memory holds. Returns the file. Raises CaptureError."""
        async with self._writing:
            local = self._services.local
            shift_ns = 0 if local.virtual else bracketed_offset(local.now_ns, time.time_ns)
            stamp = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=(local.now_ns() + shift_ns) // 1000)
            words = re.sub(r"[^A-Za-z0-9]+", "-", reason).strip("-").lower()[:60]
            path = Path(self._config.folder) / f"{self._run}-{stamp:%Y%m%dT%H%M%S.%f}Z-{words}.pcapng"
            write = partial(write_capture, path, self._memory.snapshot(), list(self._samples), shift_ns, reason)
            try:
                count = await self._services.threads.run("recorder", write)
            except OSError as error:
                raise CaptureError(f"{path}: {error.strerror or error}") from error
            except NodeError as error:
                raise CaptureError(str(error)) from error
            self._services.event("recorder", "captured", {"file": str(path), "packets": count, "cause": reason})
            return path

    def _may_capture(self, now_ns: int) -> bool:
        last_ns = self._last_capture_ns
        return self._captures < self._config.most and (last_ns is None or now_ns - last_ns >= self._config.every)

    def _look(self, now_ns: int) -> str | None:
        # Notes what the clocks say, and returns what asks for a capture.
        reason = None
        for node in list(self._built.nodes.values()):
            if node.role is Role.CLOCK:
                reason = self._look_at_clock(node.id, cast(ClockSource, node.node).estimate(), now_ns) or reason
            elif node.role is Role.SOURCE:
                concealed = node.node.metrics().get("frames_concealed", 0)
                before = self._concealed.get(node.id, 0)
                self._concealed[node.id] = int(concealed)
                if int(concealed) > before:
                    reason = reason or f"frames of {node.id} were concealed"
        while self._samples and self._samples[0].local_ns < now_ns - self._config.last:
            self._samples.popleft()
        return reason

    def _look_at_clock(self, id: str, estimate: ClockEstimate, now_ns: int) -> str | None:
        before = self._estimates.get(id)
        self._estimates[id] = estimate
        self._samples.append(ClockSample(id, now_ns, estimate))
        if before is not None and before.state in _TRUSTED and estimate.jumped_since(before):
            return f"clock {id} jumped"
        return None


def write_capture(path: Path, snapshot: MemorySnapshot, samples: list[ClockSample], shift_ns: int, reason: str) -> int:
    """Write a capture file; returns how many packets it has. Blocking. Raises OSError, also where the file exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640), "wb") as file:
        comment = _COMMENT.format(reason=reason[:1].upper() + reason[1:], shift=f"{shift_ns:+d}")
        file.write(section("phasegraph", comment))
        singles = [(one.stamp_ns, headed_datagram(one.data, one.source, one.destination)) for one in snapshot.datagrams]
        for rows in snapshot.batches:
            rows = _in_order(rows)
            stamps = rows.stamp_ns
            # Within the rows: datagrams of clock protocols, and packets that carry a comment.
            end_ns = int(stamps[-1])
            inserted = [single for single in singles if single[0] <= end_ns]
            singles = singles[len(inserted) :]
            cuts: list[tuple[int, bytes]] = [
                (int(np.searchsorted(stamps, at_ns)), packet(at_ns + shift_ns, headed)) for at_ns, headed in inserted
            ]
            commented: dict[int, str] = {}
            for sample in samples:
                at = int(np.searchsorted(stamps, sample.local_ns))
                if at < len(rows) and (at or sample.local_ns > stamps[0] - NS_PER_S):
                    commented[at] = "\n".join(filter(None, (commented.get(at), sample.comment(shift_ns))))
            samples = [sample for sample in samples if sample.local_ns > end_ns]
            count += len(rows) + len(inserted)
            _write_rows(file, _shifted(rows, shift_ns), cuts, commented)
        for at_ns, headed in singles:
            nearest = next((sample for sample in samples if sample.local_ns >= at_ns), None)
            if nearest is not None:
                samples.remove(nearest)
            file.write(packet(at_ns + shift_ns, headed, nearest.comment(shift_ns) if nearest else ""))
        count += len(singles)
    return count


def _write_rows(file: object, rows: Datagrams, cuts: list[tuple[int, bytes]], commented: dict[int, str]) -> None:
    write = file.write  # type: ignore[attr-defined]
    points = sorted(
        [(at, 0, block) for at, block in cuts] + [(at, 1, text) for at, text in commented.items()], key=_key
    )
    done = 0
    for at, _, what in points:
        if at > done:
            write(packets(_part(rows, done, at)))
            done = at
        if isinstance(what, bytes):
            write(what)
        else:
            row = _part(rows, at, at + 1)
            headed = packets(row)[28:-4]
            captured = 28 + min(int(row.length[0]), row.data.shape[1])
            write(packet(int(row.stamp_ns[0]), headed[:captured], what, 28 + int(row.length[0])))
            done = at + 1
    if done < len(rows):
        write(packets(_part(rows, done, len(rows))))


def _key(point: tuple[int, int, object]) -> tuple[int, int]:
    return point[0], point[1]


def _part(rows: Datagrams, first: int, stop: int) -> Datagrams:
    return _indexed(rows, slice(first, stop))


def _in_order(rows: Datagrams) -> Datagrams:
    return _indexed(rows, np.argsort(rows.stamp_ns, kind="stable"))


def _indexed(rows: Datagrams, which: object) -> Datagrams:
    names = ("data", "length", "stamp_ns", "source", "source_port", "destination", "destination_port")
    return Datagrams(*(getattr(rows, name)[which] for name in names))


def _shifted(rows: Datagrams, shift_ns: int) -> Datagrams:
    shifted = _indexed(rows, slice(None))
    shifted.stamp_ns = rows.stamp_ns + shift_ns
    return shifted
