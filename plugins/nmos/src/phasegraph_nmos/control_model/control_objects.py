"""The objects of a device model: what their properties are, and what their methods do."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any

import msgspec

from ..status_monitors.status_monitor import DEFAULT_DELAY_S, MOST_DELAY_S, PacketCounter, StatusMonitor
from .control_classes import (
    BLOCK,
    CLASS_MANAGER,
    CLASSES,
    DEVICE_MANAGER,
    RECEIVER_MONITOR,
    SENDER_MONITOR,
    ClassId,
    describe_class,
    element_id,
)
from .datatypes import DATATYPE_NAMES, Json, describe_datatype

MOST_TEXT = 1024
"""Characters of a text that a controller sets."""


class MethodStatus(IntEnum):
    """NcMethodStatus, those that are used here."""

    OK = 200
    BAD_COMMAND_FORMAT = 400
    BAD_OID = 404
    READONLY = 405
    INVALID_REQUEST = 406
    BUFFER_OVERFLOW = 413
    INDEX_OUT_OF_BOUNDS = 414
    PARAMETER_ERROR = 417
    METHOD_NOT_IMPLEMENTED = 501
    PROPERTY_NOT_IMPLEMENTED = 502


class MethodError(Exception):
    """A call cannot be done (NcMethodResultError). The message is a sentence for the controller."""

    def __init__(self, status: MethodStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class DeviceIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What the device manager says of the device."""

    name: str
    version: str
    """Version of Phasegraph."""
    serial_number: str


class ControlObject:
    """One object (NcObject)."""

    class_id: ClassId = (1,)

    def __init__(self, oid: int, role: str, owner: int | None, label: str | None = None) -> None:
        self.oid = oid
        self.role = role
        self.owner = owner
        self.label = label
        self.touchpoints: list[Json] | None = None
        self.constraints: list[Json] | None = None
        self.constant_oid = True

    def property_values(self) -> Json:
        """All properties, by name."""
        return {
            "classId": list(self.class_id),
            "oid": self.oid,
            "constantOid": self.constant_oid,
            "owner": self.owner,
            "role": self.role,
            "userLabel": self.label,
            "touchpoints": self.touchpoints,
            "runtimePropertyConstraints": self.constraints,
        }

    def set_property(self, name: str, value: Any) -> None:
        """Set a writable property to a value of its datatype. Raises MethodError."""
        if isinstance(value, str) and len(value) > MOST_TEXT:
            raise MethodError(MethodStatus.BUFFER_OVERFLOW, f"{name} has at most {MOST_TEXT} characters")
        if name != "userLabel":
            raise MethodError(MethodStatus.INVALID_REQUEST, f"{name} cannot be set")
        self.label = value

    def run_method(self, name: str, arguments: Json) -> Any:
        """The value of a method of the class; arguments are of their datatypes. Raises MethodError."""
        raise MethodError(MethodStatus.METHOD_NOT_IMPLEMENTED, f"{name} is not implemented")

    def as_member(self) -> Json:
        """Its NcBlockMemberDescriptor."""
        return {
            "description": CLASSES[self.class_id].description,
            "role": self.role,
            "oid": self.oid,
            "constantOid": self.constant_oid,
            "classId": list(self.class_id),
            "userLabel": self.label,
            "owner": self.owner,
        }


class ControlBlock(ControlObject):
    """An object that holds others (NcBlock)."""

    class_id = BLOCK

    def __init__(self, oid: int, role: str, owner: int | None, label: str | None = None) -> None:
        super().__init__(oid, role, owner, label)
        self.members: list[ControlObject] = []

    def property_values(self) -> Json:
        """See `ControlObject.property_values`."""
        members = [member.as_member() for member in self.members]
        return {**super().property_values(), "enabled": True, "members": members}

    def run_method(self, name: str, arguments: Json) -> Any:
        """See `ControlObject.run_method`."""
        if name == "GetMemberDescriptors":
            found = self._all(arguments["recurse"])
        elif name == "FindMembersByPath":
            found = iter([self._at_path(arguments["path"])])
        elif name == "FindMembersByRole":
            found = self._of_role(*arguments.values())  # in the order of the parameters
        else:
            found = self._of_class(tuple(arguments["classId"]), arguments["includeDerived"], arguments["recurse"])
        return [member.as_member() for member in found]

    def _all(self, recurse: bool) -> Iterator[ControlObject]:
        for member in self.members:
            yield member
            if recurse and isinstance(member, ControlBlock):
                yield from member._all(recurse)

    def _at_path(self, path: list[str]) -> ControlObject:
        found: ControlObject = self
        for role in path:
            inside = found.members if isinstance(found, ControlBlock) else []
            member = next((member for member in inside if member.role == role), None)
            if member is None:
                raise MethodError(MethodStatus.PARAMETER_ERROR, f"'{found.role}' has no member '{role[:100]}'")
            found = member
        if found is self:
            raise MethodError(MethodStatus.PARAMETER_ERROR, "the path is empty: give the roles down to a member")
        return found

    def _of_role(self, role: str, case_sensitive: bool, whole: bool, recurse: bool) -> Iterator[ControlObject]:
        if not role:
            raise MethodError(MethodStatus.PARAMETER_ERROR, "the role is empty: give a role or a part of one")

        def folded(text: str) -> str:
            return text if case_sensitive else text.casefold()

        for member in self._all(recurse):
            there = folded(member.role)
            if folded(role) == there if whole else folded(role) in there:
                yield member

    def _of_class(self, class_id: ClassId, derived: bool, recurse: bool) -> Iterator[ControlObject]:
        if not class_id:
            raise MethodError(MethodStatus.PARAMETER_ERROR, "the class id is empty")
        for member in self._all(recurse):
            there = member.class_id[: len(class_id)] if derived else member.class_id
            if there == class_id:
                yield member


class DeviceManager(ControlObject):
    """NcDeviceManager."""

    class_id = DEVICE_MANAGER
    _TEXTS = ("userInventoryCode", "deviceName", "deviceRole")

    def __init__(self, oid: int, owner: int, identity: DeviceIdentity) -> None:
        super().__init__(oid, "DeviceManager", owner)
        self._identity = identity
        self._texts: dict[str, str | None] = {**dict.fromkeys(self._TEXTS), "deviceName": identity.name}

    def property_values(self) -> Json:
        """See `ControlObject.property_values`."""
        return {
            **super().property_values(),
            "ncVersion": "v1.0.0",
            "manufacturer": {"name": "Phasegraph", "organizationId": None, "website": None},
            "product": {
                "name": "Phasegraph",
                "key": "phasegraph-nmos",
                "revisionLevel": self._identity.version,
                "brandName": None,
                "uuid": None,
                "description": "Network audio in phase with any clock",
            },
            "serialNumber": self._identity.serial_number,
            **self._texts,
            "operationalState": {"generic": 1, "deviceSpecificDetails": None},
            "resetCause": 1,
            "message": None,
        }

    def set_property(self, name: str, value: Any) -> None:
        """See `ControlObject.set_property`."""
        if name in self._TEXTS and len(value or "") <= MOST_TEXT:
            self._texts[name] = value
        else:
            super().set_property(name, value)


class ClassManager(ControlObject):
    """NcClassManager."""

    class_id = CLASS_MANAGER

    def __init__(self, oid: int, owner: int) -> None:
        super().__init__(oid, "ClassManager", owner)
        self._classes = [describe_class(class_id) for class_id in CLASSES]
        self._datatypes = [describe_datatype(name) for name in DATATYPE_NAMES]

    def property_values(self) -> Json:
        """See `ControlObject.property_values`."""
        return {**super().property_values(), "controlClasses": self._classes, "datatypes": self._datatypes}

    def run_method(self, name: str, arguments: Json) -> Any:
        """See `ControlObject.run_method`."""
        inherited = arguments["includeInherited"]
        if name == "GetControlClass":
            found, wanted = describe_class(tuple(arguments["classId"]), inherited), arguments["classId"]
        else:
            found, wanted = describe_datatype(arguments["name"], inherited), arguments["name"]
        if found is None:
            raise MethodError(MethodStatus.PARAMETER_ERROR, f"this device has no {str(wanted)[:100]}")
        return found


class MonitorObject(ControlObject):
    """NcReceiverMonitor or NcSenderMonitor, over the core that does the work."""

    def __init__(self, oid: int, role: str, owner: int, monitor: StatusMonitor, resource: tuple[str, str]) -> None:
        """``resource`` is the type (``receiver`` or ``sender``) and the UUID of the IS-04 resource."""
        super().__init__(oid, role, owner)
        self.monitor = monitor
        self.class_id = RECEIVER_MONITOR if resource[0] == "receiver" else SENDER_MONITOR
        self.constant_oid = False
        self.touchpoints = [
            {"contextNamespace": "x-nmos", "resource": {"resourceType": resource[0], "id": resource[1]}}
        ]
        self.constraints = [
            {
                "propertyId": element_id((3, 3)),
                "defaultValue": DEFAULT_DELAY_S,
                "minimum": 0,
                "maximum": MOST_DELAY_S,
                "step": 1,
            }
        ]
        self._names = (
            ("connectionStatus", "streamStatus")
            if resource[0] == "receiver"
            else ("transmissionStatus", "essenceStatus")
        )

    def property_values(self) -> Json:
        """See `ControlObject.property_values`."""
        monitor = self.monitor
        values = {
            **super().property_values(),
            "enabled": True,
            "overallStatus": int(monitor.overall),
            "overallStatusMessage": monitor.overall_message,
            "statusReportingDelay": monitor.delay_s,
            "synchronizationSourceId": monitor.source_id,
            "autoResetCountersAndMessages": monitor.auto_reset,
        }
        connection, content = self._names
        for name, status in (
            ("linkStatus", monitor.link),
            (connection, monitor.connection),
            ("externalSynchronizationStatus", monitor.synchronization),
            (content, monitor.content),
        ):
            values[name] = int(status.health)
            values[f"{name}Message"] = status.message
            values[f"{name}TransitionCounter"] = status.transitions
        return values

    def set_property(self, name: str, value: Any) -> None:
        """See `ControlObject.set_property`. A monitor cannot be disabled (BCP-008, "NcWorker inheritance")."""
        if name == "statusReportingDelay":
            if value > MOST_DELAY_S:
                raise MethodError(MethodStatus.PARAMETER_ERROR, f"statusReportingDelay is 0 to {MOST_DELAY_S} s")
            self.monitor.delay_s = value
        elif name == "autoResetCountersAndMessages":
            self.monitor.auto_reset = value
        elif name == "enabled":
            raise MethodError(MethodStatus.INVALID_REQUEST, "a status monitor is always enabled")
        else:
            super().set_property(name, value)

    def run_method(self, name: str, arguments: Json) -> Any:
        """See `ControlObject.run_method`."""
        if name == "ResetCountersAndMessages":
            self.monitor.reset()
            return None
        kind = {"GetLostPacketCounters": "lost", "GetLatePacketCounters": "late"}.get(name, "errors")
        return [_described(counter) for counter in self.monitor.counted(kind)]


def _described(counter: PacketCounter) -> Json:
    return {"name": counter.name, "value": counter.value, "description": counter.description}
