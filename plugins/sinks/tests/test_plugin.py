import subprocess
import sys
import tomllib

import msgspec
import pytest

import phasegraph_sinks
from phasegraph import API_VERSION, NodeError
from phasegraph_sinks import library, recording


def kinds():
    sources = [("sources", kind) for kind in phasegraph_sinks.register_sources()]
    return sources + [("sinks", kind) for kind in phasegraph_sinks.register_sinks()]


def test_registers_its_kinds():
    names = {(role, kind.kind) for role, kind in kinds()}
    assert names == {("sources", "file"), ("sources", "tone"), ("sinks", "file"), ("sinks", "null")}
    assert all(kind.api == API_VERSION and kind.domain == "none" and kind.summary for _, kind in kinds())


@pytest.mark.parametrize(("role", "kind"), kinds())
def test_examples_name_options_that_exist(role, kind):
    (table,) = tomllib.loads(kind.example)[role].values()
    assert table.pop("kind") == kind.kind
    names = {field.encode_name for field in msgspec.structs.fields(kind.config)}
    assert set(table) <= names


def test_loads_no_audio_library():
    code = (
        "import sys, phasegraph_sinks as plugin; plugin.register_sources(); plugin.register_sinks();"
        "sys.exit('soundfile' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_library_names_its_remedy(monkeypatch):
    def missing(name):
        raise OSError("sndfile library not found")

    monkeypatch.setattr(library.importlib, "import_module", missing)
    with pytest.raises(NodeError, match="libsndfile1"):
        library.soundfile()


def test_switches_of_another_module_are_left_alone():
    assert library.set_flag(object(), recording._SET_UPDATE_HEADER_AUTO) is False
