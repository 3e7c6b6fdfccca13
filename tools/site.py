"""Writes the site: all pages of the tree as HTML with search, and the public API from docstrings.

    python3 tools/dev.py site                 into build/site; a wrong link is an error

The pages stay where they are read on a code host. They are copied into build/pages with the files that they link to,
so that relative links lead to the same places, and links to folders lead to their README.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from phasegraph.testing import suites

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "build" / "pages"
SITE = ROOT / "build" / "site"
PATTERNS = (
    "*.md",
    "docs/**/*.md",
    "examples/*.md",
    "plugins/*/README.md",
    "kernel/README.md",
    "tests/third_party/README.md",
)
NAVIGATION: dict[str, list[str]] = {
    "Start": ["README.md", "docs/install.md", "docs/gallery.md", "examples/README.md"],
    "Tasks": [
        "docs/receive.md",
        "docs/recording.md",
        "docs/send.md",
        "docs/listen.md",
        "docs/soundcard.md",
        "docs/rooms.md",
        "docs/ptp.md",
        "docs/airplay.md",
        "docs/strategies.md",
        "docs/discovery.md",
        "docs/simulate.md",
        "docs/service.md",
        "docs/console.md",
        "docs/monitoring.md",
        "docs/nmos.md",
        "docs/verify.md",
        "docs/flight-recorder.md",
        "docs/write-a-plugin.md",
    ],
    "Reference": [
        "docs/graph.md",
        "docs/running.md",
        "docs/control.md",
        "docs/interop.md",
        "docs/glossary.md",
        "docs/versions.md",
        "SECURITY.md",
        "CHANGELOG.md",
    ],
    "Plugins": ["kernel/README.md", "plugins/*/README.md", "tests/third_party/README.md"],
    "API": ["api/*.md"],
    "How it works": [
        "docs/architecture.md",
        "docs/threads.md",
        "docs/performance.md",
        "docs/validation/*.md",
        "docs/decisions/*.md",
    ],
    "Contributing": ["CONTRIBUTING.md", "docs/*.md", "*.md"],
}
"""Section -> pages in order; a pattern stands for pages that no other entry names."""
LINK = re.compile(r"(\]\()([^)#\s]+)([^)]*\))")
API = ("phasegraph", "phasegraph.control", "phasegraph.net", "phasegraph.ieee1588", "phasegraph.testing")
"""Modules that others may import."""


def main() -> int:
    """Write the site; returns the exit code of its generator."""
    shutil.rmtree(PAGES, ignore_errors=True)
    for page in sources():
        copy_page(page)
    write_api()
    config = ROOT / "build" / "site.json"
    config.write_text(json.dumps(settings(), indent=2), "utf-8")  # JSON is YAML
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--config-file", str(config)]
    code = subprocess.run(command, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}).returncode
    if code == 0:
        print(f"{len(list(SITE.rglob('*.html')))} pages: python3 -m http.server --directory {SITE.relative_to(ROOT)}")
    return code


def sources() -> list[Path]:
    """The pages of the tree."""
    return sorted({path for pattern in PATTERNS for path in ROOT.glob(pattern)})


def copy_page(page: Path) -> None:
    """Copy a page and the files that it links to; links to folders become links to what describes them."""

    def lead(match: re.Match[str]) -> str:
        begin, target, rest = match.groups()
        place = (page.parent / target).resolve()
        if re.match(r"[a-z]+:", target) or not place.is_relative_to(ROOT):
            return match[0]
        if place.is_dir():
            return f"{begin}{target.rstrip('/')}/README.md{rest}"
        if place.suffix != ".md":
            copy(place)
        return match[0]

    text = LINK.sub(lead, page.read_text("utf-8"))
    copy(page).write_text(text, "utf-8")


def copy(file: Path) -> Path:
    """Copy a file to its place among the pages, which is returned."""
    place = PAGES / file.relative_to(ROOT)
    place.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(file, place))


def write_api() -> None:
    """A page for each public module, which mkdocstrings fills."""
    folder = PAGES / "api"
    folder.mkdir(parents=True, exist_ok=True)
    for module in API:
        text = f"# {module}\n\n::: {module}\n    options:\n      members: {json.dumps(public_names(module))}\n"
        (folder / f"{module}.md").write_text(text, "utf-8")


def public_names(module: str) -> list[str]:
    """The names that a module offers."""
    offered = importlib.import_module(module)
    names = getattr(offered, "__all__", None) or [name for name in dir(offered) if not name.startswith("_")]
    names = {*names, *(suites.__all__ if module == "phasegraph.testing" else ())}
    return sorted(name for name in names if getattr(getattr(offered, name), "__module__", "").startswith("phasegraph"))


def navigation() -> list[dict[str, list[str]]]:
    """The sections with the pages that there are; each page once."""
    placed: set[str] = set()
    sections = []
    for title, patterns in NAVIGATION.items():
        found = [path for pattern in patterns for path in sorted(PAGES.glob(pattern))]
        names = dict.fromkeys(path.relative_to(PAGES).as_posix() for path in found)
        own = [name for name in names if name not in placed and not claimed_later(title, name)]
        placed |= set(own)
        sections.append({title: own})
    return sections


def claimed_later(title: str, name: str) -> bool:
    """Whether a later section names this page by its own name."""
    titles = list(NAVIGATION)
    return any(name in NAVIGATION[later] for later in titles[titles.index(title) + 1 :])


def settings() -> dict[str, object]:
    """What mkdocs reads."""
    options = {
        "docstring_style": "sphinx",
        "show_source": False,
        "show_root_heading": False,
        "show_root_toc_entry": False,
        "show_signature_annotations": True,
        "separate_signature": True,
        "heading_level": 2,
        "inherited_members": False,
        "allow_inspection": True,
    }
    paths = [str(path) for path in (ROOT / "kernel" / "src", *sorted(ROOT.glob("plugins/*/src")))]
    return {
        "site_name": "Phasegraph",
        "site_description": "Keeps network audio in phase with any clock",
        "docs_dir": str(PAGES),
        "site_dir": str(SITE),
        "use_directory_urls": False,
        "theme": {
            "name": "material",
            "font": False,
            "features": [
                "navigation.tabs",
                "navigation.indexes",
                "content.code.copy",
                "toc.follow",
                "search.highlight",
            ],
            "palette": [
                {"media": "(prefers-color-scheme: light)", "scheme": "default", "primary": "teal"},
                {"media": "(prefers-color-scheme: dark)", "scheme": "slate", "primary": "teal"},
            ],
        },
        "plugins": [
            "search",
            {"mkdocstrings": {"handlers": {"python": {"paths": paths, "options": options}}}},
        ],
        "markdown_extensions": [
            "tables",
            "admonition",
            "pymdownx.superfences",
            {"pymdownx.highlight": {"pygments_lang_class": True}},
            {"toc": {"permalink": True}},
        ],
        "validation": {
            "nav": {"omitted_files": "warn", "not_found": "warn", "absolute_links": "warn"},
            "links": {"not_found": "warn", "absolute_links": "warn", "unrecognized_links": "warn", "anchors": "warn"},
        },
        "nav": navigation(),
    }


if __name__ == "__main__":
    sys.exit(main())
