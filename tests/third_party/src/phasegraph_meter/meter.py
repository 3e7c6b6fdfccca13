"""The sink: takes what is due, and remembers how loud it was."""

from typing import Annotated

import numpy as np
import trio
from msgspec import Meta

from phasegraph import Duration, SinkConfig, SinkKind


class LevelMeterConfig(SinkConfig, frozen=True, kw_only=True):
    interval: Annotated[Duration, Meta(description="How often the meter looks.", ge=1_000_000)] = 50_000_000


class LevelMeter:
    def __init__(self, config, build, input):
        self._interval = config.interval
        self._input = input
        self._frames = 0
        self._peaks = np.zeros(input.format.channels)

    async def run(self, ctx, *, task_status=trio.TASK_STATUS_IGNORED):
        task_status.started()
        while (frames := self._input.read_due(ctx.local.now_ns(), limit=1 << 20)) is not None:
            if len(frames):
                self._frames += len(frames)
                self._peaks = np.maximum(self._peaks, np.abs(frames).max(axis=0))
            await ctx.sleep(self._interval)

    def metrics(self):
        dbfs = 20 * np.log10(np.maximum(self._peaks, 1e-8))
        peaks = {f"channel_{number}_peak_dbfs": round(float(peak), 2) for number, peak in enumerate(dbfs, 1)}
        return {"frames_in": self._frames, **peaks}


KIND = SinkKind(
    kind="level-meter",
    summary="Measures the peak of every channel.",
    config=LevelMeterConfig,
    factory=LevelMeter,
    domain="none",
    example='[sinks.meter]\nkind = "level-meter"\ninput = "stage"\n',
)
