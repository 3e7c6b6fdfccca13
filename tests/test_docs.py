"""What the pages say is so: graphs that they show are right, commands and options that they name exist."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

from phasegraph import ClockConfig, CompensatorConfig, NodeConfig, SinkConfig, SourceConfig
from phasegraph._cli.app import FIRST_PARTY_COMMANDS, cli
from phasegraph._cli.plugin_commands import plugin_commands
from phasegraph._core.kinds import ResamplerKind
from phasegraph._core.role import Role
from phasegraph._graph_file import validate_text
from phasegraph._graph_file.unknown_kinds import CONTROL_PLUGINS
from phasegraph._plugins.loader import load

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/*.md", "benchmarks/*.md", "kernel/*.md", "plugins/*/*.md")
    for path in ROOT.glob(pattern)
)
FUTURE = ROOT / "docs" / "roadmap.md"
"""The one page that may name what is not there yet."""
BASE = {
    Role.CLOCK: ClockConfig,
    Role.SOURCE: SourceConfig,
    Role.COMPENSATOR: CompensatorConfig,
    Role.SINK: SinkConfig,
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name_of(path: object) -> str:
    return str(path.relative_to(ROOT)) if isinstance(path, Path) else ""


def blocks(path: Path) -> list[tuple[str, str]]:
    """Language and text of the fenced blocks of a page."""
    return FENCE.findall(path.read_text("utf-8"))


def graphs() -> Iterator[object]:
    for path in PAGES:
        for index, (language, text) in enumerate(blocks(path)):
            if language == "toml" and re.search(r"^schema\s*=", text, re.MULTILINE):
                yield pytest.param(text, id=f"{name_of(path)}-{index}")


@pytest.mark.parametrize("text", list(graphs()))
def test_a_graph_that_is_shown_is_right(text: str, tmp_path: Path) -> None:
    registry = load()
    problems = validate_text(text, registry, tmp_path).problems
    for problem in problems:  # what a page does not show are the files that its graph reads
        missing = re.match(r"cannot read (.+): No such file", problem.message)
        if missing:
            Path(missing[1]).parent.mkdir(parents=True, exist_ok=True)
            Path(missing[1]).touch()
    assert not validate_text(text, registry, tmp_path).problems


@pytest.mark.parametrize(
    "text",
    [pytest.param(t, id=f"{name_of(p)}-{i}") for p in PAGES for i, (lang, t) in enumerate(blocks(p)) if lang == "toml"],
)
def test_a_block_of_toml_is_toml(text: str) -> None:
    tomllib.loads(text)


def all_commands() -> dict[str, click.Command]:
    return {**cli.commands, **plugin_commands(builtin=cli.commands).commands}


@pytest.mark.parametrize("path", [path for path in PAGES if path != FUTURE], ids=name_of)
def test_commands_that_are_named_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    outside = FENCE.sub("", text)
    named = set(re.findall(r"`kernel\s+([a-z][a-z-]*)", outside))
    lines = [line for _, block in blocks(path) for line in block.splitlines()]
    calls = [line.removeprefix("$ ") for line in lines if re.match(r"(\$ )?kernel [a-z]", line)]
    calls += re.findall(r"`(kernel\s+[a-z][^`]*)`", outside)
    commands = all_commands()
    for call in calls:
        words = shlex.split(call, comments=True)
        named.add(words[1])
        command, rest = commands.get(words[1]), words[2:]
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            command = command.commands.get(rest.pop(0))
            assert command is not None, call
        known = {name for it in command.params for name in (*it.opts, *it.secondary_opts)} if command else set()
        options = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert options <= {*known, "--help"}, call
    assert named <= {*commands, "is"}


def test_the_list_of_commands_says_of_each_plugin_s_what_it_says_of_itself() -> None:
    commands = plugin_commands(builtin=cli.commands).commands
    assert {name: command.short_help for name, command in commands.items()} == FIRST_PARTY_COMMANDS


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", FENCE.sub("", path.read_text("utf-8")))
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in local if not (path.parent / target).exists()] == []


def names_in(path: Path) -> set[str]:
    """Functions, classes and their members of a module, dotted."""
    names: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
            names |= {f"{node.name}.{part.name}" for part in ast.walk(node) if isinstance(part, FUNCTIONS)}
    return names


@pytest.mark.slow
def test_code_that_is_pointed_to_exists() -> None:
    modules = [path for pattern in ("kernel/src", "plugins/*/src") for path in ROOT.glob(f"{pattern}/**/*.py")]
    wrong = []
    for page in PAGES:
        for file, name in re.findall(r"`([\w/]+\.py):\s+([\w.]+)`", page.read_text("utf-8")):
            found = [path for path in modules if path.as_posix().endswith(f"/{file}")]
            if not any(name in names_in(path) for path in found):
                wrong.append(f"{name_of(page)}: {file}: {name}")
    assert wrong == []


def described_kinds() -> Iterator[object]:
    """(README, role, kind, struct, whether the plugin has the kind in one role only)."""
    for project in sorted([ROOT / "kernel" / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")]):
        names = tomllib.loads(project.read_text("utf-8"))["project"]["entry-points"]["phasegraph.plugins"]
        registry = load(only=names)
        for role in Role:
            for kind, descriptor in registry.kinds(role).items():
                if not isinstance(descriptor, ResamplerKind):
                    alone = len(registry.roles_of(kind)) == 1
                    values = (project.parent / "README.md", role, kind, descriptor.config, alone)
                    yield pytest.param(*values, id=f"{project.parent.name}-{role}-{kind}")


def described_options(readme: Path, role: Role, kind: str, *, alone: bool) -> list[str]:
    """First column of the tables of options under the heading of a kind, such as "## `file` source"."""
    options: list[str] = []
    inside, table, depth = False, False, 0
    for line in FENCE.sub("", readme.read_text("utf-8")).splitlines():
        if line.startswith("#"):
            level = len(line) - len(line.lstrip("#"))
            if not inside or level <= depth:
                inside = f"`{kind}`" in line and (alone or role.singular in line.lower())
                depth = level
        cells = [cell.strip() for cell in line.split("|")] if line.startswith("|") else []
        table = bool(cells) and (table or cells[1].lower().startswith("option"))
        if inside and table:
            options += re.findall(r"`([a-z0-9-]+)`", cells[1])
    return options


def test_options_of_programs_beside_a_run_are_described_once() -> None:
    registry = load()
    for name, kind in registry.control_processes.items():
        readme = ROOT / "plugins" / CONTROL_PLUGINS[name] / "README.md"
        described = described_options(readme, Role.SINK, f"kernel {name}", alone=True)
        assert sorted(described) == sorted(kind.config.__struct_encode_fields__)


@pytest.mark.parametrize(("readme", "role", "kind", "struct", "alone"), list(described_kinds()))
def test_options_are_described_once(
    readme: Path, role: Role, kind: str, struct: type[msgspec.Struct], alone: bool
) -> None:
    described = Counter(described_options(readme, role, kind, alone=alone))
    options = set(struct.__struct_encode_fields__)
    common = {*BASE[role].__struct_encode_fields__, *NodeConfig.__struct_encode_fields__}
    assert set(described) <= options, "options that do not exist"
    assert options - common <= set(described), "options that are not described"
    assert [name for name, times in described.items() if times > 1] == []


def test_the_readme_gives_one_command_to_run_and_one_to_test() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for heading, command in (("Run it", "python3 tools/dev.py run"), ("Test it", "python3 tools/dev.py test")):
        section = text.split(f"\n## {heading}\n", 1)[1]
        block = FENCE.search(section)
        assert block is not None
        assert block[2].strip() == command
