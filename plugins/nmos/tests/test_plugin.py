"""The plugin as the kernel sees it."""

from __future__ import annotations

from phasegraph.testing import PluginSuite


class TestNmosPlugin(PluginSuite):
    entry_point = "nmos"
