"""Recorded stamps of real packets, as stories for an estimator. Both ends shared a clock, so the truth is known."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins" / "ptp" / "tests"))

from estimators import links, world

from phasegraph_ptp.measurements import DelaySample, Sample, SyncSample

Array = NDArray[np.float64]

LOCAL_PPM = 23.0
"""The follower's clock is made to run fast by this, and to count from its start; in the traces it is the truth."""
FLOOR = 0.05
ANSWERED_NS = 600_000
"""When the answer to a Delay_Req is there, after it was received."""


class Recorded:
    """A file of exchanges: ``S,sequence,t1,correction,t2`` and ``D,sequence,t3,correction,t4``, in ns."""

    def __init__(self, file: Path, asymmetry_ns: float) -> None:
        with file.open() as lines:
            rows = [(row[0], int(row[2]), int(row[4])) for row in csv.reader(lines)]
        self._began = min(row[1] for row in rows)
        self.asymmetry_ns = asymmetry_ns
        self.sync_s = 0.125
        self.events: list[tuple[float, Sample | world.Change]] = []
        for kind, first, second in rows:
            if kind == "S":
                at = float(second - self._began)
                self.events.append((at, SyncSample(reference_ns=first, local_ns=self.local_ns(at))))
            else:
                local_ns = self.local_ns(first - self._began)
                at = float(second - self._began + ANSWERED_NS)
                self.events.append((at, DelaySample(reference_ns=second, local_ns=local_ns)))
        self.events.sort(key=lambda event: event[0])

    def local_ns(self, true_ns: float) -> int:
        """See `figures.Story`."""
        return world.BOOT_NS + round(true_ns * (1 + LOCAL_PPM / 1e6))

    def reference_ns(self, true_ns: float, changes: int) -> int:
        """See `figures.Story`."""
        return self._began + round(true_ns)


def recordings(folder: Path) -> dict[str, Recorded]:
    """The exchanges of a folder, by name."""
    return {
        file.stem: Recorded(file, asymmetry_ns=500_000.0 if "asym" in file.stem else 0.0)
        for file in sorted(folder.glob("relay_*.csv"))
    }


def paths(folder: Path) -> dict[str, links.Path]:
    """Paths whose delays are drawn from those measured (``kind,sent,kernel stamp,user stamp``), kernel's and user's."""
    found = {}
    for file in sorted(folder.glob("data_*.csv")):
        with file.open() as lines:
            rows = list(csv.DictReader(lines))
        for stamp, there, back in (("kernel", ("b", "a"), ("b", "a")), ("user", ("ub", "a"), ("b", "ub"))):
            forth, again = _delays(rows, "S", *there), _delays(rows, "D", *back)
            # A network stack is not symmetric either: what the least that it takes differs by cannot be seen.
            asymmetry = float(np.quantile(forth, FLOOR) - np.quantile(again, FLOOR)) / 2
            found[f"{file.stem}, {stamp}"] = links.Path(links.empirical(forth), links.empirical(again), asymmetry)
    return found


def _delays(rows: list[dict[str, str]], kind: str, later: str, earlier: str) -> Array:
    return np.array([float(int(row[later]) - int(row[earlier])) for row in rows if row["kind"] == kind])
