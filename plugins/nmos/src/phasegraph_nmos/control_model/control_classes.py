"""The control classes of MS-05-02 and of the monitoring feature set.

The level of an element is the length of its class's identity; its index is its place in the table, from 1.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from .datatypes import Json, TypedField, parse_field, parse_fields

ClassId = tuple[int, ...]
ElementId = tuple[int, int]
"""Level and index."""

OBJECT: ClassId = (1,)
BLOCK: ClassId = (1, 1)
WORKER: ClassId = (1, 2)
STATUS_MONITOR: ClassId = (1, 2, 2)
RECEIVER_MONITOR: ClassId = (1, 2, 2, 1)
SENDER_MONITOR: ClassId = (1, 2, 2, 2)
MANAGER: ClassId = (1, 3)
DEVICE_MANAGER: ClassId = (1, 3, 1)
CLASS_MANAGER: ClassId = (1, 3, 2)


class ControlClass(NamedTuple):
    """One class, without what it inherits."""

    name: str
    description: str
    properties: tuple[str, ...] = ()
    """``name: Type``, as fields are written; those that begin with ``=`` are read-only."""
    methods: tuple[str, ...] = ()
    """``Name(parameters) ResultType``."""
    events: tuple[tuple[str, str], ...] = ()
    """Name and datatype."""
    fixed_role: str | None = None


class Property(NamedTuple):
    """A property of a class."""

    id: ElementId
    field: TypedField
    read_only: bool


class Method(NamedTuple):
    """A method of a class."""

    id: ElementId
    name: str
    parameters: tuple[TypedField, ...]
    result: str


def _domain(name: str, type_name: str) -> tuple[str, str, str]:
    return (
        f"={name}: {type_name}",
        f"={name}Message: NcString?",
        f"={name}TransitionCounter: NcUint64",
    )


_EXTERNAL = (
    *_domain("externalSynchronizationStatus", "NcSynchronizationStatus"),
    "=synchronizationSourceId: NcString?",
)

CLASSES: dict[ClassId, ControlClass] = {
    OBJECT: ControlClass(
        "NcObject",
        "Base of all classes",
        (
            "=classId: NcClassId",
            "=oid: NcOid",
            "=constantOid: NcBoolean",
            "=owner: NcOid?",
            "=role: NcString",
            "userLabel: NcString?",
            "=touchpoints: NcTouchpoint[]?",
            "=runtimePropertyConstraints: NcPropertyConstraints[]?",
        ),
        (
            "Get(id: NcPropertyId) NcMethodResultPropertyValue",
            "Set(id: NcPropertyId, value: *?) NcMethodResult",
            "GetSequenceItem(id: NcPropertyId, index: NcId) NcMethodResultPropertyValue",
            "SetSequenceItem(id: NcPropertyId, index: NcId, value: *?) NcMethodResult",
            "AddSequenceItem(id: NcPropertyId, value: *?) NcMethodResultId",
            "RemoveSequenceItem(id: NcPropertyId, index: NcId) NcMethodResult",
            "GetSequenceLength(id: NcPropertyId) NcMethodResultLength",
        ),
        (("PropertyChanged", "NcPropertyChangedEventData"),),
    ),
    BLOCK: ControlClass(
        "NcBlock",
        "Object that holds others",
        ("=enabled: NcBoolean", "=members: NcBlockMemberDescriptor[]"),
        (
            "GetMemberDescriptors(recurse: NcBoolean) NcMethodResultBlockMemberDescriptors",
            "FindMembersByPath(path: NcRolePath) NcMethodResultBlockMemberDescriptors",
            "FindMembersByRole(role: NcString, caseSensitive: NcBoolean, matchWholeString: NcBoolean, "
            "recurse: NcBoolean) NcMethodResultBlockMemberDescriptors",
            "FindMembersByClassId(classId: NcClassId, includeDerived: NcBoolean, recurse: NcBoolean) "
            "NcMethodResultBlockMemberDescriptors",
        ),
    ),
    WORKER: ControlClass("NcWorker", "Base of the objects that do something", ("enabled: NcBoolean",)),
    MANAGER: ControlClass("NcManager", "Base of the managers"),
    DEVICE_MANAGER: ControlClass(
        "NcDeviceManager",
        "What the device is, and its state",
        (
            "=ncVersion: NcVersionCode",
            "=manufacturer: NcManufacturer",
            "=product: NcProduct",
            "=serialNumber: NcString",
            "userInventoryCode: NcString?",
            "deviceName: NcString?",
            "deviceRole: NcString?",
            "=operationalState: NcDeviceOperationalState",
            "=resetCause: NcResetCause",
            "=message: NcString?",
        ),
        fixed_role="DeviceManager",
    ),
    CLASS_MANAGER: ControlClass(
        "NcClassManager",
        "The classes and datatypes of this device",
        ("=controlClasses: NcClassDescriptor[]", "=datatypes: NcDatatypeDescriptor[]"),
        (
            "GetControlClass(classId: NcClassId, includeInherited: NcBoolean) NcMethodResultClassDescriptor",
            "GetDatatype(name: NcName, includeInherited: NcBoolean) NcMethodResultDatatypeDescriptor",
        ),
        fixed_role="ClassManager",
    ),
    STATUS_MONITOR: ControlClass(
        "NcStatusMonitor",
        "Base of the status monitors",
        (
            "=overallStatus: NcOverallStatus",
            "=overallStatusMessage: NcString?",
            "statusReportingDelay: NcUint32",
        ),
    ),
    RECEIVER_MONITOR: ControlClass(
        "NcReceiverMonitor",
        "Status of a receiver (BCP-008-01)",
        (
            *_domain("linkStatus", "NcLinkStatus"),
            *_domain("connectionStatus", "NcConnectionStatus"),
            *_EXTERNAL,
            *_domain("streamStatus", "NcStreamStatus"),
            "autoResetCountersAndMessages: NcBoolean",
        ),
        (
            "GetLostPacketCounters() NcMethodResultCounters",
            "GetLatePacketCounters() NcMethodResultCounters",
            "ResetCountersAndMessages() NcMethodResult",
        ),
    ),
    SENDER_MONITOR: ControlClass(
        "NcSenderMonitor",
        "Status of a sender (BCP-008-02)",
        (
            *_domain("linkStatus", "NcLinkStatus"),
            *_domain("transmissionStatus", "NcTransmissionStatus"),
            *_EXTERNAL,
            *_domain("essenceStatus", "NcEssenceStatus"),
            "autoResetCountersAndMessages: NcBoolean",
        ),
        (
            "GetTransmissionErrorCounters() NcMethodResultCounters",
            "ResetCountersAndMessages() NcMethodResult",
        ),
    ),
}


def _ancestors(class_id: ClassId) -> list[ClassId]:
    # From the base on, with the class itself.
    return [class_id[: length + 1] for length in range(len(class_id))]


@cache
def properties_of(class_id: ClassId) -> dict[ElementId, Property]:
    """All properties of a class, inherited ones first."""
    return {
        (len(owner), index): Property(
            (len(owner), index), parse_field(written.removeprefix("=")), written.startswith("=")
        )
        for owner in _ancestors(class_id)
        for index, written in enumerate(CLASSES[owner].properties, 1)
    }


@cache
def methods_of(class_id: ClassId) -> dict[ElementId, Method]:
    """All methods of a class, inherited ones first."""
    found: dict[ElementId, Method] = {}
    for owner in _ancestors(class_id):
        for index, written in enumerate(CLASSES[owner].methods, 1):
            name, _, rest = written.partition("(")
            parameters, _, result = rest.partition(") ")
            id = (len(owner), index)
            found[id] = Method(id, name, tuple(parse_fields(parameters)), result)
    return found


def element_id(id: ElementId) -> Json:
    """An NcElementId."""
    return {"level": id[0], "index": id[1]}


def describe_class(class_id: ClassId, include_inherited: bool = False) -> Json | None:
    """The NcClassDescriptor of a class; None where there is none."""
    if class_id not in CLASSES:
        return None
    described = CLASSES[class_id]
    levels = range(1, len(class_id) + 1) if include_inherited else (len(class_id),)
    events = [
        {
            "description": None,
            "id": element_id((level, index)),
            "name": name,
            "eventDatatype": datatype,
            "isDeprecated": False,
        }
        for level in levels
        for index, (name, datatype) in enumerate(CLASSES[class_id[:level]].events, 1)
    ]
    return {
        "description": described.description,
        "classId": list(class_id),
        "name": described.name,
        "fixedRole": described.fixed_role,
        "properties": [_describe_property(one) for id, one in properties_of(class_id).items() if id[0] in levels],
        "methods": [_describe_method(one) for id, one in methods_of(class_id).items() if id[0] in levels],
        "events": events,
    }


def _describe_property(described: Property) -> Json:
    field = described.field.described()
    return {
        **field,
        "id": element_id(described.id),
        "isReadOnly": described.read_only,
        "isDeprecated": False,
    }


def _describe_method(method: Method) -> dict[str, Any]:
    return {
        "description": None,
        "id": element_id(method.id),
        "name": method.name,
        "resultDatatype": method.result,
        "parameters": [parameter.described() for parameter in method.parameters],
        "isDeprecated": False,
    }
