"""All senders and receivers of a node, and the activations that wait for their time. Times are TAI, in ns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from phasegraph import OfferedSession

from ..model.resource_identity import is_uuid
from ..model.resources import GATEWAY_RUN, ActiveState, HostInterface, NodeIdentity
from ..model.run_view import EndpointView, LegView, RunView
from .endpoint import Activation, ConnectionEndpoint, ConnectionSettings
from .transport_params import RECEIVER, SENDER, PatchRefused

LEAD_NS = 2_000_000_000
"""How long before its time a run gets a scheduled activation: a new stream must be there before it sounds."""
MOST_BULK = 4096
Due = tuple[ConnectionEndpoint, Activation]


class BulkResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one entry of a bulk request."""

    id: str
    code: int
    error: str = ""


class Connections:
    """The senders and receivers, by kind and UUID."""

    def __init__(self, identity: NodeIdentity, parse_session: Callable[[str], OfferedSession]) -> None:
        self._identity = identity
        self._parse_session = parse_session
        self.endpoints: dict[str, dict[str, ConnectionEndpoint]] = {SENDER: {}, RECEIVER: {}}
        self._remembered: dict[str, Any] = {}

    def follow(
        self,
        runs: Sequence[RunView],
        interfaces: Sequence[HostInterface],
        announced: Mapping[str, str] | None = None,
    ) -> list[ConnectionEndpoint]:
        """Take over what the runs have now, and announced sessions: descriptions by key. Returns those that are new."""
        new = []
        for kind in (SENDER, RECEIVER):
            before = self.endpoints[kind]
            now: dict[str, ConnectionEndpoint] = {}
            for view in _views(runs, kind):
                id = self._identity.endpoint_id(kind, view.run, view.id)
                endpoint = before.get(id)
                if endpoint is None:
                    endpoint = ConnectionEndpoint(kind, id, view, interfaces, self._parse_session)
                    new.append(endpoint)
                else:
                    endpoint.follow(view, interfaces)
                now[id] = endpoint
            if kind == SENDER:
                now |= self._foreign_senders(announced or {}, interfaces)
            self.endpoints[kind] = now
        return new

    def _foreign_senders(
        self, announced: Mapping[str, str], interfaces: Sequence[HostInterface]
    ) -> dict[str, ConnectionEndpoint]:
        made = {}
        for key, text in announced.items():
            id = self._identity.endpoint_id(SENDER, GATEWAY_RUN, key)
            before = self.endpoints[SENDER].get(id)
            if before is not None and before.foreign_file == text:
                made[id] = before
                continue
            offer = self._parse_session(text)
            stream = offer.streams[0]
            view = EndpointView(
                run=GATEWAY_RUN,
                id=key,
                node=key,
                label=offer.name,
                description="",
                table={},
                clock=None,
                rate=stream.rate,
                channels=stream.channels,
                encoding=stream.encoding,
                packet_time_ns=stream.packet_time_ns or 1_000_000,
                payload_type=stream.payload_type or 98,
                legs=(LegView(address=stream.group, port=stream.port, source=stream.source_filter),),
                enabled=True,
            )
            made[id] = ConnectionEndpoint(SENDER, id, view, interfaces, self._parse_session, text)
        return made

    def find(self, kind: str, id: str) -> ConnectionEndpoint:
        """The sender or receiver of a UUID. Raises PatchRefused 404."""
        endpoint = self.endpoints[kind].get(id)
        if endpoint is None:
            raise PatchRefused(404, f"this node has no {kind} {id[:60]}")
        return endpoint

    def subscriptions(self) -> dict[str, ActiveState]:
        """What is active, by UUID."""
        return {endpoint.id: endpoint.subscription for endpoint in self._all()}

    def patch_bulk(self, kind: str, body: Any, now_ns: int) -> tuple[list[BulkResult], list[Due]]:
        """Stage a bulk request: the result of each entry, and the activations that are asked for."""
        if not isinstance(body, list) or len(body) > MOST_BULK:
            raise PatchRefused(400, f"the body is a list of up to {MOST_BULK} objects with id and params")
        for entry in body:
            if not isinstance(entry, dict) or set(entry) != {"id", "params"} or not is_uuid(entry["id"]):
                raise PatchRefused(400, "each entry is an object with id (a UUID) and params")
        results: list[BulkResult] = []
        due: list[Due] = []
        seen: set[str] = set()
        for entry in body:
            id = entry["id"]
            try:
                if id in seen:
                    raise PatchRefused(400, f"the {kind} occurs twice in the request")
                endpoint = self.find(kind, id)
                activation = endpoint.patch(entry["params"], now_ns)
            except PatchRefused as refused:
                results.append(BulkResult(id=id, code=refused.status, error=str(refused)))
                continue
            seen.add(id)
            scheduled = activation is not None and activation.due_ns is not None
            results.append(BulkResult(id=id, code=202 if scheduled else 200))
            if activation is not None:
                due.append((endpoint, activation))
        return results, due

    def take_due(self, now_ns: int) -> list[Due]:
        """Scheduled activations that runs must get now. They can no longer be cancelled."""
        taken: list[Due] = []
        for endpoint in self._all():
            pending = endpoint.pending
            if pending is None or pending.due_ns is None or endpoint.handed_over:
                continue
            if pending.due_ns - LEAD_NS <= now_ns:
                endpoint.handed_over = True
                taken.append((endpoint, pending))
        return taken

    def next_due_ns(self) -> int | None:
        """When `take_due` has something next; None where nothing is scheduled."""
        times = [
            endpoint.pending.due_ns - LEAD_NS
            for endpoint in self._all()
            if endpoint.pending is not None and endpoint.pending.due_ns is not None and not endpoint.handed_over
        ]
        return min(times, default=None)

    def snapshot(self) -> dict[str, Any]:
        """The settings that a controller has made active, by UUID: to be kept. What was kept of others is in it too."""
        for endpoint in self._all():
            if endpoint.active_activation["mode"] is not None:
                self._remembered[endpoint.id] = msgspec.to_builtins(endpoint.active)
        return dict(self._remembered)

    def remember(self, kept: Mapping[str, Any]) -> None:
        """Take over an earlier snapshot: `recall` returns its settings."""
        self._remembered = dict(kept)

    def recall(self, endpoint: ConnectionEndpoint) -> dict[str, Any] | None:
        """The body of the PATCH that brings back what a controller had set; None where there is nothing to do."""
        kept = self._remembered.get(endpoint.id)
        if kept is None:
            return None
        try:
            settings = msgspec.convert(kept, ConnectionSettings)
        except msgspec.ValidationError:
            return None
        if settings == endpoint.active or len(settings.legs) != len(endpoint.active.legs):
            return None
        body: dict[str, Any] = {
            "sender_id" if endpoint.kind == RECEIVER else "receiver_id": settings.peer_id,
            "master_enable": settings.master_enable,
            "transport_params": list(settings.legs),
            "activation": {"mode": "activate_immediate"},
        }
        if settings.transport_file is not None:
            body["transport_file"] = {"data": settings.transport_file, "type": "application/sdp"}
        return body

    def _all(self) -> Iterator[ConnectionEndpoint]:
        for endpoints in self.endpoints.values():
            yield from endpoints.values()


def _views(runs: Iterable[RunView], kind: str) -> Iterator[EndpointView]:
    for run in runs:
        yield from run.senders if kind == SENDER else run.receivers
