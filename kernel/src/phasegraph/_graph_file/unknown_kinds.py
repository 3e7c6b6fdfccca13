"""Finding the kind that a table names, and saying what to do where it is not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core.kinds import AnyKind
from .._option_types.shape import Reading
from .._option_types.wording import SINGULAR, did_you_mean, either, place, show
from .._plugins.loader import Registry

FIRST_PARTY = {
    "clocks": {**dict.fromkeys(("ptp", "ptp4l"), "ptp"), **dict.fromkeys(("airplay", "nqptp"), "airplay-timing")},
    "sources": {"aes67": "aes67", **dict.fromkeys(("soundcard", "file", "tone"), "sinks")},
    "compensators": dict.fromkeys(("buffer-feedback", "ptp-feed-forward", "combined", "none"), "compensation"),
    "resamplers": dict.fromkeys(("sinc", "soxr"), "compensation"),
    "sinks": {"aes67": "aes67", **dict.fromkeys(("soundcard", "file", "null"), "sinks")},
}
"""The plugin of this project that brings a kind, by role and kind; its distribution is phasegraph-PLUGIN."""


def find_kind(registry: Registry, role: str, table: Mapping[str, Any], at: str, reading: Reading) -> AnyKind | None:
    """The descriptor of a table's ``kind``; None, with a problem noted, where there is none."""
    path = place(at, "kind")
    known = registry.kinds(role)
    if "kind" not in table:
        reading.wrong(path, f"missing: expected the kind of this {SINGULAR[role]}", _choices(registry, role))
        return None
    name = table["kind"]
    if not isinstance(name, str):
        reading.unexpected(path, f"the kind of this {SINGULAR[role]} as text", name)
        return None
    if name not in known:
        reading.wrong(path, *unknown_kind(registry, role, name))
        return None
    return known[name]


def unknown_kind(registry: Registry, role: str, name: str) -> tuple[str, str]:
    """Message and hint for a kind that a role does not have."""
    elsewhere = [other for other, _ in registry.roles_of(name)]
    if elsewhere:
        roles = either([f"a {SINGULAR[other]}" for other in elsewhere])
        tables = either([f"[{other}.NAME]" for other in elsewhere if other != "resamplers"])
        return f"kind {show(name)} is {roles}, not a {SINGULAR[role]}", f"its table is {tables}" if tables else ""
    hints = (missing_plugin(registry, role, name), did_you_mean(name, registry.kinds(role)), _choices(registry, role))
    return f"unknown kind {show(name)} of {SINGULAR[role]}", next(hint for hint in hints if hint)


def nearest_kind(registry: Registry, name: str) -> str:
    """A hint for a kind that no role has; empty if nothing is like it."""
    everywhere = [kind for role in FIRST_PARTY for kind in registry.kinds(role)]
    return missing_plugin(registry, "", name) or did_you_mean(name, everywhere)


def missing_plugin(registry: Registry, role: str, kind: str) -> str:
    """A hint that names the plugin that would bring a kind; empty if it is not one of this project's."""
    found = next((other for other in (role, *FIRST_PARTY) if kind in FIRST_PARTY.get(other, ())), None)
    if found is None:
        return ""
    plugin = FIRST_PARTY[found][kind]
    for info in registry.plugins:
        if info.name == plugin and info.status == "broken":
            return f"plugin '{plugin}' is installed, but broken: {info.reason}"
    what = "it" if found == role else f"it is a {SINGULAR[found]}, and"
    return f"{what} comes with phasegraph-{plugin}: pip install phasegraph-{plugin}"


def _choices(registry: Registry, role: str) -> str:
    names = sorted(registry.kinds(role))
    return f"installed kinds are {either(names, 'and')}" if names else f"no installed plugin has a {SINGULAR[role]}"
