"""One status with its reporting delay (BCP-008-01 and -02, "status reporting delay" and "transition counters").

Theory. Let o(t) be the observed health. The status reports

    r(t) = the worst o over the last ``delay``, where none of it was neutral,

which becomes worse with o and better only after o has been better for the whole delay. Three times are enough for it:
when each health was last observed. A neutral observation is reported at once, and so is the first one after it.

After an activation the status waits: until ``delay`` has passed it does not become worse, and then it reports what is
observed at that instant.
"""

from __future__ import annotations

from .domain_health import Health, Observation

PREVIOUSLY = "Previously: "


class ReportedStatus:
    """One domain of a monitor. Times are local nanoseconds and never decrease."""

    def __init__(self, initial: Observation) -> None:
        self.health = initial.health
        self.message = initial.message
        self.transitions = 0
        """Transitions to a less healthy state; those from and to neutral states are not counted."""
        self._observed = initial
        self._last_ns: dict[Health, int] = {}
        """When each health was last observed, since the last neutral observation or activation."""
        self._waiting_until_ns: int | None = None
        """Until when an activation keeps the status from becoming worse."""
        self._reasons: dict[Health, str | None] = {initial.health: initial.message}

    def note(self, observed: Observation, now_ns: int, delay_ns: int) -> None:
        """Take an observation that holds from now on."""
        if Health.NEUTRAL not in (observed.health, self._observed.health):
            self.advance(now_ns, delay_ns)  # the one before held until now
        self._observed = observed
        self._reasons[observed.health] = observed.message
        self.advance(now_ns, delay_ns)

    def advance(self, now_ns: int, delay_ns: int) -> None:
        """Let time pass without a new observation."""
        observed = self._observed
        if observed.health is Health.NEUTRAL:
            self._last_ns.clear()
            self._waiting_until_ns = None
            self._report(observed.health, None)
            return
        if self._waiting_until_ns is not None:
            if now_ns < self._waiting_until_ns:
                if self.health is Health.NEUTRAL:
                    self._report(Health.HEALTHY, None)
                return
            self._waiting_until_ns = None
        if self.health is Health.NEUTRAL:
            self._last_ns.clear()
        self._last_ns[observed.health] = now_ns
        worst = max(
            health for health, at_ns in self._last_ns.items() if health is observed.health or now_ns - at_ns < delay_ns
        )
        self._report(worst, self._reasons.get(worst))

    def begin_activation(self, now_ns: int, delay_ns: int, healthy_at_once: bool) -> None:
        """An activation: ``healthy_at_once`` for domains that have an inactive state."""
        self._last_ns.clear()
        self._waiting_until_ns = now_ns + delay_ns
        if healthy_at_once:
            self._report(Health.HEALTHY, None)

    def reset(self) -> None:
        """Set the counter to zero and forget the message; the status stays."""
        self.transitions = 0
        self.message = None
        self._reasons.clear()

    def next_change_ns(self, delay_ns: int) -> int | None:
        """When `advance` may report something else without a new observation; None if it never does."""
        if self._waiting_until_ns is not None:
            return self._waiting_until_ns
        if self.health > self._observed.health > Health.NEUTRAL:
            return self._last_ns.get(self.health, 0) + delay_ns
        return None

    def _report(self, health: Health, reason: str | None) -> None:
        before, self.health = self.health, health
        if health > before > Health.NEUTRAL:
            self.transitions += 1
        if health > Health.HEALTHY:
            self.message = reason
        elif before > Health.HEALTHY and health is Health.HEALTHY:
            self.message = None if self.message is None else PREVIOUSLY + self.message.removeprefix(PREVIOUSLY)
        elif health is Health.NEUTRAL:
            self.message = None
