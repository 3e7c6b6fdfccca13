"""Peaks and levels."""

import numpy as np

from phasegraph_sinks.peak_level import SILENT_DBFS, dbfs, peak_of


def test_peak():
    assert peak_of(np.zeros((0, 2), np.float32)) == 0.0
    assert peak_of(np.array([[0.25, -0.5], [np.nan, 0.1]], np.float32)) == 0.5
    assert dbfs(0.5) == -6.02
    assert dbfs(0.0) == SILENT_DBFS
