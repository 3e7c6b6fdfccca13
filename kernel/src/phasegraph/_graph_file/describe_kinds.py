"""Descriptions of kinds and their options, for ``kernel explain``."""

from __future__ import annotations

import textwrap
from typing import Any

from .._core.config import NodeConfig
from .._core.kinds import AnyKind, ControlProcessKind, ResamplerKind
from .._core.role import Role
from .._option_types import Option, QuantityType, expected, record_of
from .._option_types.wording import format_toml
from .._plugins.loader import CONTROL, Registry

_PACE = {
    "clock": "It runs on the clock of the graph that `clock` names, or on the only one.",
    "device": "It runs on the clock of its own device.",
    "none": "It has no clock of its own and follows the other end of its edge.",
}


def list_kinds(registry: Registry) -> list[str]:
    """All kinds by role, with their summaries."""
    lines: list[str] = []
    for role in Role:
        kinds = registry.kinds(role)
        width = max(map(len, kinds), default=0)
        lines += [role, *(f"  {name:{width}}  {kinds[name].summary}" for name in sorted(kinds))]
        if not kinds:
            lines.append("  none installed")
    if processes := registry.control_processes:
        width = max(map(len, processes))
        lines += [CONTROL, *(f"  {name:{width}}  {processes[name].summary}" for name in sorted(processes))]
    return lines


def explain_kind(role: Role, kind: AnyKind, width: int) -> list[str]:
    """One kind of one role, in lines of at most ``width`` columns."""
    lines = [f"{kind.kind} ({role.singular})", *wrap(kind.summary, width, "  ")]
    if isinstance(kind, ResamplerKind):
        return [*lines, "", f'  Named by a compensator: resampler = "{kind.kind}"']
    pace = getattr(kind, "domain", None)
    if pace is not None:
        lines += wrap(_PACE[pace], width, "  ")
    lines += ["", "Options"]
    options = record_of(kind.config).options
    # Required ones first, what every kind has last.
    common = NodeConfig.__struct_encode_fields__
    for option in sorted(options, key=lambda option: (not option.required, option.name in common)):
        lines += explain_option(option, width)
    example = kind.example.strip() or _generated_example(role, kind.kind, options)
    return [*lines, "", "Example", *(f"  {line}".rstrip() for line in example.splitlines())]


def explain_control_process(kind: ControlProcessKind, width: int) -> list[str]:
    """One program beside a run, in lines of at most ``width`` columns."""
    lines = [f"{kind.kind} ({CONTROL})", *wrap(kind.summary, width, "  "), "", "Options"]
    for option in record_of(kind.config).options:
        lines += explain_option(option, width)
    example = kind.example.strip() or f"[{CONTROL}.{kind.kind}]"
    return [*lines, "", "Example", *(f"  {line}".rstrip() for line in example.splitlines())]


def explain_option(option: Option, width: int) -> list[str]:
    """One option: its name with default, what is expected, and what it is."""
    default = option.default
    if option.required:
        head = f"  {option.name}  (required)"
    else:
        head = f"  {option.name} = {format_toml(default)}" if default is not None else f"  {option.name}  (optional)"
    units = f" (units: {', '.join(option.type.quantity.units)})" if isinstance(option.type, QuantityType) else ""
    lines = [head, *wrap(f"{expected(option.type)}{units}", width, "      ")]
    lines += wrap(option.description, width, "      ")
    if option.live is not None:
        effect = f", {option.live.effect}" if option.live.effect else ""
        lines += wrap(f"Can change while it runs{effect}.", width, "      ")
    return lines


def wrap(text: str, width: int, indent: str) -> list[str]:
    """A text in indented lines of at most ``width`` columns."""
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)


def _generated_example(role: Role, kind: str, options: tuple[Option, ...]) -> str:
    lines = [f"[{role}.NAME]", f'kind = "{kind}"']
    for option in options:
        if option.required:
            value: Any = option.type.example if isinstance(option.type, QuantityType) else "..."
            lines.append(f"{option.name} = {format_toml(value)}")
    return "\n".join(lines)
