"""The Node API (IS-04 v1.3 and v1.2): what this node has."""

from __future__ import annotations

from ..model.resource_store import ResourceStore, as_version
from .api_answers import ApiAnswer, ApiHandler, ApiRequest, NmosApiError, json_answer, no_such_path, require_method

VERSIONS = ("v1.2", "v1.3")
_LISTS = {"sources": "source", "flows": "flow", "devices": "device", "senders": "sender", "receivers": "receiver"}


def node_api(store: ResourceStore, version: str) -> ApiHandler:
    """The handler of one version of the API."""

    async def answer(request: ApiRequest) -> ApiAnswer:
        return answer_from(store, version, request)

    return answer


def answer_from(store: ResourceStore, version: str, request: ApiRequest) -> ApiAnswer:
    """The answer to a request. Raises NmosApiError."""
    match request.path:
        case ():
            require_method(request)
            return json_answer(["self/", *(f"{name}/" for name in _LISTS)])
        case ("self",):
            require_method(request)
            return json_answer(as_version(store.all_of("node")[0], version))
        case (plural,) if plural in _LISTS:
            require_method(request)
            return json_answer([as_version(resource, version) for resource in store.all_of(_LISTS[plural])])
        case (plural, id) if plural in _LISTS:
            require_method(request)
            resource = store.find(_LISTS[plural], id)
            if resource is None:
                raise NmosApiError(404, f"this node has no {_LISTS[plural]} {id}")
            return json_answer(as_version(resource, version))
        case ("receivers", id, "target"):
            require_method(request, "PUT")
            if store.find("receiver", id) is None:
                raise NmosApiError(404, f"this node has no receiver {id}")
            # Deprecated, and replaced by IS-05 (IS-04 v1.3, "Node API: receivers/{receiverId}/target").
            raise NmosApiError(501, "receivers are connected by the Connection API (IS-05)")
    raise no_such_path()
