"""Peaks of samples, and levels in dBFS."""

from __future__ import annotations

import numpy as np

from phasegraph import Frames


def peak_of(frames: Frames) -> float:
    """The largest magnitude, full scale 1.0; 0.0 for no frames. NaN does not count."""
    if not frames.size:
        return 0.0
    return float(max(np.fmax.reduce(frames, axis=None), -np.fmin.reduce(frames, axis=None), 0.0))


SILENT_DBFS = -200.0
"""`dbfs` of digital silence: below any sample, and still a number for the report."""


def dbfs(magnitude: float) -> float:
    """A magnitude (full scale 1.0) in dBFS, to two digits."""
    if magnitude <= 1e-10:
        return SILENT_DBFS
    return round(20 * float(np.log10(magnitude)), 2)
