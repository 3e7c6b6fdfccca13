"""The reporting delay: worse at once, better only after the delay, healthy while an activation settles."""

from hypothesis import given
from hypothesis import strategies as st

from phasegraph_nmos.status_monitors.domain_health import HEALTHY, NEUTRAL, Health, Observation
from phasegraph_nmos.status_monitors.reported_status import ReportedStatus

S = 1_000_000_000
DELAY = 3 * S
BAD = Observation(Health.UNHEALTHY, "nothing is received")
HALF = Observation(Health.PARTIALLY_HEALTHY, "one leg is silent")


def settled() -> ReportedStatus:
    status = ReportedStatus(HEALTHY)
    status.note(HEALTHY, 0, DELAY)
    return status


def test_worse_is_reported_at_once_and_counted() -> None:
    status = settled()
    status.note(BAD, 10 * S, DELAY)
    assert (status.health, status.message, status.transitions) == (Health.UNHEALTHY, "nothing is received", 1)


def test_better_is_reported_after_it_has_lasted_for_the_delay() -> None:
    status = settled()
    status.note(BAD, 10 * S, DELAY)
    status.note(HEALTHY, 12 * S, DELAY)
    assert status.next_change_ns(DELAY) == 15 * S
    status.advance(15 * S - 1, DELAY)
    assert status.health is Health.UNHEALTHY
    status.advance(15 * S, DELAY)
    assert (status.health, status.message) == (Health.HEALTHY, "Previously: nothing is received")
    assert status.transitions == 1


def test_a_relapse_begins_the_delay_again_without_a_transition() -> None:
    status = settled()
    status.note(BAD, 10 * S, DELAY)
    status.note(HEALTHY, 12 * S, DELAY)
    status.note(BAD, 14 * S, DELAY)
    status.note(HEALTHY, 14 * S, DELAY)
    status.advance(17 * S - 1, DELAY)
    assert (status.health, status.transitions) == (Health.UNHEALTHY, 1)
    status.advance(17 * S, DELAY)
    assert status.health is Health.HEALTHY


def test_recovery_passes_through_the_worst_of_the_last_delay() -> None:
    status = settled()
    status.note(BAD, 10 * S, DELAY)
    status.note(HALF, 11 * S, DELAY)
    status.note(HEALTHY, 12 * S, DELAY)
    seen = []
    for at in range(11 * S, 17 * S, S // 2):
        status.advance(max(at, 12 * S), DELAY)
        seen.append(status.health)
    assert seen.index(Health.PARTIALLY_HEALTHY) < seen.index(Health.HEALTHY)
    assert sorted(seen, reverse=True) == seen
    assert status.message == "Previously: one leg is silent"


def test_an_activation_is_healthy_until_the_delay_has_passed() -> None:
    status = ReportedStatus(NEUTRAL)
    status.begin_activation(10 * S, DELAY, True)
    status.note(BAD, 10 * S, DELAY)
    assert status.health is Health.HEALTHY
    assert status.next_change_ns(DELAY) == 13 * S
    status.advance(13 * S - 1, DELAY)
    assert status.health is Health.HEALTHY
    status.advance(13 * S, DELAY)
    assert (status.health, status.transitions) == (Health.UNHEALTHY, 1)


def test_what_went_well_again_before_the_delay_passed_was_never_reported() -> None:
    status = ReportedStatus(NEUTRAL)
    status.begin_activation(10 * S, DELAY, True)
    status.note(BAD, 11 * S, DELAY)
    status.note(HEALTHY, 12 * S, DELAY)
    status.advance(13 * S, DELAY)
    assert (status.health, status.transitions) == (Health.HEALTHY, 0)


def test_a_deactivation_is_inactive_at_once() -> None:
    status = settled()
    status.note(BAD, 10 * S, DELAY)
    status.note(NEUTRAL, 10 * S + 1, DELAY)
    assert (status.health, status.message, status.transitions) == (Health.NEUTRAL, None, 1)
    assert status.next_change_ns(DELAY) is None


def test_without_a_delay_it_reports_what_it_observes() -> None:
    status = settled()
    for at, seen in enumerate((BAD, HEALTHY, HALF, BAD, HALF)):
        status.note(seen, at, 0)
        assert status.health is seen.health


steps = st.lists(st.tuples(st.sampled_from([HEALTHY, HALF, BAD]), st.integers(0, 5 * S)), min_size=1, max_size=30)


@given(steps, st.integers(0, 4 * S), st.integers(0, 4 * S))
def test_the_report_is_the_worst_of_the_last_delay(steps, delay_ns: int, wait_ns: int) -> None:
    status = ReportedStatus(HEALTHY)
    status.note(HEALTHY, 0, delay_ns)
    now, held, transitions, before = 0, [(0, Health.HEALTHY)], 0, Health.HEALTHY
    for observed, pause_ns in [*steps, (steps[-1][0], wait_ns)]:
        now += pause_ns
        status.note(observed, now, delay_ns)
        held.append((now, observed.health))
        ends = [at for at, _ in held[1:]]
        recent = [health for (_, health), end in zip(held, [*ends, now], strict=True) if now - end < delay_ns]
        assert status.health is max([observed.health, *recent])
        transitions += status.health > before
        before = status.health
    assert status.transitions >= transitions


@given(st.lists(st.tuples(st.sampled_from([NEUTRAL, HEALTHY, HALF, BAD, "start"]), st.integers(0, 5 * S)), max_size=40))
def test_it_never_reports_better_than_it_observes_except_while_an_activation_settles(steps) -> None:
    status = ReportedStatus(NEUTRAL)
    now, observed, started = 0, NEUTRAL, -DELAY
    for step, pause_ns in steps:
        now += pause_ns
        if isinstance(step, str):
            status.begin_activation(now, DELAY, True)
            started = now
            continue
        status.note(step, now, DELAY)
        observed = step
        if observed.health is Health.NEUTRAL:
            assert status.health is Health.NEUTRAL
            started = -DELAY
        elif now - started < DELAY:
            assert status.health is not Health.NEUTRAL
        else:
            assert status.health >= observed.health
        due = status.next_change_ns(DELAY)
        assert due is None or due >= now - DELAY
