"""Loading plugins one by one: a broken plugin is listed with the reason, and the others work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Literal, TypeVar

import msgspec
import pluggy

from .._core.kinds import (
    API_VERSION,
    AnyKind,
    ClockKind,
    CompensatorKind,
    ControlProcessKind,
    RegisteredKind,
    ResamplerKind,
    SinkKind,
    SourceKind,
    TransportKind,
)
from .._core.role import Role
from .._option_types import Record, json_schema, record_of
from .entry_points import EntryPoint, entry_points
from .specs import PROJECT, Specs

GROUP = "phasegraph.plugins"
CONTROL = "control"
"""The table of a graph with the programs beside a run."""
DISABLE_VARIABLE = "PHASEGRAPH_DISABLED_PLUGINS"
"""Environment variable: names of plugins, separated by commas, that are not loaded."""


K = TypeVar("K", bound=RegisteredKind)


class PluginInfo(msgspec.Struct, frozen=True):
    """One installed plugin, as ``kernel plugins`` lists it."""

    name: str
    version: str
    kinds: tuple[str, ...]
    """``role/kind``, such as ``sinks/file``."""
    status: Literal["ok", "broken"]
    reason: str = ""


class Registry:
    """The installed kinds, by role, and the plugins that they come from."""

    def __init__(self, *, check_options: bool = True) -> None:
        """``check_options``: a plugin with options that cannot be described is broken. A graph needs the options of a
        few kinds, and finds by itself what is wrong with them."""
        self._check_options = check_options
        self.clocks: dict[str, ClockKind[Any]] = {}
        self.sources: dict[str, SourceKind[Any]] = {}
        self.compensators: dict[str, CompensatorKind[Any]] = {}
        self.resamplers: dict[str, ResamplerKind] = {}
        self.sinks: dict[str, SinkKind[Any]] = {}
        self.control_processes: dict[str, ControlProcessKind] = {}
        self.plugins: list[PluginInfo] = []
        self.hooks = pluggy.PluginManager(PROJECT)
        self.hooks.add_hookspecs(Specs)

    def kinds(self, role: Role) -> dict[str, AnyKind]:
        """The kinds of one role, by name."""
        kinds: dict[str, AnyKind] = getattr(self, role)
        return kinds

    def roles_of(self, kind: str) -> list[tuple[Role, AnyKind]]:
        """Every (role, descriptor) that has this name."""
        return [(role, self.kinds(role)[kind]) for role in Role if kind in self.kinds(role)]

    def implementations(self, hook: str, **arguments: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Every plugin's own implementation of a hook: the plugin's name, and what calls it.

        One by one and not through pluggy's caller, where one that raises hides those after it.
        """
        for implementation in getattr(self.hooks.hook, hook).get_hookimpls():
            wanted = [arguments[name] for name in implementation.argnames]
            yield implementation.plugin_name, partial(implementation.function, *wanted)

    def add(self, name: str, version: str, plugin: object) -> None:
        """Add a plugin with all its kinds; if anything about it is wrong, add only its name and the reason."""
        try:
            if self.hooks.has_plugin(name):
                raise RuntimeError("another plugin has this name")
            offered: dict[tuple[Role, str], AnyKind] = {}
            for role, kind in _kinds_of(plugin):
                self._check_offer(role, kind, self.kinds(role))
                if (role, kind.kind) in offered:
                    raise RuntimeError(f"{role}/{kind.kind} is registered twice")
                offered[role, kind.kind] = kind
            processes = _call_hook(plugin, "register_control_processes", ControlProcessKind)
            for process in processes:
                self._check_offer(CONTROL, process, self.control_processes)
            self._register(name, plugin)
        except Exception as error:  # a plugin's code may raise anything
            self.plugins.append(PluginInfo(name, version, (), "broken", _reason(error)))
            return
        for (role, name_of_kind), kind in offered.items():
            self.kinds(role)[name_of_kind] = kind
        self.control_processes.update({process.kind: process for process in processes})
        names = [*map("/".join, offered), *(f"{CONTROL}/{process.kind}" for process in processes)]
        self.plugins.append(PluginInfo(name, version, tuple(names), "ok"))

    def _register(self, name: str, plugin: object) -> None:
        try:
            self.hooks.register(plugin, name=name)
            self.hooks.check_pending()
        except Exception:
            if self.hooks.has_plugin(name):
                self.hooks.unregister(name=name)
            raise

    def _check_offer(self, table: str, kind: AnyKind | ControlProcessKind, known: Mapping[str, object]) -> None:
        if kind.api != API_VERSION:
            raise RuntimeError(
                f"{kind.kind!r} needs plugin API {kind.api}, and this Phasegraph has {API_VERSION}: "
                f"install a matching version of the plugin"
            )
        if kind.kind in known:
            raise RuntimeError(f"{table}/{kind.kind} is already provided by another plugin")
        if self._check_options and not isinstance(kind, ResamplerKind):
            options_record(kind.config)


def options_record(config: type[msgspec.Struct]) -> Record:
    """The options of a kind. Raises anything for those that cannot be described."""
    record = record_of(config)
    if config not in _described:
        json_schema(record)
        _described.add(config)
    return record


_described: set[object] = set()
"""Options that have been checked: they are part of a class, and do not change."""

_DESCRIPTORS: dict[Role, type[AnyKind]] = {
    Role.CLOCK: ClockKind,
    Role.SOURCE: SourceKind,
    Role.COMPENSATOR: CompensatorKind,
    Role.RESAMPLER: ResamplerKind,
    Role.SINK: SinkKind,
}
"""What the hook ``register_ROLE`` returns."""


def _kinds_of(plugin: object) -> list[tuple[Role, AnyKind]]:
    offered: list[tuple[Role, AnyKind]] = [
        (role, kind)
        for role, expected in _DESCRIPTORS.items()
        for kind in _call_hook(plugin, f"register_{role}", expected)
    ]
    for transport in _call_hook(plugin, "register_transports", TransportKind):
        offered += [(Role.SOURCE, transport.receiver), (Role.SINK, transport.sender)]
    return offered


def _call_hook(plugin: object, hook: str, expected: type[K]) -> list[K]:
    # The plugin is not registered yet, so `Registry.implementations` does not have it.
    implementation = getattr(plugin, hook, None)
    if implementation is None:
        return []
    if getattr(implementation, f"{PROJECT}_impl", None) is None:
        raise RuntimeError(f"{hook} lacks the @hookimpl mark")
    offered: list[K] = []
    for kind in implementation():
        if not isinstance(kind, expected):
            raise TypeError(f"{hook} returned {kind!r}, expected {expected.__name__}")
        offered.append(kind)
    return offered


def _reason(error: BaseException) -> str:
    if isinstance(error, pluggy.PluginValidationError):
        return f"{error}: the plugin may need a newer version of Phasegraph"
    return f"{type(error).__name__}: {error}"


def load(only: Iterable[str] | None = None, *, check_options: bool = True) -> Registry:
    """Find and load the installed plugins; ``only`` limits them to these names. ``check_options``: see `Registry`."""
    registry = Registry(check_options=check_options)
    disabled = {name.strip() for name in os.environ.get(DISABLE_VARIABLE, "").split(",")}
    wanted = None if only is None else set(only)
    for entry in sorted(entry_points(GROUP), key=lambda entry: entry.name):
        if entry.name in disabled or (wanted is not None and entry.name not in wanted):
            continue
        _load_one(registry, entry)
    return registry


def _load_one(registry: Registry, entry: EntryPoint) -> None:
    try:
        plugin = entry.load()
    except (Exception, SystemExit) as error:  # a plugin's import may raise anything
        registry.plugins.append(PluginInfo(entry.name, entry.version, (), "broken", f"import: {_reason(error)}"))
        return
    registry.add(entry.name, entry.version, plugin)
