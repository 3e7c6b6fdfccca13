"""Finding the kind that a table names, and the remedy if it does not exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.invocation import install_command
from .._core.kinds import AnyKind
from .._core.role import Role
from .._option_types import Diagnostics
from .._option_types.wording import did_you_mean, dotted_path, format_value, join_words
from .._plugins.loader import Registry

FIRST_PARTY: Mapping[Role, Mapping[str, str]] = {
    Role.CLOCK: {**dict.fromkeys(("ptp", "ptp4l"), "ptp"), **dict.fromkeys(("airplay", "nqptp"), "airplay-timing")},
    Role.SOURCE: {"aes67": "aes67", **dict.fromkeys(("soundcard", "file", "tone"), "sinks")},
    Role.COMPENSATOR: dict.fromkeys(("buffer-feedback", "ptp-feed-forward", "combined", "none"), "compensation"),
    Role.RESAMPLER: dict.fromkeys(("sinc", "soxr"), "compensation"),
    Role.SINK: {"aes67": "aes67", **dict.fromkeys(("soundcard", "file", "http", "meter", "null"), "sinks")},
}
"""The plugin of this project that has a kind, by role and kind; its distribution is phasegraph-PLUGIN."""

CONTROL_PLUGINS: Mapping[str, str] = {"nmos": "nmos"}
"""The same for programs beside a run."""


def find_kind(
    registry: Registry, role: Role, table: Mapping[str, Any], at: str, diagnostics: Diagnostics
) -> AnyKind | None:
    """The descriptor of a table's ``kind``; None, with a problem reported, if there is none."""
    path = dotted_path(at, "kind")
    known = registry.kinds(role)
    if "kind" not in table:
        diagnostics.error(path, f"missing: expected the kind of this {role.singular}", _choices(registry, role))
        return None
    name = table["kind"]
    if not isinstance(name, str):
        diagnostics.unexpected(path, f"the kind of this {role.singular} as text", name)
        return None
    if name not in known:
        diagnostics.error(path, *unknown_kind(registry, role, name))
        return None
    return known[name]


def unknown_kind(registry: Registry, role: Role, name: str) -> tuple[str, str]:
    """Message and hint for a kind that a role does not have."""
    elsewhere = [other for other, _ in registry.roles_of(name)]
    if elsewhere:
        roles = join_words([f"a {other.singular}" for other in elsewhere])
        tables = join_words([f"[{other}.NAME]" for other in elsewhere if other is not Role.RESAMPLER])
        return (
            f"kind {format_value(name)} is {roles}, not a {role.singular}",
            f"its table is {tables}" if tables else "",
        )
    hints = (missing_plugin(registry, role, name), did_you_mean(name, registry.kinds(role)), _choices(registry, role))
    return f"unknown kind {format_value(name)} of {role.singular}", next(hint for hint in hints if hint)


def nearest_kind(registry: Registry, name: str) -> str:
    """A hint for a kind that no role has; empty if no kind is similar."""
    everywhere = [kind for role in FIRST_PARTY for kind in registry.kinds(role)]
    return missing_plugin(registry, None, name) or did_you_mean(name, everywhere)


def missing_plugin(registry: Registry, role: Role | None, kind: str) -> str:
    """A hint that names the plugin that has a kind; empty if it is not one of this project's."""
    found = next((other for other in (role, *FIRST_PARTY) if other and kind in FIRST_PARTY[other]), None)
    if found is None:
        return ""
    what = "it" if found == role else f"it is a {found.singular}, and"
    return _missing(registry, FIRST_PARTY[found][kind], what)


def unknown_control_process(registry: Registry, name: str) -> tuple[str, str]:
    """Message and hint for a table of ``[control]`` that no plugin has."""
    known = sorted(registry.control_processes)
    hint = _missing(registry, CONTROL_PLUGINS[name], "it") if name in CONTROL_PLUGINS else did_you_mean(name, known)
    installed = f"installed ones are {join_words(known, 'and')}" if known else "no installed plugin has one"
    return f"unknown program {format_value(name)} beside a run", hint or installed


def _missing(registry: Registry, plugin: str, what: str) -> str:
    for info in registry.plugins:
        if info.name == plugin and info.status == "broken":
            return f"plugin '{plugin}' is installed, but broken: {info.reason}"
    return f"{what} comes with phasegraph-{plugin}: {install_command(f'phasegraph-{plugin}')}"


def _choices(registry: Registry, role: Role) -> str:
    names = sorted(registry.kinds(role))
    return f"installed kinds are {join_words(names, 'and')}" if names else f"no installed plugin has a {role.singular}"
