"""``kernel schema``: the JSON Schema of graph.toml."""

from __future__ import annotations

import json

import click

from .parameters import examples


@click.command(
    short_help="Write the JSON Schema of graph.toml.",
    epilog=examples(
        "kernel schema > graph.schema.json",
        "",
        "and in the first line of graph.toml, for editors that use Taplo or Tombi:",
        "  #:schema graph.schema.json",
    ),
)
def schema() -> None:
    """Write the JSON Schema of graph.toml, with the kinds that are installed, for completion in an editor."""
    from .._graph_file.json_schema import graph_schema
    from .._plugins.loader import load

    click.echo(json.dumps(graph_schema(load()), indent=2))
