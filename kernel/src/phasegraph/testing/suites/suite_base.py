"""Parts of all suites: declared failures, and the graph around the node under test."""

from __future__ import annotations

import tomllib
from typing import Any, ClassVar

import pytest

from ..._core.role import Role
from ..._run.session import Session
from ..graph_runs import make_session, shared_registry


class Suite:
    """Base of every suite."""

    expected_failures: ClassVar[dict[str, str]] = {}
    """Name of a test, with or without its parameters in brackets -> reason of its known failure.

    One that does not fail any more is a failure itself.
    """

    @pytest.fixture(autouse=True)
    def _declared(self, request: pytest.FixtureRequest) -> None:
        name = request.node.name
        reason = self.expected_failures.get(name) or self.expected_failures.get(name.partition("[")[0])
        if reason:
            request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))

    def test_expected_failures_are_tests(self) -> None:
        """Every declared failure names a test and gives a reason."""
        for name, reason in self.expected_failures.items():
            known = callable(getattr(self, name.partition("[")[0], None))
            assert known, f"{type(self).__name__} has no test {name}"
            assert reason, f"{name} is expected to fail, but gives no reason"


class World:
    """Makes graphs around the node under test. The other nodes are simulated, so no other plugin is needed."""

    def __init__(self, role: str, options: str, extra: str = "", **session_options: Any) -> None:
        self.role = Role(role)
        registry = shared_registry()
        self.session_options: dict[str, Any] = {"registry": registry, **session_options}
        """Options of every session: see `make_session`."""
        self._options = options.strip()
        self._extra = extra
        kinds = registry.kinds(self.role)
        name = tomllib.loads(options).get("kind")
        assert name in kinds, f"no installed plugin has {name!r} among its {role}: there are {', '.join(kinds)}"
        self.kind = kinds[name]

    def graph(self, source: str = "") -> str:
        """A graph in which the node is called ``it``; ``source`` is what a sink plays: options of ``sim-source``."""
        crossing = getattr(self.kind, "domain", None) == "device"
        align = 'compensator = "align"\n' if crossing else ""
        parts = ["schema = 1", self._extra]
        if self.role != "clocks":
            parts.append('[clocks.house]\nkind = "sim-clock"')
        if crossing:
            parts.append('[compensators.align]\nkind = "sim-align"')
        if self.role == "sinks":
            parts.append(f'[sources.program]\nkind = "sim-source"\nclock = "house"\n{source}')
            parts.append(f'[sinks.it]\ninput = "program"\n{align}{self._options}')
        else:
            parts.append(f"[{self.role}.it]\n{self._options}")
        if self.role == "sources":
            kind = "sim-card" if getattr(self.kind, "domain", None) == "none" else "sim-recorder"
            parts.append(f'[sinks.end]\ninput = "it"\nkind = "{kind}"')
        return "\n".join(parts) + "\n"

    def session(self, source: str = "", **more: Any) -> Session:
        """A session of `graph`, which has not started."""
        return make_session(self.graph(source), **self.session_options, **more)
