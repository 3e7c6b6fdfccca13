"""The device model of a node (MS-05-02): its tree of objects, calls on them, and what has changed.

A call never raises: whatever is wrong with it is an NcMethodResultError with the status that MS-05-02 asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from ..status_monitors.status_monitor import MonitoredResource, StatusMonitor
from .control_classes import ElementId, Method, Property, element_id, methods_of, properties_of
from .control_objects import (
    ClassManager,
    ControlBlock,
    ControlObject,
    DeviceIdentity,
    DeviceManager,
    MethodError,
    MethodStatus,
    MonitorObject,
)
from .datatypes import Json, has_type

ROOT, DEVICE_MANAGER_OID, CLASS_MANAGER_OID, RECEIVERS, SENDERS = range(1, 6)
"""Oids that never change."""
FIRST_MONITOR = 10
VALUE_CHANGED = 0
"""NcPropertyChangeType."""


class PropertyChange(msgspec.Struct, frozen=True):
    """A property that has another value (PropertyChanged event)."""

    oid: int
    property_id: ElementId
    value: Any

    def as_notification(self) -> Json:
        """As an item of an IS-12 notification message."""
        return {
            "oid": self.oid,
            "eventId": element_id((1, 1)),
            "eventData": {
                "propertyId": element_id(self.property_id),
                "changeType": VALUE_CHANGED,
                "value": self.value,
                "sequenceItemIndex": None,
            },
        }


class DeviceModel:
    """The objects of one device. Times are local nanoseconds and never decrease."""

    def __init__(self, identity: DeviceIdentity, on_set: Callable[[], None] = lambda: None) -> None:
        """``on_set`` is called when a controller has set a property."""
        self.settings: dict[str, dict[str, Any]] = {}
        """What controllers have set: values of properties by name, by the role path of the object."""
        self._on_set = on_set
        self.root = ControlBlock(ROOT, "root", None, identity.name)
        self._blocks = {
            "receiver": ControlBlock(RECEIVERS, "receivers", ROOT, "Receiver monitors"),
            "sender": ControlBlock(SENDERS, "senders", ROOT, "Sender monitors"),
        }
        self.root.members = [
            DeviceManager(DEVICE_MANAGER_OID, ROOT, identity),
            ClassManager(CLASS_MANAGER_OID, ROOT),
            *self._blocks.values(),
        ]
        self._objects: dict[int, ControlObject] = {object.oid: object for object in (self.root, *self.root.members)}
        self._monitors: dict[tuple[str, str], MonitorObject] = {}
        """By type and UUID of the resource."""
        self._next_oid = FIRST_MONITOR
        self._published = {oid: object.property_values() for oid, object in self._objects.items()}

    @property
    def oids(self) -> frozenset[int]:
        """All objects."""
        return frozenset(self._objects)

    @property
    def monitors(self) -> list[MonitorObject]:
        """The monitors of all receivers and senders."""
        return list(self._monitors.values())

    def restore_settings(self, settings: Mapping[str, Any]) -> None:
        """Take over what controllers set before, for objects that are there or come. What is unusable is left out."""
        self.settings = {path: dict(values) for path, values in settings.items() if isinstance(values, dict)}
        for object in self._objects.values():
            self._restore(object)

    def observe_runs(
        self, receivers: Sequence[MonitoredResource], senders: Sequence[MonitoredResource], now_ns: int
    ) -> list[PropertyChange]:
        """Take what runs show now: monitors come and go with their resources. Returns what has changed."""
        for kind, resources in (("receiver", receivers), ("sender", senders)):
            gone = {id for of, id in self._monitors if of == kind} - {resource.id for resource in resources}
            for id in gone:
                self._remove(kind, id)
            for resource in resources:
                self._show_one(kind, resource, now_ns)
        return self._collect_changes(self._objects)

    def advance_monitors(self, now_ns: int) -> list[PropertyChange]:
        """Let time pass: statuses that have been better for their delay become better. Returns what has changed."""
        for object in self._monitors.values():
            object.monitor.advance_statuses(now_ns)
        return self._collect_changes(object.oid for object in self._monitors.values())

    def next_change_ns(self) -> int | None:
        """When `advance_monitors` is next needed; None while nothing is pending."""
        times = [object.monitor.next_change_ns() for object in self._monitors.values()]
        return min((at for at in times if at is not None), default=None)

    def call(self, oid: int, method_id: ElementId, arguments: Mapping[str, Any]) -> tuple[Json, list[PropertyChange]]:
        """The result of a call (NcMethodResult), and what it has changed."""
        try:
            object = self._objects.get(oid)
            if object is None:
                raise MethodError(MethodStatus.BAD_OID, f"there is no object {oid}")
            method = methods_of(object.class_id).get(method_id)
            if method is None:
                raise MethodError(MethodStatus.METHOD_NOT_IMPLEMENTED, f"object {oid} has no method {method_id}")
            result = self._run_method(object, method, _checked(method, arguments))
        except MethodError as error:
            return {"status": int(error.status), "errorMessage": str(error)}, []
        return {"status": int(MethodStatus.OK), **result}, self._collect_changes({oid, object.owner or oid})

    def _run_method(self, object: ControlObject, method: Method, arguments: Json) -> Json:
        if method.id[0] > 1:
            value = object.run_method(method.name, arguments)
            return {} if method.result == "NcMethodResult" else {"value": value}
        wanted = arguments["id"]["level"], arguments["id"]["index"]
        found = properties_of(object.class_id).get(wanted)
        if found is None:
            raise MethodError(MethodStatus.PROPERTY_NOT_IMPLEMENTED, f"object {object.oid} has no property {wanted}")
        if method.name == "Get":
            return {"value": object.property_values()[found.field.name]}
        if method.name == "Set":
            _set(object, found, arguments["value"])
            self.settings.setdefault(self._path(object), {})[found.field.name] = arguments["value"]
            self._on_set()
            return {}
        return _sequence_call(object, found, method, arguments)

    def _show_one(self, kind: str, resource: MonitoredResource, now_ns: int) -> None:
        object = self._monitors.get((kind, resource.id))
        if object is None:
            block = self._blocks[kind]
            monitor = StatusMonitor(resource.seen, now_ns)
            object = MonitorObject(self._next_oid, resource.role, block.oid, monitor, (kind, resource.id))
            object.label = resource.label
            self._next_oid += 1
            self._monitors[kind, resource.id] = self._objects[object.oid] = object
            block.members.append(object)
            self._restore(object)
        else:
            object.monitor.observe(resource.seen, now_ns)

    def _restore(self, object: ControlObject) -> None:
        described = {each.field.name: each for each in properties_of(object.class_id).values()}
        for name, value in self.settings.get(self._path(object), {}).items():
            with suppress(MethodError):  # another version may know other properties
                if name in described:
                    _set(object, described[name], value)

    def _path(self, object: ControlObject) -> str:
        roles = [object.role]
        while object.owner is not None:
            object = self._objects[object.owner]
            roles.append(object.role)
        return "/".join(reversed(roles))

    def _remove(self, kind: str, id: str) -> None:
        object = self._monitors.pop((kind, id))
        del self._objects[object.oid]
        self._published.pop(object.oid, None)
        self._blocks[kind].members.remove(object)

    def _collect_changes(self, oids: Any) -> list[PropertyChange]:
        changes = []
        for oid in oids:
            object = self._objects[oid]
            before, now = self._published.get(oid), object.property_values()
            self._published[oid] = now
            if before is None:
                continue
            for id, described in properties_of(object.class_id).items():
                name = described.field.name
                if before[name] is not now[name] and before[name] != now[name]:
                    changes.append(PropertyChange(oid, id, now[name]))
        return changes


def _checked(method: Method, arguments: Mapping[str, Any]) -> Json:
    # The arguments of a method, each of its datatype; what else there is is ignored.
    for parameter in method.parameters:
        if parameter.name not in arguments:
            raise MethodError(MethodStatus.PARAMETER_ERROR, f"{method.name} needs the argument '{parameter.name}'")
        if not has_type(arguments[parameter.name], parameter.type_name, parameter.nullable, parameter.sequence):
            message = f"'{parameter.name}' of {method.name} is no {parameter.type_name}"
            raise MethodError(MethodStatus.PARAMETER_ERROR, message)
    return {parameter.name: arguments[parameter.name] for parameter in method.parameters}


def _set(object: ControlObject, found: Property, value: Any) -> None:
    field = found.field
    if found.read_only:
        raise MethodError(MethodStatus.READONLY, f"{field.name} is read-only")
    if not has_type(value, field.type_name, field.nullable, field.sequence):
        raise MethodError(MethodStatus.PARAMETER_ERROR, f"{field.name} is a {field.type_name}")
    object.set_property(field.name, value)


def _sequence_call(object: ControlObject, found: Property, method: Method, arguments: Json) -> Json:
    field = found.field
    if not field.sequence:
        raise MethodError(MethodStatus.INVALID_REQUEST, f"{field.name} is no sequence")
    if method.name in ("SetSequenceItem", "AddSequenceItem", "RemoveSequenceItem"):
        raise MethodError(MethodStatus.READONLY, f"{field.name} is read-only")
    value: list[Any] | None = object.property_values()[field.name]
    if method.name == "GetSequenceLength":
        return {"value": None if value is None else len(value)}
    index = arguments["index"]
    if value is None or index >= len(value):
        length = 0 if value is None else len(value)
        raise MethodError(
            MethodStatus.INDEX_OUT_OF_BOUNDS, f"{field.name} has {length} items, there is none at {index}"
        )
    return {"value": value[index]}
