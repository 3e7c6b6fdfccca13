"""How searchable the source is: bounds that may be lowered, and lists that may shrink."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest
from tests.support.modules import load_module

ROOT = Path(__file__).resolve().parent.parent

MOST_SHARED_METHODS = 0.1
"""Share of methods whose name four or more classes define, protocols aside."""
MOST_BANNED_PHRASES = 0
MOST_COMPLEX_FUNCTIONS = 5
"""Functions of more than ten branches (C901)."""
REPEATED_CLASSES = """
"""
SHARED_MODULES = """
    __init__ options parameters
"""
"""Names that modules of several packages may have: each with one meaning in all of them."""
BANNED = re.compile("so many|so long|by so much|whoever|nobody|anew|it is looked", re.IGNORECASE)
"""Phrases that a reader stops at. Plain words say the same: "twice as often", "again", "no client"."""
PAGES = ("*.md", "docs/**/*.md", "*/README.md", "plugins/*/README.md")
ABOUT_ACCOUNTS = {ROOT / "kernel/tests/run/test_privileges.py"}
"""Files that name an account of the system which is called like a banned word."""


names = load_module("tools/names.py")


@pytest.mark.slow
def test_few_methods_share_a_name_with_many_others() -> None:
    share, shared = names.shared_methods(names.classes())
    most = sorted(shared, key=lambda name: -len(shared[name]))[:10]
    assert share <= MOST_SHARED_METHODS, f"{share:.1%}; the most frequent: {', '.join(most)}"


@pytest.mark.slow
def test_a_class_name_is_defined_once() -> None:
    repeated = names.repeated_classes(names.classes())
    assert {name: places for name, places in repeated.items() if name not in REPEATED_CLASSES.split()} == {}


def test_a_module_name_belongs_to_one_package() -> None:
    owners: dict[str, set[str]] = defaultdict(set)
    for path in names.sources():
        parts = path.relative_to(ROOT).parts
        owners[path.stem].add(parts[parts.index("src") + 1])
    shared = {name: found for name, found in owners.items() if len(found) > 1}
    assert {name: found for name, found in shared.items() if name not in SHARED_MODULES.split()} == {}


@pytest.mark.slow
def test_sentences_are_plain() -> None:
    pages = [
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("*.md"),
        *ROOT.glob("*/README.md"),
        *ROOT.glob("plugins/*/README.md"),
    ]
    folders = ("tests", "kernel/tests", "plugins/*/tests", "benchmarks", "tools", "fuzz", "examples")
    others = {path for folder in folders for path in ROOT.glob(f"{folder}/**/*.py")} - ABOUT_ACCOUNTS - {Path(__file__)}
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in [*names.sources(), *sorted(pages), *sorted(others)]
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if BANNED.search(line)
    ]
    assert len(found) <= MOST_BANNED_PHRASES, "\n".join(found)


@pytest.mark.slow
def test_few_functions_are_complex() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--select", "C901", "--output-format", "concise", "--no-cache"]
    checked = subprocess.run([*command, "."], cwd=ROOT, capture_output=True, text=True, check=False)
    found = [line for line in checked.stdout.splitlines() if "C901" in line]
    assert checked.returncode in (0, 1), checked.stderr
    assert len(found) <= MOST_COMPLEX_FUNCTIONS, "\n".join(found)


def test_no_modules_import_each_other_in_a_circle() -> None:
    # Imports for type checkers count too.
    packages = sorted(path.name for path in ROOT.glob("*/src/*") if path.is_dir())
    packages += sorted(path.name for path in ROOT.glob("plugins/*/src/*") if path.is_dir())
    graph = grimp.build_graph(*packages, exclude_type_checking_imports=False, cache_dir=None)
    order = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        list(TopologicalSorter(order).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
