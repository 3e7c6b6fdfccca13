"""`kernel`, and every sample that a ptp clock takes written down: python _ptp_recorder.py FILE run GRAPH ...

A line a sample: S or D, local time, reference time, correction (2**-16 ns).
"""

from __future__ import annotations

import sys
from pathlib import Path

from phasegraph._cli import main
from phasegraph_ptp.estimators import ClockEstimator
from phasegraph_ptp.measurements import DelaySample, Sample, SyncSample


def record(path: Path) -> None:
    """From now on."""
    file = path.open("w", buffering=1)
    add = ClockEstimator.add_sample

    def written(self: ClockEstimator, sample: Sample) -> None:
        if isinstance(sample, SyncSample | DelaySample):
            kind = "S" if isinstance(sample, SyncSample) else "D"
            file.write(f"{kind},{sample.local_ns},{sample.reference_ns},{sample.correction}\n")
        add(self, sample)

    ClockEstimator.add_sample = written  # type: ignore[method-assign]


if __name__ == "__main__":
    record(Path(sys.argv[1]))
    sys.argv = ["kernel", *sys.argv[2:]]
    main()
