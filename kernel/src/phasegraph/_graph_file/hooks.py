"""Plugins' own checks of a whole graph."""

from __future__ import annotations

from .._core.errors import Problem
from .._plugins.loader import Registry
from .graph import Graph


def plugin_problems(graph: Graph, registry: Registry) -> list[Problem]:
    """What every plugin's ``validate_graph`` finds. One that fails is a problem itself, and hides no other's."""
    problems: list[Problem] = []
    for name, validate in registry.implementations("validate_graph", graph=graph):
        try:
            for problem in validate() or ():
                if not isinstance(problem, Problem):
                    raise TypeError(f"validate_graph gave {problem!r}, expected Problem")
                problems.append(problem)
        except Exception as error:  # a plugin's code may raise anything
            text = f"plugin '{name}' failed to check the graph: {type(error).__name__}: {error}"
            problems.append(Problem("", text, "report this to the plugin's author"))
    return problems
