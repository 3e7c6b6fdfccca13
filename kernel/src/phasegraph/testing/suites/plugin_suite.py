"""Requirements for every plugin: it loads alone, has no effect when imported, and describes all of its kinds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import pytest

from ..._core.kinds import API_VERSION, AnyKind, ResamplerKind
from ..._core.role import Role
from ..._graph_file.describe_kinds import explain_kind
from ..._graph_file.json_schema import graph_schema
from ..._option_types import record_of
from ..._plugins.loader import CONTROL, GROUP, Registry, load
from .suite_base import Suite

# Runs in a fresh interpreter: observes the import of the plugin and the registration of its kinds.
_IMPORT = """
import json, os, sys, threading
import msgspec, numpy, trio
from phasegraph._plugins.loader import GROUP, load
load(["kernel"])
seen = []
watching = True

def audit(event, args):
    if watching and event in ("socket.__new__", "subprocess.Popen", "os.fork", "ctypes.dlopen"):
        seen.append(event)
    if watching and event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        seen.append(f"open for writing {args[0]!r}")

def open_files():
    return len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0

before = (threading.active_count(), open_files(), "asyncio" in sys.modules)
sys.addaudithook(audit)
registry = load([sys.argv[1]])
watching = False
after = (threading.active_count(), open_files(), "asyncio" in sys.modules)
for what, a, b in zip(("a thread", "an open file", "asyncio"), before, after):
    if b > a:
        seen.append(what)
print(json.dumps(seen))
"""


COMMON = ("on-failure", "label", "description", "fallback", "fallback-after", "input", "compensator", "resampler")
"""Options that every kind of a role has: Phasegraph's documentation describes them."""


class PluginSuite(Suite):
    """Checks of a plugin as a whole. A subclass gives its ``entry_point``."""

    entry_point: ClassVar[str]
    """Name of the entry point in the group ``phasegraph.plugins``."""

    @pytest.fixture
    def entry(self) -> EntryPoint:
        """The plugin's entry point."""
        found = [entry for entry in entry_points(group=GROUP) if entry.name == self.entry_point]
        assert found, f"no installed distribution has an entry point {self.entry_point!r} in the group {GROUP!r}"
        return found[0]

    @pytest.fixture
    def registry(self) -> Registry:
        """The plugin's kinds alone."""
        return load([self.entry_point])

    @pytest.fixture
    def kinds(self, registry: Registry) -> list[tuple[Role, AnyKind]]:
        """Every kind of the plugin, with its role."""
        names = [name.split("/", 1) for info in registry.plugins for name in info.kinds]
        return [(Role(role), registry.kinds(Role(role))[kind]) for role, kind in names if role != CONTROL]

    def test_loads_alone(self, registry: Registry) -> None:
        """It loads without any other plugin and without an error."""
        assert [(info.status, info.reason) for info in registry.plugins] == [("ok", "")]

    def test_loads_beside_the_others(self) -> None:
        """It registers no kind that another installed plugin has."""
        infos = [info for info in load().plugins if info.name == self.entry_point]
        assert [(info.status, info.reason) for info in infos] == [("ok", "")]

    def test_import_does_nothing(self, entry: EntryPoint) -> None:
        """Its import and registration open no socket, file, library or thread, and need no asyncio."""
        command = [sys.executable, "-B", "-W", "ignore", "-c", _IMPORT, self.entry_point]
        paths = os.pathsep.join(path for path in sys.path if path)
        result = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths}
        )
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout) == []

    def test_offers_something(self, kinds: list[tuple[Role, AnyKind]], entry: EntryPoint) -> None:
        """It has at least one kind or command."""
        commands = [command for command in entry_points(group="phasegraph.commands") if command.module == entry.module]
        assert kinds or commands

    def test_kinds_are_for_this_api(self, kinds: list[tuple[Role, AnyKind]]) -> None:
        """Every kind is for the kernel's API version."""
        assert {kind.api for _, kind in kinds} <= {API_VERSION}

    def test_kinds_are_described(self, kinds: list[tuple[Role, AnyKind]]) -> None:
        """Every summary is a sentence, and every option has a description of its own."""
        for role, kind in kinds:
            sentence = kind.summary[:1].isupper() and kind.summary.endswith(".")
            assert sentence, f"{role}/{kind.kind}: {kind.summary!r} is not a sentence with its full stop"
            if not isinstance(kind, ResamplerKind):
                for option in record_of(kind.config).options:
                    assert option.description, f"{role}/{kind.kind}: option {option.name} has no description"
                assert kind.example.strip(), f"{role}/{kind.kind} has no example"

    def test_can_be_explained(self, kinds: list[tuple[Role, AnyKind]], registry: Registry) -> None:
        """``kernel explain`` and ``kernel schema`` describe every option."""
        for role, kind in kinds:
            assert explain_kind(role, kind, 80)
        json.dumps(graph_schema(registry))

    def test_readme_names_every_option(self, entry: EntryPoint, kinds: list[tuple[Role, AnyKind]]) -> None:
        """README.md beside pyproject.toml, if the source tree is there, names every kind and option."""
        readme = _readme_of(entry)
        if readme is None:
            pytest.skip("installed without its source tree")
        text = readme.read_text()
        for role, kind in kinds:
            assert f"`{kind.kind}`" in text, f"{readme} does not name {role}/{kind.kind}"
            if not isinstance(kind, ResamplerKind):
                for option in record_of(kind.config).options:
                    common = option.name in COMMON
                    assert common or f"`{option.name}`" in text, f"{readme} does not name {kind.kind}'s {option.name}"


def _readme_of(entry: EntryPoint) -> Path | None:
    spec = find_spec(entry.module)
    if spec is None or spec.origin is None:
        return None
    for folder in Path(spec.origin).parents[:4]:
        if (folder / "pyproject.toml").exists() and (folder / "README.md").exists():
            return folder / "README.md"
    return None
