"""The simplest resampler: kind ``sim-linear``, for tests of sinks and sources without other plugins."""

from __future__ import annotations

import numpy as np

from ..._core.samples import Frames


class SimLinear:
    """Interpolates linearly between two frames."""

    reach = 1

    def render(self, frames: Frames, offset: float, ratio: float, out: Frames) -> None:
        """See `Resampler.render`."""
        at = offset + np.arange(len(out)) * ratio
        whole = at.astype(np.int64)
        between = (at - whole)[:, None]
        out[:] = frames[whole] * (1.0 - between) + frames[whole + 1] * between
