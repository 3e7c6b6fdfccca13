"""Dashboard and alert rules of ``examples/monitoring``: every metric and label that they name exists."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.support.modules import load_module

from phasegraph.control import Hello
from phasegraph_console.web.followed_run import FollowedRun
from phasegraph_console.web.openmetrics import OpenMetricsPage

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "examples" / "monitoring"
ADDED_BY_PROMETHEUS = {"instance", "job"}


def exposed() -> dict[str, set[str]]:
    """Labels of each sample, by its name, of a run that has everything."""
    fakes = load_module("plugins/console/tests/web/console_fakes.py")
    run = FollowedRun(
        "hall", Hello(version="0.1.0", name="hall", graph="hall.toml", pid=1, started_at=fakes.STARTED_AT)
    )
    run.add_status(fakes.full_status(), 0.0, datetime.now(UTC))
    samples: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(OpenMetricsPage().text([run], 0.0).decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, set()).update(sample.labels)
    return samples


def expressions() -> list[tuple[str, str]]:
    """(where, PromQL) of all panels and rules."""
    dashboard: Any = json.loads((FOLDER / "grafana-dashboard.json").read_text("utf-8"))
    found = [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel["targets"]]
    rules = (FOLDER / "phasegraph-alerts.yml").read_text("utf-8")
    names, exprs = re.findall(r"- alert: (\w+)", rules), re.findall(r"expr: (.+)", rules)
    assert len(names) == len(exprs) == rules.count("summary:") == rules.count("description:")
    return found + list(zip(names, exprs, strict=True))


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_metrics_and_labels_exist(where: str, expression: str) -> None:
    samples = exposed()
    named = set(re.findall(r"phasegraph_\w+(?=[{\[ )]|$)", re.sub(r"{[^}]*}", "{", expression)))
    assert named or expression.startswith("up{"), where
    assert named <= samples.keys()
    labels = set(re.findall(r"(\w+)=~?\"", expression)) | set(re.findall(r"by \((\w+)\)", expression))
    known = set.union(set(), *(samples[name] for name in named)) | ADDED_BY_PROMETHEUS
    assert labels <= known, where


def test_annotations_name_labels_that_exist() -> None:
    rules = (FOLDER / "phasegraph-alerts.yml").read_text("utf-8")
    labels = set(re.findall(r"\$labels\.(\w+)", rules))
    assert labels <= set.union(*exposed().values()) | ADDED_BY_PROMETHEUS


def test_the_documentation_lists_every_metric() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text("utf-8")
    listed = set(re.findall(r"`(phasegraph_\w+)`", page))
    names = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exposed()}
    assert names <= listed
