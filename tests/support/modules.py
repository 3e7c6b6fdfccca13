"""Modules that no package has."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def load_module(path: str) -> ModuleType:
    """The module of a file of the tree, which is executed now, such as ``tools/names.py``."""
    spec = spec_from_file_location(f"loaded_{Path(path).stem}", ROOT / path)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where a dataclass looks for its module
    spec.loader.exec_module(module)
    return module
