"""A port that follows no master says why, with what arrives and what to set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from phasegraph.ieee1588 import DelayReq, Flag, FollowUp, Sync
from phasegraph_ptp.protocol import PortRole, PortState, Settings

from .bench import GM, OTHER, Bench, S, announce

ID = "02-00-00-00-00-00-00-AA"


def trouble(bench: Bench) -> str:
    bench.clock.update_trouble(bench.now_ns)
    bench._obey()
    return bench.clock.trouble


def heard(bench: Bench, seconds: float, send: Callable[[Bench, int], None]) -> str:
    """What is the trouble after some seconds in which something arrives eight times a second."""
    for number in range(round(seconds * 8)):
        bench.at(bench.now_ns + S // 8)
        send(bench, number)
        trouble(bench)
    return bench.clock.trouble


def announced(**fields: Any) -> Callable[[Bench, int], None]:
    return lambda bench, number: bench.receive(announce(sequence=number, **fields))


def synced(**fields: Any) -> Callable[[Bench, int], None]:
    def send(bench: Bench, number: int) -> None:
        bench.receive(Sync(source=GM, sequence=number, flags=Flag.TWO_STEP, **fields))
        bench.receive(FollowUp(source=GM, sequence=number, precise_origin_ns=bench.now_ns, **fields))

    return send


def version_1(bench: Bench, _number: int) -> None:
    bench.clock.refuse_version(1, "10.0.0.9", bench.now_ns)


@pytest.mark.parametrize(
    ("send", "settings", "sentence"),
    [
        (
            announced(domain=0),
            {"domain": 3},
            f"no Announce in domain 3 on eth0; grandmaster {ID} (10.0.0.170) is in domain 0: set domain = 0",
        ),
        (synced(domain=127), {}, f"grandmaster {ID} (10.0.0.170) is in domain 127: set domain = 127"),
        (announced(major_sdo=1), {}, f"{ID} (10.0.0.170) sends sdoId 0x100, as gPTP (IEEE 802.1AS) does"),
        (announced(major_sdo=2), {}, "sends sdoId 0x200: set the grandmaster to an IEEE 1588 profile"),
        (version_1, {}, "no PTP version 2 on eth0; 10.0.0.9 sends version 1: switch a Dante device to AES67 mode"),
        (synced(), {}, f"no Announce in domain 0 on eth0, though {ID} (10.0.0.170) sends Sync: let it send Announce"),
        (announced(flags=Flag.ALTERNATE_MASTER), {}, "announces itself as an alternate master only"),
        (announced(steps_removed=255), {}, "have passed 255 clocks: look for a loop"),
        (
            announced(),
            {"accept": frozenset({1})},
            f"grandmaster {ID} (10.0.0.170) announces itself, but is not in accept",
        ),
        (
            lambda bench, number: bench.receive(DelayReq(source=OTHER, sequence=number), source="10.0.0.3"),
            {},
            "no Announce in domain 0 on eth0; 10.0.0.3 sends DelayReq only, and is no grandmaster: add one",
        ),
        (lambda bench, number: None, {}, "no PTP message on eth0: is a grandmaster there"),
    ],
)
def test_what_arrives_instead(send: Callable[[Bench, int], None], settings: dict[str, Any], sentence: str) -> None:
    bench = Bench(Settings(**settings))
    heard(bench, 8, send)
    assert sentence in bench.clock.trouble
    (event,) = bench.told("ptp_trouble")
    assert event.fields["reason"] == bench.clock.trouble


def test_no_trouble_is_reported_too_early_or_once_a_master_is_followed() -> None:
    bench = Bench()
    assert heard(bench, 2, announced(domain=4)) == ""
    assert "in domain 4" in heard(bench, 3, announced(domain=4))
    bench.announced()
    bench.carry_on(2)
    assert trouble(bench) == ""
    bench.at(bench.now_ns + 20 * S)
    assert bench.clock.state is PortState.LISTENING
    assert trouble(bench) == "" or "no PTP message" in trouble(bench)  # what was of before is forgotten


def test_a_master_that_misses_something_comes_before_another_domain_and_silence_last() -> None:
    bench = Bench(Settings(accept=frozenset({1})))

    def send(bench: Bench, number: int) -> None:
        announced(domain=4)(bench, number)
        version_1(bench, number)
        announced()(bench, number)

    assert "not in accept" in heard(bench, 8, send)
    assert "no PTP message" in heard(bench, 40, lambda bench, number: None)


def test_follow_ups_to_syncs_without_the_two_step_flag() -> None:
    bench = Bench()
    bench.announced()

    def send(bench: Bench, number: int) -> None:
        bench.receive(Sync(source=GM, sequence=number, flags=0))
        bench.receive(FollowUp(source=GM, sequence=number, precise_origin_ns=bench.now_ns))
        if number % 8 == 0:
            bench.receive(announce(sequence=100 + number))

    assert "its Syncs lack the two-step flag" in heard(bench, 2, send)
    assert bench.samples == []  # their origin is zero
    heard(bench, 20, send)
    assert "lack the two-step flag" in bench.clock.trouble
    assert "two-step flag" in str(bench.told("master_demoted")[0].fields["reason"])


def test_a_demoted_master() -> None:
    bench = Bench()
    bench.announced()
    found = heard(
        bench, 12, lambda bench, number: bench.receive(announce(sequence=number)) if number % 8 == 0 else None
    )
    assert found.startswith(f"grandmaster {ID} (10.0.0.170) is passed over: it announces itself, but no Sync")
    assert found.endswith("do a switch or a firewall let its event messages pass?")


def test_a_grandmaster_that_defers_or_waits_and_a_port_without_an_interface() -> None:
    bench = Bench(Settings(role=PortRole.GRANDMASTER), serving=True)
    bench.announced(priority1=10)
    assert "silent, as grandmaster" in trouble(bench)
    assert "set master-only" in bench.clock.trouble
    bench.clock.fault("eth0 is gone")
    bench.at(bench.now_ns + S)
    assert trouble(bench) == "eth0 is gone: it is used again when it is back"
    waiting = Bench(Settings(role=PortRole.GRANDMASTER))
    waiting.at(30 * S)
    assert trouble(waiting) == "there is no time to serve yet: its reference is not locked"


def test_events_are_bounded_whatever_strangers_send() -> None:
    bench = Bench()

    def send(bench: Bench, number: int) -> None:
        kinds = [announced(domain=number % 128), announced(major_sdo=3), version_1, synced()]
        kinds[number // 80 % 4](bench, number)

    heard(bench, 120, send)
    assert len(bench.told("ptp_trouble")) <= 2 * 5
    assert len(bench.clock._port.diagnosis._seen) <= 6
