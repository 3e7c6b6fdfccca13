"""The state machine of the one port of an ordinary clock (IEEE 1588-2019, 9.2), and what runs in which state."""

from __future__ import annotations

from phasegraph.ieee1588 import MessageType, SmpteSynchronizationMetadata, format_clock_identity

from .bmca import Recommended, recommend
from .data_sets import PortState, TimeProperties, default_data_set, own_candidate
from .foreign_masters import ForeignMaster, ForeignMasters
from .intervals import NEVER, NS_PER_S, period_ns
from .master import Mastering
from .peer_delay import PeerDelay
from .port import Port
from .port_actions import Followed, Parent
from .settings import DelayMechanism, Role, Unicast
from .slave import Following, Missing
from .unicast_client import Negotiation

OFF = (PortState.INITIALIZING, PortState.FAULTY, PortState.DISABLED)
_FOLLOWING = (PortState.UNCALIBRATED, PortState.SLAVE)
_HEARING = (*_FOLLOWING, PortState.PASSIVE)


class Machine:
    """States and what lives in them: a `Following` while one is followed, a `Mastering` while the port is MASTER."""

    def __init__(self, port: Port) -> None:
        self.state = PortState.INITIALIZING
        self.foreign = ForeignMasters(port.identity)
        self.incumbent: ForeignMaster | None = None
        """The master that is followed or, when PASSIVE, deferred to."""
        self._deferred_ns = 0
        """When PASSIVE: since when."""
        self.following: Following | None = None
        self.mastering: Mastering | None = None
        self.peer: PeerDelay | None = None
        self.negotiation: Negotiation | None = None
        self.metadata: SmpteSynchronizationMetadata | None = None
        self._port = port
        self._told: Parent | None = None
        """Whom the caller was last told to be followed, though that may have ended."""
        self._properties: TimeProperties | None = None
        self._listen_until_ns = NEVER
        self._qualified_ns = NEVER
        self._mastership_delay_ns = port.settings.mastership_delay_ns

    @property
    def deadline_ns(self) -> int:
        """When `tick` is wanted."""
        parts = (self.following, self.mastering, self.peer, self.negotiation)
        return min(
            self._decision_due_ns, self._ghost_ns, *(part.deadline_ns for part in parts if part is not None), NEVER
        )

    def start(self, now_ns: int) -> None:
        """INITIALIZING ends."""
        settings = self._port.settings
        if settings.delay_mechanism is DelayMechanism.P2P:
            self.peer = PeerDelay(self._port, now_ns)
        if settings.unicast is Unicast.NEGOTIATED:
            self.negotiation = Negotiation(self._port, now_ns)
        self._listen(now_ns)

    def tick(self, now_ns: int) -> None:
        """Do what is due."""
        if self.state not in OFF:
            self.permit(now_ns)
            for part in (self.peer, self.negotiation, self.following, self.mastering):
                if part is not None:
                    part.tick(now_ns)
            self._judge(now_ns)
            if now_ns >= self._decision_due_ns:
                self.decide(now_ns)

    def leave(self) -> None:
        """Tell the other sides of all contracts that these have ended."""
        if self.negotiation is not None:
            self.negotiation.close()
        if self.mastering is not None:
            self.mastering.close()

    def stop(self, state: PortState, **fields: str) -> None:
        """Leave everything, for FAULTY or DISABLED, or to begin anew."""
        if self.negotiation is not None:
            self.negotiation.close()
        self._become(state, **fields)
        self.peer = self.negotiation = None
        self.foreign = ForeignMasters(self._port.identity)
        self._port.forget_departures()

    def decide(self, now_ns: int) -> None:
        """The state decision event (9.2.6.8)."""
        if self.state in OFF:
            return
        settings = self._port.settings
        best = self.foreign.best(now_ns, self.incumbent, settings.announce_receipt_timeout)
        if self.incumbent is not None and now_ns >= self.incumbent.expires_ns(settings.announce_receipt_timeout):
            self._port.notice("announce_timeout", port=str(self.incumbent.port))
        if best is None and self.state is PortState.LISTENING and now_ns < self._listen_until_ns:
            return
        own = own_candidate(default_data_set(settings, self._port.identity))
        if settings.role is Role.FOLLOWER:
            if best is not None:
                self._follow(best, now_ns)
            elif self.state is not PortState.LISTENING:
                self._listen(now_ns)
            return
        match recommend(own, best.candidate if best is not None else None):
            case Recommended.MASTER:
                self._lead(now_ns)
            case Recommended.SLAVE if settings.role is Role.ORDINARY:
                assert best is not None
                self._follow(best, now_ns)
            case _:
                if self.state is not PortState.PASSIVE or best is not self.incumbent:
                    self._deferred_ns = now_ns
                self._become(PortState.PASSIVE)
                self.incumbent = best

    def calibrated(self) -> None:
        """UNCALIBRATED ends with the first measurement of offset and delay."""
        if self.state is PortState.UNCALIBRATED and self.following is not None and self.following.calibrated:
            self._become(PortState.SLAVE)

    def permit(self, now_ns: int) -> None:
        """A negotiating port asks for the delay as often as its master has granted."""
        if self.negotiation is not None and self.following is not None and self.following.requester is not None:
            address = self.following.master.address
            self.following.requester.grant(self.negotiation.period_ns(address, MessageType.DELAY_RESP, now_ns))

    @property
    def _decision_due_ns(self) -> int:
        settings = self._port.settings
        if self.incumbent is not None:
            return self.incumbent.expires_ns(settings.announce_receipt_timeout)
        if self.state is PortState.LISTENING and settings.role is not Role.FOLLOWER:
            return self._listen_until_ns
        if self.state is PortState.PRE_MASTER and self._port.estimate is not None:
            return self._qualified_ns
        return NEVER

    def _become(self, state: PortState, **fields: str) -> None:
        if state is self.state:
            return
        self._port.notice("state_changed", previous=self.state.name, state=state.name, **fields)
        self.state = state
        if state not in _HEARING:
            self.incumbent = None
        if self.following is not None and state not in _FOLLOWING:
            self._unfollow()
            if self.negotiation is not None:
                self.negotiation.leave()
            self._port.actions.append(Followed(None, True))
        if self.mastering is not None and state is not PortState.MASTER:
            self.mastering.close()
            self.mastering = None

    def _listen(self, now_ns: int) -> None:
        # Clocks that were switched on together do not all give up waiting at the same instant.
        period = period_ns(self._port.settings.log_announce_interval)
        waiting_ns = self._port.settings.announce_receipt_timeout * period + self._port.random.randrange(period)
        self._listen_until_ns = now_ns + waiting_ns
        self._become(PortState.LISTENING)

    def _lead(self, now_ns: int) -> None:
        if self.state is PortState.MASTER:
            return
        if self.state is not PortState.PRE_MASTER:
            self._qualified_ns = now_ns + self._mastership_delay_ns
        if now_ns < self._qualified_ns or self._port.estimate is None:
            self._become(PortState.PRE_MASTER)
            return
        self._mastership_delay_ns = 0
        self._become(PortState.MASTER)
        self.mastering = Mastering(self._port, now_ns)

    def _follow(self, best: ForeignMaster, now_ns: int) -> None:
        following = self.following
        if following is None or following.master is not best:
            self._unfollow()
            self._become(PortState.UNCALIBRATED)
            self.incumbent = best
            self.following = following = Following(self._port, best, now_ns)
            if self.negotiation is not None:
                self.negotiation.follow(best.address, now_ns)
        self._tell(following)

    def _unfollow(self) -> None:
        if self.following is not None:
            self.following.close()
            self.following = self.metadata = self._properties = None

    def _tell(self, following: Following) -> None:
        parent, told = following.parent, self._told
        properties = TimeProperties.of(following.master.announce)
        if self._properties is None or told is None or _essence(parent) != _essence(told):
            same = (
                told is not None
                and told.ptp_timescale is parent.ptp_timescale
                and (parent.ptp_timescale or told.grandmaster == parent.grandmaster)
            )
            self._told = parent
            self._port.actions.append(Followed(parent, same))
            if told is None or told.grandmaster != parent.grandmaster:
                self._port.notice(
                    "grandmaster_changed",
                    grandmaster=format_clock_identity(parent.grandmaster),
                    port=str(parent.port),
                    address=parent.address,
                    timescale="ptp" if parent.ptp_timescale else "arb",
                )
        if properties != self._properties:
            self._properties = properties
            self._port.notice(
                "time_properties_changed",
                utc_offset_s=properties.utc_offset_s if properties.utc_offset_valid else "unknown",
                leap_s=int(properties.leap61) - int(properties.leap59),
                traceable=int(properties.time_traceable),
                timescale="ptp" if properties.ptp_timescale else "arb",
            )

    @property
    def _ghost_ns(self) -> int:
        # When whom we defer to will be found to be a ghost. One that negotiates sends its Syncs to others.
        if self.state is not PortState.PASSIVE or self.incumbent is None or self.negotiation is not None:
            return NEVER
        return self.incumbent.ghost_ns(self._deferred_ns)

    def _judge(self, now_ns: int) -> None:
        missing = self.following.fault(now_ns) if self.following is not None else None
        if now_ns >= self._ghost_ns:
            missing = Missing.SYNC
        master = self.incumbent
        if master is None or missing is None:
            return
        # Of a master that negotiates no Sync can be heard before it is chosen again.
        silent = missing is Missing.SYNC and self.negotiation is None
        lasting_ns = master.demote(now_ns, silent=silent)
        self._port.notice(
            "master_demoted",
            port=str(master.port),
            grandmaster=format_clock_identity(master.announce.grandmaster),
            reason=f"it announces itself, but sends no {missing}",
            for_s=lasting_ns // NS_PER_S,
        )
        self.decide(now_ns)


def _essence(parent: Parent) -> tuple[object, ...]:
    # A host with two addresses is not two masters.
    return parent.port, parent.grandmaster, parent.ptp_timescale
