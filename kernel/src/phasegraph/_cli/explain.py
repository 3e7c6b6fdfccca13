"""``kernel explain``: the options of a kind."""

from __future__ import annotations

import click

from .parameters import examples


@click.command(short_help="Explain the options of a kind.", epilog=examples("kernel explain", "kernel explain aes67"))
@click.argument("kind", required=False)
@click.pass_context
def explain(ctx: click.Context, kind: str | None) -> None:
    """Explain the options of KIND: type, range, unit, default, and an example. Without KIND, list all kinds.

    `kernel explain scenario` explains the options of a scenario of `kernel simulate`.
    """
    import shutil

    from .._graph_file.describe_kinds import explain_control_process, explain_kind, list_kinds
    from .._graph_file.unknown_kinds import nearest_kind
    from .._option_types.wording import format_value
    from .._plugins.loader import load

    width = max(60, min(100, shutil.get_terminal_size().columns))
    if kind == "scenario":
        from ..simulation.scenario_help import explain_scenario

        click.echo("\n".join(explain_scenario(width)))
        return
    registry = load()
    if kind is None:
        click.echo("\n".join(list_kinds(registry)))
        return
    found = ["\n".join(explain_kind(role, each, width)) for role, each in registry.roles_of(kind)]
    if kind in registry.control_processes:
        found.append("\n".join(explain_control_process(registry.control_processes[kind], width)))
    if not found:
        hint = nearest_kind(registry, kind) or "`kernel explain` lists all kinds"
        click.echo(f"unknown kind {format_value(kind)} ({hint})", err=True)
        ctx.exit(2)
    click.echo("\n\n".join(found))
