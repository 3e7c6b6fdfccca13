"""Monitors of receivers and senders: activation, overall status, counters, grandmaster changes."""

from msgspec.structs import replace

from phasegraph_nmos.status_monitors.domain_health import HEALTHY, NEUTRAL, Health, Observation
from phasegraph_nmos.status_monitors.run_observation import (
    LegLink,
    NodeFigures,
    observe_clock,
    observe_receiver,
    observe_sender,
)
from phasegraph_nmos.status_monitors.status_monitor import MonitorInput, PacketCounter, StatusMonitor

S = 1_000_000_000
LOCKED = {"state": "locked", "grandmaster": "00-0C-EC-FF-FE-0A-2B-A1"}


def figures(received: float = 1000, lost: float = 0, late: float = 0, **metrics) -> NodeFigures:
    rates = {"1": {"packets_received": received, "packets_lost": lost, "packets_late": late}}
    return NodeFigures(metrics=metrics, rates=rates, clock_kind="ptp", clock=LOCKED, legs=(LegLink("eth0", True),))


def receiving(activation: int = 0, active: bool = True, **more) -> MonitorInput:
    return observe_receiver(figures(**more), active, activation)


def test_an_idle_receiver_is_inactive_and_its_link_and_clock_are_watched() -> None:
    monitor = StatusMonitor(receiving(active=False), 0)
    assert monitor.overall is Health.NEUTRAL
    assert monitor.connection.health is monitor.content.health is Health.NEUTRAL
    assert monitor.link.health is monitor.synchronization.health is Health.HEALTHY
    assert monitor.source_id == LOCKED["grandmaster"]


def test_an_activation_without_a_stream_is_healthy_first_and_then_unhealthy() -> None:
    monitor = StatusMonitor(receiving(active=False), 0)
    silent = receiving(received=0)
    monitor.observe(silent, 10 * S)
    assert monitor.overall is Health.HEALTHY
    monitor.observe(silent, 12 * S)
    assert monitor.overall is Health.HEALTHY
    assert monitor.next_change_ns() == 13 * S
    monitor.advance_statuses(13 * S)
    assert monitor.overall is monitor.connection.health is monitor.content.health is Health.UNHEALTHY
    assert monitor.overall_message == "no packets are received"
    assert monitor.connection.transitions == 1


def test_a_deactivation_leaves_no_unhealthy_state_between() -> None:
    monitor = StatusMonitor(receiving(active=False), 0)
    monitor.observe(receiving(received=0), 10 * S)
    monitor.observe(receiving(received=0, active=False), 11 * S)
    assert monitor.overall is Health.NEUTRAL
    assert monitor.connection.transitions == 0


def test_an_activation_resets_the_counters_unless_that_is_switched_off() -> None:
    monitor = StatusMonitor(receiving(activation=1), 0)
    monitor.observe(receiving(activation=1, lost=7, packets_lost=7), 10 * S)
    assert monitor.connection.transitions == 1
    assert [counter.value for counter in monitor.counted("lost")] == [7]
    monitor.observe(receiving(activation=2, packets_lost=7), 11 * S)
    assert (monitor.connection.transitions, monitor.connection.health) == (0, Health.HEALTHY)
    assert [counter.value for counter in monitor.counted("lost")] == [0]
    monitor.auto_reset = False
    monitor.observe(receiving(activation=2, lost=2, packets_lost=9), 20 * S)
    monitor.observe(receiving(activation=3, packets_lost=9), 21 * S)
    assert monitor.connection.transitions == 1
    assert [counter.value for counter in monitor.counted("lost")] == [2]


def test_counters_of_a_node_that_starts_again_count_on_from_zero() -> None:
    monitor = StatusMonitor(receiving(packets_late=100), 0)
    monitor.reset()
    assert monitor.counted("late")[0] == PacketCounter("packets_late", 0, "received after they should have sounded")
    monitor.observe(receiving(packets_late=3), 1 * S)
    assert monitor.counted("late")[0].value == 3
    monitor.observe(receiving(packets_late=101), 2 * S)
    assert monitor.counted("late")[0].value == 101


def test_another_grandmaster_is_partially_healthy_for_the_delay() -> None:
    monitor = StatusMonitor(receiving(), 0)
    other = replace(receiving(), source_id="70-35-09-FF-FE-C7-DA-00")
    monitor.observe(other, 10 * S)
    assert monitor.synchronization.health is Health.PARTIALLY_HEALTHY
    assert monitor.overall is Health.PARTIALLY_HEALTHY
    assert "from 00-0C-EC-FF-FE-0A-2B-A1 to 70-35-09-FF-FE-C7-DA-00" in (monitor.synchronization.message or "")
    monitor.observe(other, 11 * S)
    monitor.observe(other, 14 * S)
    assert monitor.synchronization.health is Health.HEALTHY
    assert (monitor.synchronization.message or "").startswith("Previously: ")


def test_the_overall_status_is_the_worst_domain() -> None:
    monitor = StatusMonitor(receiving(), 0)
    half = Observation(Health.PARTIALLY_HEALTHY, "eth1 is down")
    monitor.observe(replace(receiving(), link=half), 10 * S)
    assert (monitor.overall, monitor.overall_message) == (Health.PARTIALLY_HEALTHY, "eth1 is down")
    monitor.observe(replace(receiving(lost=3), link=half), 11 * S)
    assert (monitor.overall, monitor.overall_message) == (Health.UNHEALTHY, "3 packets/s lost")


def test_what_a_receiver_observes() -> None:
    assert receiving().connection == HEALTHY
    assert receiving(late=2.5).connection == Observation(Health.UNHEALTHY, "2.5 packets/s late")
    legs = {"leg_a_packets_received": 9, "leg_b_packets_received": 9}
    one_silent = figures(**legs)
    rates = {"1": {**one_silent.rates["1"], "leg_a_packets_received": 1000.0, "leg_b_packets_received": 0.0}}
    seen = observe_receiver(replace(one_silent, rates=rates), True, 0)
    assert seen.connection == Observation(Health.PARTIALLY_HEALTHY, "leg B misses packets, which the other leg brings")
    assert seen.content == HEALTHY
    wrong = replace(
        figures(trouble="these are L16, described is L24"),
        rates={"1": {"packets_received": 1.0, "packets_malformed": 1000.0}},
    )
    assert observe_receiver(wrong, True, 0).content == Observation(Health.UNHEALTHY, "these are L16, described is L24")
    assert observe_receiver(replace(figures(), severity=3, text="failed: no such device"), True, 0).connection == (
        Observation(Health.UNHEALTHY, "failed: no such device")
    )


def test_links_of_two_legs() -> None:
    both = (LegLink("eth0", True), LegLink("eth1", False))
    assert observe_receiver(replace(figures(), legs=both), True, 0).link == (
        Observation(Health.PARTIALLY_HEALTHY, "eth1 is down")
    )
    none = (LegLink("eth0", False), LegLink("eth1", False))
    assert observe_receiver(replace(figures(), legs=none), True, 0).link == (
        Observation(Health.UNHEALTHY, "eth0, eth1 are down")
    )


def test_what_a_clock_shows() -> None:
    assert observe_clock(None, {}) == (NEUTRAL, "internal")
    assert observe_clock("system", {"state": "locked"}) == (NEUTRAL, "internal")
    assert observe_clock("ptp", LOCKED) == (HEALTHY, LOCKED["grandmaster"])
    seen, source_id = observe_clock("ptp", {"state": "unlocked", "trouble": "no grandmaster announces itself"})
    assert (seen.health, source_id) == (Health.UNHEALTHY, None)
    assert "no grandmaster announces itself" in (seen.message or "")
    assert observe_clock("ptp", {**LOCKED, "state": "holdover"})[0].health is Health.PARTIALLY_HEALTHY


def test_what_a_sender_observes() -> None:
    sends = NodeFigures(metrics={"packets_sent": 5, "send_errors": 0}, rates={"1": {"packets_sent": 1000.0}})
    seen = observe_sender(sends, True, 0)
    assert (seen.connection, seen.content, seen.synchronization) == (HEALTHY, HEALTHY, NEUTRAL)
    gaps = replace(sends, rates={"1": {"packets_sent": 1000.0, "underrun_frames": 48.0}})
    assert observe_sender(gaps, True, 0).content.health is Health.PARTIALLY_HEALTHY
    silent = replace(sends, feeding=(HEALTHY, Observation(Health.UNHEALTHY, "no packets are received")))
    assert observe_sender(silent, True, 0).content.message == "no packets are received"
    refused = replace(sends, metrics={"send_errors": 4, "leg_b_send_errors": 4}, rates={})
    assert observe_sender(refused, True, 0).connection.health is Health.UNHEALTHY
    names = [counter.name for counter in observe_sender(refused, True, 0).counters["errors"]]
    assert names == ["send_errors", "leg_b_send_errors", "sender_resyncs"]
