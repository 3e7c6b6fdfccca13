"""What runs have learned of devices: how fast each of them is, in a small file that outlives the run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from platformdirs import user_state_path

from .._core.compensation import DeviceRate
from .build import BuiltEdge, BuiltGraph
from .crossing import CrossingTap

_MOST = 200
"""Devices that are kept: the newest."""
_LEAST_SIGMA_PPB = 1e-3


class _Known(msgspec.Struct, frozen=True):
    rate_ppb: float
    sigma_ppb: float


def state_file() -> Path:
    """Where it is kept: the state folder of the platform (``$XDG_STATE_HOME/phasegraph`` on Linux)."""
    return user_state_path("phasegraph", appauthor=False) / "devices.json"


class DeviceRateStore:
    """The rates of devices, by device and by kind of the clock that they were measured against.

    A file that is missing or damaged is an empty one; what cannot be written is told to ``warn`` and forgotten.
    """

    def __init__(self, path: Path, warn: Callable[[str], object]) -> None:
        self._path = path
        self._warn = warn

    def attach(self, built: BuiltGraph) -> None:
        """Let the crossings of a graph that is about to run begin with what is known."""
        known = self._read()
        for edge in built.edges:
            tap = edge.tap
            if isinstance(tap, CrossingTap):
                tap.recall = _recall(known, edge, built)

    def keep(self, built: BuiltGraph) -> None:
        """Write down what the crossings have learned: those that were locked at the end."""
        fresh = dict(_learned(built))
        if not fresh:
            return
        known = {name: rate for name, rate in self._read().items() if name not in fresh} | fresh
        newest = dict(list(known.items())[-_MOST:])
        beside = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(msgspec.json.format(msgspec.json.encode(newest), indent=2))
            beside.replace(self._path)
        except OSError as error:
            self._warn(f"cannot keep what was learned of devices in {self._path}: {error.strerror}")

    def _read(self) -> dict[str, _Known]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, _Known])
        except (OSError, msgspec.MsgspecError):
            return {}


def _name(edge: BuiltEdge, tap: CrossingTap, built: BuiltGraph) -> str:
    # A sound card may be 10 ppm off one clock and 40 ppm off another.
    domain = built.graph.nodes[edge.edge.source].domain or ""
    clock = built.graph.nodes.get(domain)
    return f"{tap.device}, by {clock.kind.kind if clock is not None else domain}"


def _recall(known: dict[str, _Known], edge: BuiltEdge, built: BuiltGraph) -> Callable[[], DeviceRate | None]:
    def recall() -> DeviceRate | None:
        assert isinstance(edge.tap, CrossingTap)
        found = known.get(_name(edge, edge.tap, built)) if edge.tap.device else None
        return None if found is None else DeviceRate(found.rate_ppb, max(found.sigma_ppb, _LEAST_SIGMA_PPB))

    return recall


def _learned(built: BuiltGraph) -> Iterable[tuple[str, _Known]]:
    for edge in built.edges:
        tap = edge.tap
        if isinstance(tap, CrossingTap) and tap.device and tap.correction.locked and tap.correction.device:
            rate = tap.correction.device
            yield _name(edge, tap, built), _Known(rate.rate_ppb, rate.sigma_ppb)
