"""The options of a scenario as text, for ``kernel explain scenario``."""

from __future__ import annotations

from .._graph_file.describe_kinds import explain_option, wrap
from .._option_types import Record, record_of
from .scenario import load_scenario, shipped
from .scenario_options import Scenario

_EXAMPLE = """
summary = "My office, with the second card on another machine's crystal."

[network]
jitter = "300us"
loss = 0.001

[card]
rate-offset = "-54ppm"
stalls = [{at = "60s", lasts = "5ms"}]

[cards.monitor]
rate-offset = "21ppm"
"""


def explain_scenario(width: int) -> list[str]:
    """The tables of a scenario and their options, in lines of at most ``width`` columns."""
    lines = [
        "scenario",
        *wrap("The world of a simulation: a TOML file of these tables. All are optional.", width, "  "),
    ]
    for option in record_of(Scenario).options:
        if isinstance(option.type, Record):
            lines += ["", f"[{option.name}]", *wrap(option.description, width, "  ")]
            for inner in option.type.options:
                lines += explain_option(inner, width)
        else:
            lines += explain_option(option, width)
    own = "[clocks.ID], [networks.ID] and [cards.ID] override [clock], [network] and [card] for single nodes."
    lines += [
        "",
        *wrap(own, width, ""),
        "",
        "Example",
        *(f"  {line}".rstrip() for line in _EXAMPLE.strip().splitlines()),
    ]
    lines += ["", "Scenarios that come with the kernel"]
    for name in shipped():
        lines += [f"  {name}", *wrap(load_scenario(name).scenario.summary, width, "      ")]
    return lines
