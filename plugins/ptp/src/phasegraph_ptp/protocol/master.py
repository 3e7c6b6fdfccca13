"""The port as a master: what it sends by itself, and what it answers."""

from __future__ import annotations

from phasegraph import StampKind
from phasegraph.ieee1588 import (
    Action,
    Announce,
    DelayReq,
    DelayResp,
    Flag,
    FollowUp,
    Management,
    MessageType,
    PathTrace,
    Sync,
)
from phasegraph.ieee1588.messages import LOG_INTERVAL_UNKNOWN

from .data_sets import default_ds
from .intervals import NEVER, NS_PER_S, next_due_ns, period_ns
from .port import Port
from .port_actions import Destination
from .settings import Unicast
from .unicast_master import UnicastMaster


class Master:
    """Announces, Syncs with their Follow_Ups and Delay_Resps, as long as the port is MASTER."""

    def __init__(self, port: Port, now_ns: int) -> None:
        settings = port.settings
        self._port = port
        multicast = settings.unicast is not Unicast.NEGOTIATED
        self._next_announce_ns = self._next_sync_ns = now_ns if multicast else NEVER
        self._next_metadata_ns = now_ns if multicast and settings.synchronization_metadata else NEVER
        self.unicast_master = UnicastMaster(port, self._send_granted)
        self._closed = False

    @property
    def deadline_ns(self) -> int:
        """When `tick` is wanted."""
        return min(self._next_announce_ns, self._next_sync_ns, self._next_metadata_ns, self.unicast_master.deadline_ns)

    def tick(self, now_ns: int) -> None:
        """Send what is due."""
        settings = self._port.settings
        if now_ns >= self._next_announce_ns:
            log_interval = settings.log_announce_interval
            self._announce(Destination.PRIMARY, log_interval)
            self._next_announce_ns = next_due_ns(self._next_announce_ns, period_ns(log_interval), now_ns)
        if now_ns >= self._next_sync_ns:
            log_interval = settings.log_sync_interval
            self._sync(Destination.PRIMARY, log_interval)
            self._next_sync_ns = next_due_ns(self._next_sync_ns, period_ns(log_interval), now_ns)
        if now_ns >= self._next_metadata_ns:
            self._metadata()
            self._next_metadata_ns = next_due_ns(self._next_metadata_ns, NS_PER_S, now_ns)
        self.unicast_master.tick(now_ns)

    def answer_delay_req(self, message: DelayReq, source: str, unicast: bool, local_ns: int) -> None:
        """Somebody asks when its message came."""
        if not self._port.answers.allows(source, local_ns):
            self._port.drop("rate_limited")
            return
        destination = source if unicast else Destination.PRIMARY
        header = self._port.header(
            MessageType.DELAY_RESP,
            destination,
            sequence=message.sequence,
            log_interval=LOG_INTERVAL_UNKNOWN if unicast else self._port.settings.log_min_delay_req_interval,
            correction=message.correction,
        )
        receive_ns = self._port.reference_at(local_ns)
        self._port.send_general(DelayResp(**header, receive_ns=receive_ns, requesting=message.source), destination)

    def close(self) -> None:
        """The port is a master no longer."""
        self._closed = True
        self.unicast_master.close()

    def _send_granted(self, kind: MessageType, address: str, log_interval: int) -> None:
        if kind is MessageType.ANNOUNCE:
            self._announce(address, log_interval)
        else:
            self._sync(address, LOG_INTERVAL_UNKNOWN)

    def _announce(self, destination: Destination | str, log_interval: int) -> None:
        port, properties = self._port, self._port.properties
        default = default_ds(port.settings, port.identity)
        header = port.header(MessageType.ANNOUNCE, destination, log_interval=log_interval, flags=properties.flags)
        trace = (PathTrace((port.identity.clock,)).to_tlv(),) if port.settings.path_trace else ()
        message = Announce(
            **header,
            utc_offset_s=properties.utc_offset_s,
            priority1=default.priority1,
            clock_class=default.quality.clock_class,
            clock_accuracy=default.quality.accuracy,
            clock_variance=default.quality.variance,
            priority2=default.priority2,
            grandmaster=port.identity.clock,
            steps_removed=0,
            time_source=properties.time_source,
            tlvs=trace,
        )
        port.send_general(message, destination)

    def _sync(self, destination: Destination | str, log_interval: int) -> None:
        port = self._port
        header = port.header(MessageType.SYNC, destination, log_interval=log_interval, flags=Flag.TWO_STEP)
        sync = Sync(**header)

        def departed(local_ns: int, _stamp: StampKind) -> None:
            if self._closed:
                return
            header = port.header(MessageType.FOLLOW_UP, destination, sequence=sync.sequence, log_interval=log_interval)
            port.send_general(FollowUp(**header, precise_origin_ns=port.reference_at(local_ns)), destination)

        port.send_event(sync, destination, departed)

    def _metadata(self) -> None:
        metadata = self._port.settings.synchronization_metadata
        assert metadata is not None
        header = self._port.header(MessageType.MANAGEMENT, Destination.PRIMARY)
        message = Management(**header, action=Action.COMMAND, tlvs=(metadata.to_tlv(),))
        self._port.send_general(message, Destination.PRIMARY)
