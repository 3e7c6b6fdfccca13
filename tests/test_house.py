"""The rules of the house: one concept a file, docstrings on public names, nothing of one machine in the tree."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from phasegraph._cli.app import cli
from phasegraph._cli.plugin_commands import plugin_commands
from phasegraph._core.role import Role
from phasegraph._graph_file.unknown_kinds import CONTROL_PLUGINS, FIRST_PARTY
from phasegraph._plugins.loader import CONTROL, load

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES = 800  # a file holds one concept, however long; this only catches what grew by accident
GENERATED = ("LICENSE", ".csv", ".svg", ".schema.json")
# In pieces, so that this file does not find itself.
FORBIDDEN = re.compile(
    "|".join(
        (
            "py" + r"pi\.org",
            "python" + "hosted",
            r"(?<![\w.])/" + "work/",
            "bash" + "_jobs",
            r"(?<!\w)/" + "opt/(?!phasegraph)",
            r"(?<!\w)/" + "root/",
        )
    ),
    re.IGNORECASE,
)


@cache
def files() -> tuple[Path, ...]:
    """What is in the tree, or would be: not what .gitignore names."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        ).stdout.split("\0")
        paths = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):  # an archive of the tree, without git
        passed_over = re.compile(r"\.(?!ci$|gitignore$)|(__pycache__|out|dist|build)$")
        paths = [path for path in ROOT.rglob("*") if not any(map(passed_over.match, path.relative_to(ROOT).parts))]
    return tuple(sorted(path for path in paths if path.is_file() and not path.is_symlink()))


def texts() -> Iterator[tuple[str, str]]:
    for path in files():
        content = path.read_bytes()
        if b"\0" not in content[:8192] and path.suffix not in (".flac", ".png", ".wav", ".pcap", ".whl"):
            yield str(path.relative_to(ROOT)), content.decode("utf-8")


def test_no_file_is_long() -> None:
    long = {name: len(text.splitlines()) for name, text in texts() if not name.endswith(GENERATED)}
    assert {name: lines for name, lines in long.items() if lines > MOST_LINES} == {}


@pytest.mark.slow
def test_nothing_names_a_registry_or_the_machine_it_was_made_on() -> None:
    found = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts()
        if FORBIDDEN.search(text)
        for number, line in enumerate(text.splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert found == []


def test_the_kernel_knows_which_of_our_plugins_brings_a_kind() -> None:
    registry = load()
    ours = {path.parent.name.replace("_", "-") for path in ROOT.glob("plugins/*/pyproject.toml")}
    offered: dict[str, dict[str, str]] = {role: {} for role in (*Role, CONTROL)}
    for plugin in registry.plugins:
        for role, kind in (name.split("/") for name in plugin.kinds if plugin.name in ours):
            offered[role][kind] = plugin.name
    assert offered == {**FIRST_PARTY, CONTROL: CONTROL_PLUGINS}


def sources() -> Iterator[Path]:
    for path in files():
        parts = path.relative_to(ROOT).parts
        if path.suffix == ".py" and "tests" not in parts and ("src" in parts or parts[0] == "tools"):
            yield path


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def undocumented(tree: ast.Module) -> Iterator[str]:
    if ast.get_docstring(tree) is None and tree.body:
        yield "the module"
    level: list[tuple[str, ast.AST]] = [("", tree)]
    for prefix, parent in level:
        for node in ast.iter_child_nodes(parent):
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
                continue
            decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
            if ast.get_docstring(node) is None and not decorators & {"overload", "typing.overload"}:
                yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                level.append((f"{prefix}{node.name}.", node))


@pytest.mark.slow
def test_public_names_are_documented() -> None:
    missing = [f"{path.relative_to(ROOT)}: {name}" for path in sources() for name in undocumented(tree_of(path))]
    assert missing == []


@pytest.mark.slow
def test_no_description_follows_another() -> None:
    # A text behind a text describes nothing: lines between were moved or removed.
    def is_text(node: ast.AST) -> bool:
        return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)

    wrong = []
    for path in sources():
        for node in ast.walk(tree_of(path)):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                wrong += [f"{path}:{b.lineno}" for a, b in pairwise(body) if is_text(a) and is_text(b)]
    assert wrong == []


def test_plugins_declare_the_commands_that_they_register() -> None:
    registered = plugin_commands(load(), builtin=cli.commands).plugin_of
    ours: dict[str, str] = {}
    for path in ROOT.glob("plugins/*/pyproject.toml"):
        points = tomllib.loads(path.read_text("utf-8"))["project"]["entry-points"]
        ours |= dict.fromkeys(points.get("phasegraph.commands", ()), next(iter(points["phasegraph.plugins"])))
    assert ours == {name: plugin for name, plugin in registered.items() if plugin in {*ours.values()}}


def test_contracts_know_every_private_module_and_every_plugin() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    package = ROOT / "kernel" / "src" / "phasegraph"
    private = {f"phasegraph.{path.stem}" for path in package.iterdir() if re.match(r"_[a-z]", path.name)}
    plugins = {path.name for path in ROOT.glob("plugins/*/src/phasegraph_*")}
    by_name = {contract["name"]: contract for contract in contracts["contracts"]}
    assert private <= set(by_name["Plugins use only the kernel's public modules"]["forbidden_modules"])
    assert plugins == set(by_name["Plugins do not know each other"]["modules"])
    assert plugins == set(by_name["Plugins use only the kernel's public modules"]["source_modules"])
    assert {"phasegraph", *plugins} == set(contracts["root_packages"])


def test_every_distribution_has_the_licence_and_the_version() -> None:
    licence = (ROOT / "LICENSE").read_text("utf-8")
    members = [path.parent for path in (ROOT / "all" / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml"))]
    versions = set()
    for folder in (ROOT / "kernel", *members):
        assert (folder / "LICENSE").read_text("utf-8") == licence, folder
        versions.add(tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]["version"])
    cited = re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    assert versions == set(cited)


def test_one_distribution_installs_all_others() -> None:
    everything = tomllib.loads((ROOT / "all" / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    names = {
        tomllib.loads(path.read_text("utf-8"))["project"]["name"]
        for path in (ROOT / "kernel" / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml"))
    }
    assert {re.split(r"[\[>=]", wish)[0] for wish in everything} == names


def test_constraints_name_everything_that_members_depend_on() -> None:
    wanted = {wish.name for wishes in requirements().values() for wish in wishes}
    assert {name.lower() for name in wanted if not name.startswith("phasegraph")} - pinned().keys() == set()


def test_each_dependency_has_a_lower_and_an_upper_bound_with_the_pinned_version_between() -> None:
    versions = pinned()
    for place, wishes in requirements().items():
        bounded = {wish.name for wish in wishes if {each.operator for each in wish.specifier} == {">=", "<"}}
        assert {wish.name for wish in wishes} - bounded == set(), f"{place}: write both bounds, such as >=1.2,<2"
        wrong = [str(wish) for wish in wishes if wish.name in versions and versions[wish.name] not in wish.specifier]
        assert wrong == [], f"{place}: constraints.txt has another version"


def pinned() -> dict[str, str]:
    """The version of each distribution in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def requirements() -> dict[str, list[Requirement]]:
    """What each pyproject.toml depends on: to run, for its extras, to be built, and for development."""
    found = {}
    for path in (file for file in files() if file.name == "pyproject.toml"):
        document = tomllib.loads(path.read_text("utf-8"))
        project = document.get("project", {})
        groups = (
            {"run": project.get("dependencies", []), "build": document.get("build-system", {}).get("requires", [])}
            | project.get("optional-dependencies", {})
            | document.get("dependency-groups", {})
        )
        found[path.relative_to(ROOT).as_posix()] = [
            Requirement(wish) for group in groups.values() for wish in group if isinstance(wish, str)
        ]
    return found
