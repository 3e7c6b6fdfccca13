"""Commands that messages tell people to run, as they work on this machine and in this environment."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlparse


def kernel_command(*arguments: str) -> str:
    """A call of ``kernel`` with arguments, by the shortest name that calls this installation."""
    called = Path(sys.argv[0])
    found = shutil.which("kernel")
    if found is not None and os.path.realpath(found) == os.path.realpath(Path(sys.executable).with_name("kernel")):
        program = ["kernel"]
    elif called.stem == "kernel" and called.exists():
        program = [str(called)]
    else:
        program = [sys.executable, "-m", "phasegraph"]
    return shlex.join([*program, *arguments])


def install_command(requirement: str) -> str:
    """The command that installs a distribution, such as ``phasegraph-aes67[mdns]``, beside this Phasegraph."""
    tree = _source_tree()
    if tree is not None:
        return shlex.join(["python3", str(tree / "tools" / "dev.py"), "add", _in_tree(requirement, tree)])
    if find_spec("pip") is not None:
        return shlex.join([sys.executable, "-m", "pip", "install", requirement])
    if shutil.which("uv") is not None:
        return shlex.join(["uv", "pip", "install", "--python", sys.executable, requirement])
    return shlex.join(["python3", "-m", "pip", "--python", sys.executable, "install", requirement])


def _source_tree() -> Path | None:
    """The source tree that this Phasegraph is installed from in place (``tools/dev.py``), if it is."""
    from importlib.metadata import PackageNotFoundError, distribution  # its import is a tenth of a start

    try:
        direct = distribution("phasegraph").read_text("direct_url.json") or ""
    except PackageNotFoundError:
        return None
    match = re.search(r'"url": *"(file:[^"]*)"', direct)
    if match is None or '"editable": true' not in direct:
        return None
    tree = Path(unquote(urlparse(match[1]).path)).parent
    return tree if (tree / "tools" / "dev.py").is_file() else None


def _in_tree(requirement: str, tree: Path) -> str:
    name, bracket, extra = requirement.partition("[")
    folder = tree / (
        "kernel" if name == "phasegraph" else f"plugins/{name.removeprefix('phasegraph-').replace('-', '_')}"
    )
    return f"{folder}{bracket}{extra}" if folder.is_dir() else requirement
