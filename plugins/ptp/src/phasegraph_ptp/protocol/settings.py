"""Settings of a PTP instance: fixed while it runs, unless it is given new ones."""

from __future__ import annotations

import enum

import msgspec

from phasegraph.ieee1588 import SmpteSynchronizationMetadata


class PortRole(enum.StrEnum):
    """Which states a port may come to."""

    FOLLOWER = "follower"
    """Never a master (slaveOnly, 9.2.2.1): follows the best there is, however poor."""
    GRANDMASTER = "grandmaster"
    """Never a slave; PASSIVE while a better master announces itself, so that two of them do not fight."""
    ORDINARY = "ordinary"
    """Whichever the best master clock algorithm says."""


class DelayMechanism(enum.StrEnum):
    """How the delay of the path is measured; a port never mixes the two (11.3, 11.4)."""

    E2E = "e2e"
    P2P = "p2p"


class Unicast(enum.StrEnum):
    """Messages that a port sends by unicast without being asked. Unicast requests are always answered by unicast."""

    OFF = "off"
    HYBRID = "hybrid"
    """Delay_Req goes to the master alone; after three misses by multicast again, until unicast works."""
    NEGOTIATED = "negotiated"
    """All messages are negotiated (16.1), none is multicast."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A PTP instance with one port in one domain. Intervals are base-2 logarithms of seconds."""

    domain: int = 0
    sdo: int = 0
    """sdoId, 12 bits: majorSdoId times 256 plus minorSdoId."""
    minor_version: int = 0
    role: PortRole = PortRole.FOLLOWER
    priority1: int = 128
    priority2: int = 128
    clock_class: int = 248
    clock_accuracy: int = 0xFE
    clock_variance: int = 0xFFFF
    """offsetScaledLogVariance; 0xFFFF is unknown."""
    delay_mechanism: DelayMechanism = DelayMechanism.E2E
    log_announce_interval: int = 1
    log_sync_interval: int = -3
    log_min_delay_req_interval: int = 0
    """As a follower: requests no more often, and less often if the master states so. As a master: what it states."""
    log_min_pdelay_req_interval: int = 0
    announce_receipt_timeout: int = 3
    """Announce intervals without an Announce after which a master is gone (8.2.15.4.2)."""
    mastership_delay_ns: int = 0
    """Time in PRE_MASTER before the port becomes MASTER for the first time."""
    unicast: Unicast = Unicast.OFF
    servers: tuple[str, ...] = ()
    """Addresses to ask for unicast messages, where `unicast` is negotiated (17.4)."""
    request_duration_s: int = 300
    """The duration that is requested of them."""
    grant_clients: int = 64
    """Addresses with grants of a master (16.1) at the same time; 0 refuses all."""
    grant_duration_s: int = 600
    """Longest grant."""
    grant_log_interval: int = -4
    """Shortest interval of a grant."""
    answers_per_s: int = 2000
    """Delay_Req, Pdelay_Req and Signaling messages that are answered at most, from all senders together."""
    accept: frozenset[int] = frozenset()
    """clockIdentities of the only masters, or grandmasters, to follow (17.5); empty for all."""
    master_only: bool = False
    """A grandmaster defers to no other master (masterOnly, 8.2.15.5.2)."""
    path_trace: bool = False
    """Whether a master's Announces carry the path trace TLV (16.2)."""
    asymmetry_ns: int = 0
    """delayAsymmetry (7.4.2): how much longer the way from the master is than the mean of both ways."""
    synchronization_metadata: SmpteSynchronizationMetadata | None = None
    """Sent once a second by a grandmaster of SMPTE ST 2059-2."""

    @property
    def major_sdo(self) -> int:
        """majorSdoId, the upper four bits."""
        return self.sdo >> 8

    @property
    def minor_sdo(self) -> int:
        """minorSdoId, the lower eight bits."""
        return self.sdo & 0xFF
