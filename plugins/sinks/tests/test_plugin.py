import subprocess
import sys
import tomllib

import msgspec
import pytest

import phasegraph_sinks
from phasegraph import API_VERSION, NodeError
from phasegraph.testing import PluginSuite
from phasegraph_sinks.file import file_writer, libsndfile


class TestPlugin(PluginSuite):
    entry_point = "sinks"


def kinds():
    sources = [("sources", kind) for kind in phasegraph_sinks.register_sources()]
    return sources + [("sinks", kind) for kind in phasegraph_sinks.register_sinks()]


def test_registers_its_kinds():
    names = {(role, kind.kind) for role, kind in kinds()}
    sources, sinks = ("file", "soundcard", "tone"), ("file", "http", "meter", "null", "soundcard")
    assert names == {("sources", kind) for kind in sources} | {("sinks", kind) for kind in sinks}
    for _, kind in kinds():
        assert (kind.api, kind.domain) == (API_VERSION, "device" if kind.kind == "soundcard" else "none")
        assert kind.summary


@pytest.mark.parametrize(("role", "kind"), kinds())
def test_examples_name_options_that_exist(role, kind):
    (table,) = tomllib.loads(kind.example)[role].values()
    assert table.pop("kind") == kind.kind
    names = {field.encode_name for field in msgspec.structs.fields(kind.config)}
    assert set(table) <= names


@pytest.mark.slow
def test_loads_no_audio_library():
    code = (
        "import sys, phasegraph_sinks as plugin; plugin.register_sources(); plugin.register_sinks();"
        "sys.exit(bool({'soundfile', 'sounddevice', 'soxr'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_library_names_its_remedy(monkeypatch):
    def missing(name):
        raise OSError("sndfile library not found")

    monkeypatch.setattr(libsndfile.importlib, "import_module", missing)
    with pytest.raises(NodeError, match="libsndfile1"):
        libsndfile.soundfile()


def test_switches_of_another_module_are_left_alone():
    assert libsndfile.set_flag(object(), file_writer._SET_UPDATE_HEADER_AUTO) is False
