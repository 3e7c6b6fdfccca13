"""What is kept over restarts, and sessions that other devices announce."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from phasegraph_nmos.connection.connections import Connections
from phasegraph_nmos.connection.transport_params import PatchRefused
from phasegraph_nmos.gateway import announced_sessions
from phasegraph_nmos.model.resources import GATEWAY_RUN, Gateway
from phasegraph_nmos.nmos_command import nmos_command
from phasegraph_nmos.state_folder import StateFolder

from .nmos_site import IDENTITY, INTERFACES, TAI_NS, hall, parse_session, sdp

STREAM = {"group": "239.5.5.5", "port": 5010, "encoding": "L24", "rate": 48_000, "channels": 2}


def found(**changes: Any) -> dict[str, Any]:
    entry = {"by": "sap", "origin": "10.0.0.9", "key": "- 1 IN IP4 10.0.0.9", "sdp": sdp(), "ok": True}
    return {**entry, "name": "Dante", "problems": [], "streams": [STREAM], **changes}


def test_connections_are_kept_in_one_step(tmp_path: Path) -> None:
    folder = StateFolder(str(tmp_path / "state"))
    assert folder.read_connections() == {}
    folder.write_connections({"a": 1})
    assert folder.read_connections() == {"a": 1}
    assert [path.name for path in folder.path.iterdir()] == ["connections.json"]
    assert folder.path.stat().st_mode & 0o077 == 0


def test_what_controllers_set_in_the_device_model_is_kept_beside_it(tmp_path: Path) -> None:
    folder = StateFolder(str(tmp_path / "state"))
    assert folder.read_controls() == {}
    folder.write_controls({"root": {"userLabel": "Hall"}})
    assert folder.read_controls() == {"root": {"userLabel": "Hall"}}
    assert folder.read_connections() == {}


def test_the_node_of_a_run_is_a_node_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    all_runs, hall = StateFolder(), StateFolder("", "hall")
    assert hall.path == all_runs.path / "hall"
    assert hall.seed() == StateFolder("", "hall").seed() != all_runs.seed()
    assert hall.seed("a") == all_runs.seed("a")


@pytest.mark.parametrize("text", ["", "[", "[]", "5", "\x00"])
def test_a_damaged_file_is_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "connections.json").write_text(text)
    assert StateFolder(str(tmp_path)).read_connections() == {}


def test_the_seed_follows_from_a_text_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = StateFolder(str(tmp_path))
    assert folder.seed("a") == folder.seed("a") != folder.seed("b")
    monkeypatch.setattr("phasegraph_nmos.state_folder._MACHINE_ID", tmp_path / "nothing")
    assert folder.seed() == folder.seed() != folder.seed("a")


def test_usable_sessions_become_senders_that_can_only_be_received() -> None:
    listed = [
        found(),
        found(key="2", ok=False),
        found(key="3", streams=[]),
        found(key="4", streams=[{**STREAM, "encoding": "L8"}]),
    ]
    (session,) = announced_sessions(listed, "eth0")
    assert session.gateway == Gateway(
        key="- 1 IN IP4 10.0.0.9", name="Dante", encoding="L24", rate=48_000, channels=2, interface="eth0"
    )
    assert announced_sessions(listed, "eth0", frozenset({"239.5.5.5"})) == []
    connections = Connections(IDENTITY, parse_session)
    connections.follow([hall()], INTERFACES, {session.gateway.key: session.sdp})
    id = IDENTITY.endpoint_id("sender", GATEWAY_RUN, session.gateway.key)
    sender = connections.find("sender", id)
    assert sender.foreign_file == session.sdp
    assert sender.active.legs[0]["destination_ip"] == "239.5.5.5"
    assert sender.active.legs[0]["source_ip"] == "192.168.200.10"
    assert sender.constraints[0]["destination_ip"] == {"enum": ["239.5.5.5"]}
    assert sender.patch({"transport_params": [{"destination_port": 5010}]}, TAI_NS) is None
    for body in (
        {"activation": {"mode": "activate_immediate"}},
        {"transport_params": [{"destination_ip": "239.1.1.1"}]},
    ):
        with pytest.raises(PatchRefused) as refused:
            sender.patch(body, TAI_NS)
        assert refused.value.status == 400
    connections.follow([hall()], INTERFACES, {session.gateway.key: session.sdp})
    assert connections.find("sender", id) is sender
    connections.follow([hall()], INTERFACES, {})
    with pytest.raises(PatchRefused):
        connections.find("sender", id)


@pytest.mark.parametrize(
    ("text", "words"),
    [("port = 70000", "Expected `int` <= 65535"), ("prot = 5", "unknown field `prot`"), ("port =", "cannot be read")],
)
def test_a_wrong_configuration_is_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "nmos.toml"
    file.write_text(text)
    called = CliRunner().invoke(nmos_command, ["--config", str(file)])
    assert called.exit_code == 2
    assert words in called.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--interface", "nowhere0"], "there is no interface 'nowhere0' with an address"),
        (["--config", "KEYS"], "cannot use the keys in"),
        (["--config", "TLS"], "cannot use the certificate"),
    ],
)
def test_what_cannot_be_served_is_a_sentence(
    tmp_path: Path, options: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The reader of descriptions is another plugin's, which is not there where this one is tested alone.
    monkeypatch.setattr("phasegraph_nmos.node_process.session_parser", lambda: parse_session)
    (tmp_path / "keys.toml").write_text(f'token-keys = "{tmp_path}/none"\n')
    (tmp_path / "tls.toml").write_text(f'certificate = "{tmp_path}/none"\n')
    names = {"KEYS": str(tmp_path / "keys.toml"), "TLS": str(tmp_path / "tls.toml")}
    given = [*(names.get(option, option) for option in options), "--state", str(tmp_path), "--port", "0", "--no-mdns"]
    called = CliRunner().invoke(nmos_command, given)
    assert called.exit_code == 1, json.dumps(called.output)
    assert words in called.output
