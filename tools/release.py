"""Does all of a release but the upload.

    python3 tools/release.py prepare VERSION    write the version into every file that has it, and date the changelog
    python3 tools/release.py verify             build, check what was built, try it; writes dist/SHA256SUMS

`verify` wants a tree without changes. It builds twice and compares: who builds the same commit gets the same files.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
VERSION = re.compile(r"\d+\.\d+\.\d+")


def main(arguments: Sequence[str]) -> int:
    """Do what the command line asks for; returns the exit code."""
    match list(arguments):
        case ["prepare", version] if VERSION.fullmatch(version):
            return prepare(ROOT, version, datetime.datetime.now(datetime.UTC).date())
        case ["verify"]:
            return verify()
    print(__doc__.strip(), file=sys.stderr)
    return 2


def places(root: Path) -> dict[Path, str]:
    """Each file that has the version, with the pattern of its line; the version is the group."""
    projects = [
        root / "kernel" / "pyproject.toml",
        root / "all" / "pyproject.toml",
        *root.glob("plugins/*/pyproject.toml"),
    ]
    return {
        **dict.fromkeys(projects, r'^version = "(.*)"$'),
        root / "kernel" / "src" / "phasegraph" / "__init__.py": r'^__version__ = "(.*)"$',
        root / "CITATION.cff": r"^version: (.*)$",
    }


def versions(root: Path) -> dict[str, str]:
    """File -> the version in it. Raises SystemExit for a file without one."""
    found = {}
    for path, pattern in places(root).items():
        match = re.search(pattern, path.read_text("utf-8"), re.MULTILINE)
        if match is None:
            raise SystemExit(f"{path.relative_to(root)} has no line {pattern}")
        found[str(path.relative_to(root))] = match[1]
    return found


def prepare(root: Path, version: str, today: datetime.date) -> int:
    """Write the version everywhere; returns the exit code."""
    versions(root)
    major_minor, major = version.rpartition(".")[0], int(version.split(".")[0])
    following = f"{major + 1}.0" if major else f"0.{int(version.split('.')[1]) + 1}"
    for path, pattern in places(root).items():
        text = path.read_text("utf-8")
        text = re.sub(pattern, lambda line: line[0].replace(line[1], version), text, count=1, flags=re.MULTILINE)
        if path.suffix == ".toml":  # our packages ask for each other
            text = re.sub(
                r'("phasegraph[\w-]*(?:\[\w+\])?)>=[\d.]+,<[\d.]+"', rf'\1>={major_minor},<{following}"', text
            )
        path.write_text(text, "utf-8")
    changelog = root / "CHANGELOG.md"
    text, count = re.subn(
        r"^## Unreleased.*$", f"## {version} ({today})", changelog.read_text("utf-8"), flags=re.MULTILINE
    )
    if count != 1:
        raise SystemExit("CHANGELOG.md has no heading '## Unreleased'")
    changelog.write_text(text, "utf-8")
    print(f"{version} is in {len(places(root))} files and in CHANGELOG.md. Read the changes, commit them, then: verify")
    return 0


def verify() -> int:
    """Build and check everything; returns the exit code."""
    (version,) = one_version(versions(ROOT))
    if subprocess.check_output(["git", "status", "--porcelain"], cwd=ROOT):
        raise SystemExit("the tree has changes: commit them first, so that the release is a commit")
    stamp = subprocess.check_output(["git", "log", "-1", "--format=%ct"], cwd=ROOT, text=True).strip()
    os.environ["SOURCE_DATE_EPOCH"] = stamp
    dev = load_dev()
    dev.build([])
    first = sums()
    if code := dev.build(["--try"]):
        return int(code)
    differing = [name for name, sum in sums().items() if first.get(name) != sum]
    if differing:
        raise SystemExit(f"two builds of one commit differ: {', '.join(differing)}")
    problems = [problem for path in sorted(DIST.iterdir()) for problem in problems_of(path, version)]
    if problems:
        raise SystemExit("\n".join(problems))
    lines = [f"{sum}  {name}" for name, sum in sorted(first.items())]
    (DIST / "SHA256SUMS").write_text("\n".join([*lines, ""]), "utf-8")
    print(f"{len(lines)} files of {version} are built alike twice, complete and tried. What is left:")
    print(f"  git tag -s v{version} && git push origin v{version}")
    print("  twine upload dist/*.whl dist/*.tar.gz")
    return 0


def one_version(found: dict[str, str]) -> set[str]:
    """The version that all files have. Raises SystemExit where they differ."""
    if len(set(found.values())) != 1:
        raise SystemExit(
            "the files have several versions: "
            + ", ".join(f"{v} {p}" for v, p in sorted((v, p) for p, v in found.items()))
        )
    return set(found.values())


def load_dev() -> ModuleType:
    """`dev.py`, which builds."""
    spec = importlib.util.spec_from_file_location("dev", ROOT / "tools" / "dev.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sums() -> dict[str, str]:
    """File of dist/ -> SHA-256."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in DIST.iterdir()}


def problems_of(path: Path, version: str) -> list[str]:
    """What is wrong with a file of dist/, in sentences."""
    if path.suffix == ".json":
        named = json.loads(path.read_text("utf-8"))["metadata"]["component"]["version"]
        return [] if named == version else [f"{path.name} is of {named}"]
    if f"-{version}" not in path.name:
        return [f"{path.name} is not of {version}"]
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            names = wheel.namelist()
    else:
        with tarfile.open(path) as archive:
            names = archive.getnames()
    # hatchling puts .gitignore into each source distribution, by which a build from that knows what to leave out.
    foreign = [name for name in names if re.search(r"__pycache__|\.pyc$|/\.git(?!ignore$)|\.venv|\.env$", name)]
    return [f"{path.name} has {name}" for name in foreign]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
