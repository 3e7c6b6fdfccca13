"""``kernel explain``: the options of a kind, for people."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING, Any

import click

from .options import examples

if TYPE_CHECKING:
    from .._core.kinds import AnyKind
    from .._options.compound import Option
    from .._plugins.loader import Registry

_PACE = {
    "clock": "It runs on the clock of the graph that `clock` names, or on the only one.",
    "device": "It runs on the clock of its own device.",
    "none": "It has no clock of its own and follows the other end of its edge.",
}


@click.command(short_help="Explain the options of a kind.", epilog=examples("kernel explain", "kernel explain aes67"))
@click.argument("kind", required=False)
@click.pass_context
def explain(ctx: click.Context, kind: str | None) -> None:
    """Explain the options of KIND: type, range, unit, default, and an example. Without KIND, list all kinds."""
    from .._config.kinds import nearest_kind
    from .._options.words import show
    from .._plugins.loader import load

    registry = load()
    if kind is None:
        click.echo("\n".join(list_kinds(registry)))
        return
    found = registry.roles_of(kind)
    if not found:
        hint = nearest_kind(registry, kind) or "`kernel explain` lists all kinds"
        click.echo(f"unknown kind {show(kind)} ({hint})", err=True)
        ctx.exit(2)
    width = max(60, min(100, shutil.get_terminal_size().columns))
    click.echo("\n\n".join("\n".join(explain_kind(role, each, width)) for role, each in found))


def list_kinds(registry: Registry) -> list[str]:
    """All kinds by role, with their summaries."""
    from .._plugins.loader import ROLES

    lines: list[str] = []
    for role in ROLES:
        kinds = registry.kinds(role)
        width = max(map(len, kinds), default=0)
        lines += [role, *(f"  {name:{width}}  {kinds[name].summary}" for name in sorted(kinds))]
        if not kinds:
            lines.append("  none installed")
    return lines


def explain_kind(role: str, kind: AnyKind, width: int) -> list[str]:
    """One kind of one role, in lines of at most ``width`` columns."""
    from .._core.config import NodeConfig
    from .._core.kinds import ResamplerKind
    from .._options.options import record_of
    from .._options.words import SINGULAR

    lines = [f"{kind.kind} ({SINGULAR[role]})", *_wrap(kind.summary, width, "  ")]
    if isinstance(kind, ResamplerKind):
        return [*lines, "", f'  Named by a compensator: resampler = "{kind.kind}"']
    pace = getattr(kind, "domain", None)
    if pace is not None:
        lines += _wrap(_PACE[pace], width, "  ")
    lines += ["", "Options"]
    options = record_of(kind.config).options
    # Required ones first, what every kind has last.
    common = NodeConfig.__struct_encode_fields__
    for option in sorted(options, key=lambda option: (not option.required, option.name in common)):
        lines += _explain_option(option, width)
    example = kind.example.strip() or _made_up_example(role, kind.kind, options)
    return [*lines, "", "Example", *(f"  {line}".rstrip() for line in example.splitlines())]


def _explain_option(option: Option, width: int) -> list[str]:
    from .._options.scalars import Measure
    from .._options.words import toml

    default = None if option.required else option.shape.plain(option.make_default())
    if option.required:
        head = f"  {option.name}  (required)"
    else:
        head = f"  {option.name} = {toml(default)}" if default is not None else f"  {option.name}  (optional)"
    units = f" (units: {', '.join(option.shape.quantity.units)})" if isinstance(option.shape, Measure) else ""
    lines = [head, *_wrap(f"{option.shape.words}{units}", width, "      ")]
    return lines + _wrap(option.description, width, "      ")


def _wrap(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)


def _made_up_example(role: str, kind: str, options: tuple[Option, ...]) -> str:
    from .._options.scalars import Measure
    from .._options.words import toml

    lines = [f"[{role}.NAME]", f'kind = "{kind}"']
    for option in options:
        if option.required:
            value: Any = option.shape.example if isinstance(option.shape, Measure) else "..."
            lines.append(f"{option.name} = {toml(value)}")
    return "\n".join(lines)
