"""What the plugin registers, and that it stands on the kernel's public names alone."""

from __future__ import annotations

import subprocess
import sys

import phasegraph_compensation
from phasegraph import API_VERSION, CompensatorConfig
from phasegraph_compensation.none import NoneConfig
from phasegraph_compensation.sinc import SincResampler


def test_kinds() -> None:
    (compensator,) = phasegraph_compensation.register_compensators()
    assert (compensator.kind, compensator.config, compensator.api) == ("none", NoneConfig, API_VERSION)
    assert issubclass(compensator.config, CompensatorConfig)
    (resampler,) = phasegraph_compensation.register_resamplers()
    assert (resampler.kind, resampler.api) == ("sinc", API_VERSION)
    assert isinstance(resampler.factory(), SincResampler)
    assert CompensatorConfig().resampler == resampler.kind  # the kernel's default


def test_importing_it_is_light() -> None:
    check = "import sys, phasegraph_compensation; sys.exit(bool({'numpy', 'trio'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
