"""From options to settings: profiles, ranges, identities."""

from __future__ import annotations

from typing import Any

import pytest

from phasegraph.testing import make_session
from phasegraph_ptp.options import PtpConfig
from phasegraph_ptp.profiles import PROFILES, ProfileName
from phasegraph_ptp.protocol import PortRole, Unicast
from phasegraph_ptp.settings_from_config import (
    make_identity,
    option_problems,
    settings_from_config,
    socket_settings_from_config,
)

MAC = bytes.fromhex("001dc1123456")


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_is_within_its_own_ranges(profile: ProfileName) -> None:
    config = PtpConfig(profile=profile)
    assert list(option_problems(config)) == []
    settings = settings_from_config(config)
    assert settings.domain == PROFILES[profile].domain.default
    assert settings.log_sync_interval == PROFILES[profile].log_sync_interval.default
    assert (settings.synchronization_metadata is not None) == (profile == "st2059-2")


def test_every_value_can_be_overridden() -> None:
    config = PtpConfig(
        profile="st2059-2",
        role="ordinary",
        domain=5,
        priority1=1,
        priority2=2,
        log_announce_interval=0,
        announce_receipt_timeout=4,
        log_sync_interval=-5,
        log_min_delay_req_interval=0,
        log_min_pdelay_req_interval=1,
        unicast="hybrid",
        clock_class=6,
    )
    assert list(option_problems(config)) == []
    settings = settings_from_config(config)
    assert (settings.domain, settings.priority1, settings.priority2, settings.clock_class) == (5, 1, 2, 6)
    assert (settings.log_announce_interval, settings.log_sync_interval) == (0, -5)
    assert (settings.announce_receipt_timeout, settings.role, settings.unicast) == (
        4,
        PortRole.ORDINARY,
        Unicast.HYBRID,
    )


@pytest.mark.parametrize(
    ("options", "option", "words"),
    [
        ({"log_announce_interval": -3}, "log-announce-interval", "-3 is outside what the profile aes67 allows: 0 to 4"),
        ({"profile": "enterprise", "log_announce_interval": 1}, "log-announce-interval", "allows: 0 only"),
        ({"profile": "st2059-2", "log_sync_interval": 0}, "log-sync-interval", "-7 to -1"),
        ({"announce_receipt_timeout": 11}, "announce-receipt-timeout", "2 to 10"),
        ({"accept": ("no one",)}, "accept", "expected a clock identity such as"),
        ({"unicast": "negotiated"}, "unicast-servers", "no server to negotiate with"),
        ({"unicast_servers": ("192.0.2.1",)}, "unicast-servers", "unicast = 'negotiated' only"),
        ({"unicast": "negotiated", "unicast_servers": ("gm.local",)}, "unicast-servers", "'gm.local' is not a unicast"),
        ({"unicast": "negotiated", "unicast_servers": ("fe80::1",)}, "unicast-servers", "address of udp4"),
        ({"unicast": "negotiated", "unicast_servers": ("224.0.1.129",)}, "unicast-servers", "not a unicast"),
        ({"unicast": "hybrid", "delay_mechanism": "p2p"}, "unicast", "delay-mechanism is p2p"),
        ({"general_port": 319}, "general-port", "two ports"),
        ({"interface": ("eth0", "eth0")}, "interface", "on two different ones"),
        ({"interface": ("eth0", "eth1", "eth2")}, "interface", "on one interface, or on two"),
        ({"interface": ()}, "interface", "on one interface, or on two"),
        ({"interface": ("eth0", "")}, "interface", "has no name"),
        ({"interface": ("eth0", "eth1"), "role": "grandmaster"}, "interface", "for a follower"),
        ({"interface": ("eth0", "eth1"), "management_socket": "/run/ptp"}, "management-socket", "one port only"),
        ({"reference": "other"}, "reference", "a follower serves no time"),
        ({"leap_seconds": "list"}, "leap-seconds", "a follower serves no time"),
        ({"time_zone": "Europe/Entenhausen"}, "time-zone", "no time zone 'Europe/Entenhausen' is known here"),
        ({"time_zone": "../etc"}, "time-zone", "no time zone"),
    ],
)
def test_what_is_refused(options: dict[str, Any], option: str, words: str) -> None:
    ((where, message, _),) = option_problems(PtpConfig(**options))
    assert where == option
    assert words in message


@pytest.mark.parametrize(
    ("options", "unicast"),
    [
        ({}, Unicast.OFF),
        ({"profile": "enterprise"}, Unicast.HYBRID),
        ({"profile": "enterprise", "unicast": "off"}, Unicast.OFF),
        ({"profile": "enterprise", "delay_mechanism": "p2p"}, Unicast.OFF),
        ({"unicast": "hybrid"}, Unicast.HYBRID),
    ],
)
def test_the_enterprise_profile_asks_by_unicast(options: dict[str, Any], unicast: Unicast) -> None:
    assert list(option_problems(PtpConfig(**options))) == []
    assert settings_from_config(PtpConfig(**options)).unicast is unicast


def test_all_problems_are_listed_at_once_with_their_places() -> None:
    from phasegraph import GraphError

    text = 'schema = 1\n[clocks.house]\nkind = "ptp"\nlog-sync-interval = 4\naccept = ["x"]\n'
    with pytest.raises(GraphError) as refusal:
        make_session(text)
    assert [problem.path for problem in refusal.value.problems] == [
        "clocks.house.log-sync-interval",
        "clocks.house.accept",
    ]


def test_servers_are_written_as_arrivals_have_them() -> None:
    config = PtpConfig(transport="udp6", unicast="negotiated", unicast_servers=("FE80:0::1%eth0",))
    assert list(option_problems(config)) == []
    assert settings_from_config(config).servers == ("fe80::1",)


def test_code_points() -> None:
    assert (
        socket_settings_from_config(PtpConfig(), "eth0").event_dscp,
        socket_settings_from_config(PtpConfig(), "eth0").general_dscp,
    ) == (46, 46)
    dante = socket_settings_from_config(PtpConfig(dscp="dante", general_dscp=10), "eth0")
    assert (dante.event_dscp, dante.general_dscp) == (56, 10)


def test_identities() -> None:
    identity = make_identity(MAC, "house", "grandmaster")
    assert identity == make_identity(
        MAC, "house", "grandmaster"
    )  # the same after a restart: session descriptions name it
    assert identity != make_identity(MAC, "spare", "grandmaster")
    octets = identity.to_bytes(8, "big")
    assert octets[:3] + octets[5:] == bytes.fromhex("021dc1123456")
    assert octets[3:5] != b"\xff\xfe"  # ptp4l's, on the same interface
    assert make_identity(b"", "a") != make_identity(b"", "b")
