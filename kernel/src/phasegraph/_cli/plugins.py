"""``kernel plugins``: what is installed, and what is broken."""

from __future__ import annotations

import json

import click

from .parameters import examples, format_option


@click.command(
    short_help="List plugins, their kinds and commands.",
    epilog=examples("kernel plugins", "kernel plugins --format json"),
)
@format_option
@click.pass_context
def plugins(ctx: click.Context, format: str) -> None:
    """List every plugin with its version, what it registers, and, where it is broken, the reason.

    Plugins named in the environment variable PHASEGRAPH_DISABLED_PLUGINS (separated by commas) are left out.
    """
    from .._plugins.loader import load
    from .plugin_commands import plugin_commands

    registry = load()
    parent = ctx.parent.command if ctx.parent is not None else None
    found = plugin_commands(registry, builtin=parent.commands if isinstance(parent, click.Group) else ())
    listed = []
    for info in registry.plugins:
        failure = found.failures.get(info.name)
        listed.append(
            {
                "name": info.name,
                "version": info.version,
                "kinds": list(info.kinds),
                "commands": [name for name, plugin in found.plugin_of.items() if plugin == info.name],
                "status": "broken" if failure else info.status,
                "reason": f"its commands: {failure}" if failure else info.reason,
            }
        )
    if format == "json":
        click.echo(json.dumps({"plugins": listed}, indent=2))
        return
    for plugin in listed:
        click.echo(f"{plugin['name']} {plugin['version']}" + ("  BROKEN" if plugin["status"] == "broken" else ""))
        if plugin["reason"]:
            click.echo(f"  reason    {' '.join(str(plugin['reason']).split())}")
        for title in ("kinds", "commands"):
            if plugin[title]:
                click.echo(f"  {title:8}  {', '.join(plugin[title])}")
