"""What the plugin registers, and that it stands on the kernel's public names alone."""

from __future__ import annotations

import subprocess
import sys

import phasegraph_compensation
from phasegraph import API_VERSION, CompensatorConfig, StreamingResampler
from phasegraph_compensation.buffer_feedback import BufferFeedbackConfig
from phasegraph_compensation.feed_forward import FeedForwardConfig
from phasegraph_compensation.none import NoneConfig
from phasegraph_compensation.resamplers.sinc import SincResampler


def test_kinds() -> None:
    configs = {kind.kind: kind.config for kind in phasegraph_compensation.register_compensators()}
    assert configs == {
        "combined": FeedForwardConfig,
        "ptp-feed-forward": FeedForwardConfig,
        "buffer-feedback": BufferFeedbackConfig,
        "none": NoneConfig,
    }
    for kind in phasegraph_compensation.register_compensators():
        assert kind.api == API_VERSION
        assert issubclass(kind.config, CompensatorConfig)


def test_resamplers() -> None:
    sinc, soxr = phasegraph_compensation.register_resamplers()
    assert [(kind.kind, kind.api) for kind in (sinc, soxr)] == [("sinc", API_VERSION), ("soxr", API_VERSION)]
    assert isinstance(sinc.factory(), SincResampler)
    assert not isinstance(sinc.factory(), StreamingResampler)
    assert isinstance(soxr.factory(), StreamingResampler)
    assert CompensatorConfig().resampler == sinc.kind  # the kernel's default


def test_importing_it_is_light() -> None:
    check = "import sys, phasegraph_compensation; sys.exit(bool({'numpy', 'trio'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
