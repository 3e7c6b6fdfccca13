"""Commands that plugins add."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .._plugins.loader import Registry


class PluginCommands:
    """What the plugins' ``register_commands`` hooks gave."""

    def __init__(self) -> None:
        self.commands: dict[str, click.Command] = {}
        self.plugin_of: dict[str, str] = {}
        """The plugin of each command."""
        self.failures: dict[str, str] = {}
        """Why a plugin's commands are not there, by plugin."""


def plugin_commands(registry: Registry | None = None, *, builtin: Container[str] = ()) -> PluginCommands:
    """Ask every plugin, one at a time, for its commands. The kernel's own names and the first plugin's win."""
    if registry is None:
        from .._plugins.loader import load

        registry = load()
    found = PluginCommands()
    # Each plugin finds it empty, so that it can neither replace nor half register anything.
    group = click.Group("kernel")
    for plugin, register in registry.implementations("register_commands", cli=group):
        group.commands.clear()
        try:
            register()
        except Exception as error:  # a plugin's code may raise anything
            found.failures[plugin] = f"{type(error).__name__}: {error}"
            continue
        for name, command in group.commands.items():
            if name in builtin or name in found.commands:
                found.failures[plugin] = f"there is a command '{name}' already"
                continue
            found.commands[name] = command
            found.plugin_of[name] = plugin
    return found
