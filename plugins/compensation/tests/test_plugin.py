"""What the plugin registers, and that it stands on the kernel's public names alone."""

from __future__ import annotations

import subprocess
import sys

import phasegraph_compensation
from phasegraph import API_VERSION, CompensatorConfig, StreamingResampler
from phasegraph_compensation.none import NoneConfig
from phasegraph_compensation.sinc import SincResampler


def test_kinds() -> None:
    (compensator,) = phasegraph_compensation.register_compensators()
    assert (compensator.kind, compensator.config, compensator.api) == ("none", NoneConfig, API_VERSION)
    assert issubclass(compensator.config, CompensatorConfig)
    sinc, soxr = phasegraph_compensation.register_resamplers()
    assert [(kind.kind, kind.api) for kind in (sinc, soxr)] == [("sinc", API_VERSION), ("soxr", API_VERSION)]
    assert isinstance(sinc.factory(), SincResampler)
    assert not isinstance(sinc.factory(), StreamingResampler)
    assert isinstance(soxr.factory(), StreamingResampler)
    assert CompensatorConfig().resampler == sinc.kind  # the kernel's default


def test_importing_it_is_light() -> None:
    check = "import sys, phasegraph_compensation; sys.exit(bool({'numpy', 'trio'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
