"""The public names of the package: one list, in the stub, which is what is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import phasegraph
import phasegraph._lazy_names as lazy

STUB = Path(phasegraph.__file__).with_suffix(".pyi")


def test_every_line_of_the_stub_is_a_name_or_the_version() -> None:
    lines = [line for line in STUB.read_text("utf-8").splitlines() if line.strip()]
    names = [line for line in lines if lazy._LINE.fullmatch(line)]
    assert [line for line in lines if line not in names] == [lines[0], "__version__: str"]
    assert len(names) == len(set(names)) == len(phasegraph.__all__)


@pytest.mark.parametrize("name", phasegraph.__all__)
def test_every_name_can_be_imported(name: str) -> None:
    assert getattr(phasegraph, name) is not None
    assert name in dir(phasegraph)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'phasegraph' has no attribute 'Nonsense'"):
        phasegraph.Nonsense  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import phasegraph, sys; print({'numpy', 'trio', 'msgspec', 'pluggy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"set()"
