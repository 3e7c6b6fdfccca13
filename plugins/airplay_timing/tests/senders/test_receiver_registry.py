"""Which receivers are served while several senders add and remove them."""

from __future__ import annotations

from phasegraph_airplay_timing.senders.airptp import AirptpCommand
from phasegraph_airplay_timing.senders.cliairplay import ControlRequest, ControlVerb
from phasegraph_airplay_timing.senders.receiver_registry import MOST_RECEIVERS, ReceiverRegistry

R, U = ControlVerb.REGISTER, ControlVerb.UNREGISTER


def test_a_receiver_stays_until_every_sender_has_removed_it() -> None:
    registry = ReceiverRegistry()
    registry.apply_airptp(AirptpCommand(1, "10.0.0.1"))
    for _ in range(2):
        registry.apply_control(ControlRequest(R, ("10.0.0.1",)))
    registry.apply_airptp(AirptpCommand(1, None))
    registry.apply_control(ControlRequest(U, ("10.0.0.1",)))
    assert registry.addresses == {"10.0.0.1"}
    registry.apply_control(ControlRequest(U, ("10.0.0.1",)))
    assert registry.addresses == frozenset()
    registry.apply_control(ControlRequest(U, ("10.0.0.1",)))
    registry.apply_control(ControlRequest(R, ("10.0.0.1",)))
    assert registry.addresses == {"10.0.0.1"}


def test_a_client_changes_the_address_of_its_receiver() -> None:
    registry = ReceiverRegistry()
    registry.apply_airptp(AirptpCommand(1, "10.0.0.1"))
    registry.apply_airptp(AirptpCommand(1, "10.0.0.2"))
    assert registry.addresses == {"10.0.0.2"}


def test_receivers_are_bounded() -> None:
    registry = ReceiverRegistry()
    for number in range(1000):
        registry.apply_airptp(AirptpCommand(number, f"10.0.{number // 256}.{number % 256}"))
        registry.apply_control(ControlRequest(R, (f"10.1.{number // 256}.{number % 256}",)))
    assert len(registry.addresses) == MOST_RECEIVERS
    assert registry.refused == 2000 - MOST_RECEIVERS


def test_receivers_survive_a_restart() -> None:
    registry, after = ReceiverRegistry(), ReceiverRegistry()
    registry.apply_airptp(AirptpCommand(7, "fe80::1"))
    for _ in range(2):
        registry.apply_control(ControlRequest(R, ("10.0.0.1",)))
    after.load(registry.to_lines() + "\nR nowhere\n\nx 10.0.0.9\n")
    assert after.addresses == {"10.0.0.1", "fe80::1"}
    after.apply_control(ControlRequest(U, ("10.0.0.1",)))
    after.apply_airptp(AirptpCommand(7, None))
    assert after.addresses == {"10.0.0.1"}, "two streams have named it"
    assert after.changed
