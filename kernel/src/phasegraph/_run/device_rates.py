"""Rates of devices that runs have measured, in a small file that outlives the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from .._core.compensation import DeviceRate
from .._core.state_file import StateFile, state_path
from .build import BuiltGraph, reference_clock
from .crossing import CrossingTap

_LEAST_SIGMA_PPB = 1e-3


class _StoredRate(msgspec.Struct, frozen=True):
    rate_ppb: float
    sigma_ppb: float


def state_file() -> Path:
    """Path of the file: in the state folder of the platform."""
    return state_path("devices.json")


class DeviceRateStore:
    """The rates of devices, by device and by kind of the clock that they were measured against.

    A file that is missing or damaged counts as empty. Rates that cannot be written are dropped with a warning.
    """

    def __init__(self, path: Path, warn: Callable[[str], object]) -> None:
        self._file = StateFile(path, _StoredRate)
        self._warn = warn
        self._stored = self._file.load()

    def remembered_rate(self, device: str, clock: str) -> DeviceRate | None:
        """Rate of a device against a kind of clock; None where no run has measured it."""
        stored = self._stored.get(_key(device, clock)) if device else None
        return None if stored is None else DeviceRate(stored.rate_ppb, max(stored.sigma_ppb, _LEAST_SIGMA_PPB))

    def save(self, built: BuiltGraph) -> None:
        """Store the rates that the crossings of a graph have measured: of those that were locked at the end."""
        fresh = dict(_measured(built))
        if not fresh:
            return
        try:
            self._file.keep(fresh)
        except OSError as error:
            self._warn(f"cannot store the rates of devices in {self._file.path}: {error.strerror}")


def _key(device: str, clock: str) -> str:
    # A sound card may be 10 ppm off one clock and 40 ppm off another.
    return f"{device}, by {clock}"


def _measured(built: BuiltGraph) -> Iterable[tuple[str, _StoredRate]]:
    for edge in built.edges:
        tap = edge.tap
        if isinstance(tap, CrossingTap) and tap.device:
            correction = tap.figures.latest.correction
            if correction.locked and correction.device:
                rate = correction.device
                clock = reference_clock(built.graph, edge.edge)
                yield _key(tap.device, clock), _StoredRate(rate.rate_ppb, rate.sigma_ppb)
