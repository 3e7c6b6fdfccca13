"""How searchable the names of the source are: `python3 tools/names.py` prints the figures, `--list` what is behind.

1. The share of methods whose name four or more classes define: of all methods, and of those that a class does not owe
   to a protocol. It owes a method if it has every method of a `typing.Protocol` of the tree, if a class that it derives
   from in name declares it, or if it is one of the few words that every part of Phasegraph uses (`COMMON`).
2. Class names that are defined more than once.
3. Lines of Python in `src`.

tests/test_names.py holds the first two.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMON = frozenset({"close", "metrics", "run", "estimate"})
MANY = 4
"""A name that this many classes define cannot be searched for."""


@dataclass
class ClassNames:
    """One class of the source, by its names alone."""

    name: str
    place: str
    bases: tuple[str, ...]
    methods: frozenset[str] = field(default_factory=frozenset)

    @property
    def is_protocol(self) -> bool:
        """Whether it declares what others implement."""
        return "Protocol" in self.bases or "ABC" in self.bases


def sources() -> list[Path]:
    """Every module that is installed."""
    return sorted([*ROOT.glob("kernel/src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")])


@cache
def classes() -> list[ClassNames]:
    """Every class of the source."""
    return [found for path in sources() for found in _classes_of(path)]


def _classes_of(path: Path) -> Iterator[ClassNames]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef):
            bases = tuple(ast.unparse(base).split("[")[0].split(".")[-1] for base in node.bases)
            methods = frozenset(
                part.name
                for part in node.body
                if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)
                and not (part.name.startswith("__") and part.name.endswith("__"))
            )
            yield ClassNames(node.name, f"{path.relative_to(ROOT)}:{node.lineno}", bases, methods)


def raw_share(known: list[ClassNames]) -> float:
    """The share of all methods whose name many classes define, protocols included."""
    count = Counter(method for each in known for method in each.methods)
    return sum(number for number in count.values() if number >= MANY) / count.total()


def shared_methods(known: list[ClassNames]) -> tuple[float, dict[str, list[str]]]:
    """The share without protocols, and where each name that many classes define is defined."""
    protocols = [each for each in known if each.is_protocol]
    declared = {each.name: each.methods for each in known}
    owned: dict[str, list[str]] = defaultdict(list)
    for each in known:
        owed = set(COMMON)
        for protocol in protocols:
            if protocol.methods and protocol.methods <= each.methods:
                owed |= protocol.methods
        for base in each.bases:
            owed |= declared.get(base, frozenset())
        for method in each.methods - owed:
            owned[method].append(f"{each.place} {each.name}")
    total = sum(map(len, owned.values()))
    shared = {name: places for name, places in owned.items() if len(places) >= MANY}
    return sum(map(len, shared.values())) / total, shared


def repeated_classes(known: list[ClassNames]) -> dict[str, list[str]]:
    """Class names that are defined more than once, with their places."""
    count = Counter(each.name for each in known)
    return {name: [each.place for each in known if each.name == name] for name in count if count[name] > 1}


def main(arguments: list[str]) -> int:
    """Print the figures; returns the exit code."""
    known = classes()
    share, shared = shared_methods(known)
    repeated = repeated_classes(known)
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in sources())
    print(f"methods whose name {MANY} or more classes define: {raw_share(known):.1%}; protocols aside {share:.1%}")
    print(f"class names defined more than once: {len(repeated)}")
    print(f"lines of source: {lines}, in {len(sources())} files")
    if "--list" in arguments:
        for name, places in sorted(shared.items(), key=lambda item: -len(item[1])):
            print(f"\n{name} ({len(places)})", *places, sep="\n  ")
        for name, places in sorted(repeated.items()):
            print(f"\nclass {name}", *places, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
