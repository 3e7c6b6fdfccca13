"""The datatypes of MS-05-02 and of the monitoring feature set, and whether a JSON value is of one.

A field is written ``name: Type``, with ``?`` where it may be null and ``[]`` where it is a sequence; the type ``*`` is
any. Descriptors (NcDatatypeDescriptor) are made from these tables.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

PRIMITIVE, TYPEDEF, STRUCT, ENUM = range(4)
"""NcDatatypeType."""

Json = dict[str, Any]

PRIMITIVES: Mapping[str, tuple[int, int] | None] = {
    "NcBoolean": None,
    "NcInt16": (-(2**15), 2**15 - 1),
    "NcInt32": (-(2**31), 2**31 - 1),
    "NcInt64": (-(2**63), 2**63 - 1),
    "NcUint16": (0, 2**16 - 1),
    "NcUint32": (0, 2**32 - 1),
    "NcUint64": (0, 2**64 - 1),
    "NcFloat32": None,
    "NcFloat64": None,
    "NcString": None,
}
"""Primitive types, with the range of integers."""

TYPEDEFS = {
    "NcClassId": ("NcInt32[]", "Identity of a class: the path from NcObject"),
    "NcId": ("NcUint32", "Index or identifier"),
    "NcName": ("NcString", "Name for programs: letters, digits and underscores"),
    "NcOid": ("NcUint32", "Identifier of an object"),
    "NcOrganizationId": ("NcInt32", "Organization identifier of 24 bits"),
    "NcRegex": ("NcString", "Regular expression"),
    "NcRolePath": ("NcString[]", "Roles from a block down to an object"),
    "NcTimeInterval": ("NcInt64", "Duration in nanoseconds"),
    "NcUri": ("NcString", "Uniform resource identifier"),
    "NcUuid": ("NcString", "UUID"),
    "NcVersionCode": ("NcString", "Version, in the form of semantic versioning"),
}

_NUMBER_LIMITS = "maximum: *?, minimum: *?, step: *?"
_STRING_LIMITS = "maxCharacters: NcUint32?, pattern: NcRegex?"

STRUCTS = {
    "NcElementId": (None, "level: NcUint16, index: NcUint16", "Identity of an element of a class"),
    "NcPropertyId": ("NcElementId", "", "Identity of a property"),
    "NcMethodId": ("NcElementId", "", "Identity of a method"),
    "NcEventId": ("NcElementId", "", "Identity of an event"),
    "NcDescriptor": (None, "description: NcString?", "Base of all descriptors"),
    "NcBlockMemberDescriptor": (
        "NcDescriptor",
        "role: NcString, oid: NcOid, constantOid: NcBoolean, classId: NcClassId, userLabel: NcString?, owner: NcOid",
        "Member of a block",
    ),
    "NcClassDescriptor": (
        "NcDescriptor",
        "classId: NcClassId, name: NcName, fixedRole: NcString?, properties: NcPropertyDescriptor[], "
        "methods: NcMethodDescriptor[], events: NcEventDescriptor[]",
        "Class",
    ),
    "NcDatatypeDescriptor": (
        "NcDescriptor",
        "name: NcName, type: NcDatatypeType, constraints: NcParameterConstraints?",
        "Base of the descriptors of datatypes",
    ),
    "NcDatatypeDescriptorEnum": ("NcDatatypeDescriptor", "items: NcEnumItemDescriptor[]", "Enumeration"),
    "NcDatatypeDescriptorPrimitive": ("NcDatatypeDescriptor", "", "Primitive datatype"),
    "NcDatatypeDescriptorStruct": (
        "NcDatatypeDescriptor",
        "fields: NcFieldDescriptor[], parentType: NcName?",
        "Structure",
    ),
    "NcDatatypeDescriptorTypeDef": (
        "NcDatatypeDescriptor",
        "parentType: NcName, isSequence: NcBoolean",
        "Another name of a datatype, or a sequence of it",
    ),
    "NcEnumItemDescriptor": ("NcDescriptor", "name: NcName, value: NcUint16", "Item of an enumeration"),
    "NcEventDescriptor": (
        "NcDescriptor",
        "id: NcEventId, name: NcName, eventDatatype: NcName, isDeprecated: NcBoolean",
        "Event of a class",
    ),
    "NcFieldDescriptor": (
        "NcDescriptor",
        "name: NcName, typeName: NcName?, isNullable: NcBoolean, isSequence: NcBoolean, "
        "constraints: NcParameterConstraints?",
        "TypedField of a structure",
    ),
    "NcMethodDescriptor": (
        "NcDescriptor",
        "id: NcMethodId, name: NcName, resultDatatype: NcName, parameters: NcParameterDescriptor[], "
        "isDeprecated: NcBoolean",
        "Method of a class",
    ),
    "NcParameterDescriptor": (
        "NcDescriptor",
        "name: NcName, typeName: NcName?, isNullable: NcBoolean, isSequence: NcBoolean, "
        "constraints: NcParameterConstraints?",
        "Parameter of a method",
    ),
    "NcPropertyDescriptor": (
        "NcDescriptor",
        "id: NcPropertyId, name: NcName, typeName: NcName?, isReadOnly: NcBoolean, isNullable: NcBoolean, "
        "isSequence: NcBoolean, isDeprecated: NcBoolean, constraints: NcParameterConstraints?",
        "Property of a class",
    ),
    "NcDeviceOperationalState": (
        None,
        "generic: NcDeviceGenericState, deviceSpecificDetails: NcString?",
        "Operational state of a device",
    ),
    "NcManufacturer": (
        None,
        "name: NcString, organizationId: NcOrganizationId?, website: NcUri?",
        "Manufacturer of a device",
    ),
    "NcProduct": (
        None,
        "name: NcString, key: NcString, revisionLevel: NcString, brandName: NcString?, uuid: NcUuid?, "
        "description: NcString?",
        "Product",
    ),
    "NcMethodResult": (None, "status: NcMethodStatus", "Result of a method"),
    "NcMethodResultBlockMemberDescriptors": ("NcMethodResult", "value: NcBlockMemberDescriptor[]", "Members"),
    "NcMethodResultClassDescriptor": ("NcMethodResult", "value: NcClassDescriptor", "Descriptor of a class"),
    "NcMethodResultCounters": ("NcMethodResult", "value: NcCounter[]", "Counters"),
    "NcMethodResultDatatypeDescriptor": ("NcMethodResult", "value: NcDatatypeDescriptor", "Descriptor of a datatype"),
    "NcMethodResultError": ("NcMethodResult", "errorMessage: NcString", "Error of a method"),
    "NcMethodResultId": ("NcMethodResult", "value: NcId", "Index or identifier"),
    "NcMethodResultLength": ("NcMethodResult", "value: NcUint32?", "Length of a sequence, null where it is null"),
    "NcMethodResultPropertyValue": ("NcMethodResult", "value: *?", "Value of a property"),
    "NcParameterConstraints": (None, "defaultValue: *?", "Base of the constraints of a parameter"),
    "NcParameterConstraintsNumber": ("NcParameterConstraints", _NUMBER_LIMITS, "Constraints of a number"),
    "NcParameterConstraintsString": ("NcParameterConstraints", _STRING_LIMITS, "Constraints of a string"),
    "NcPropertyConstraints": (
        None,
        "propertyId: NcPropertyId, defaultValue: *?",
        "Base of the constraints of a property",
    ),
    "NcPropertyConstraintsNumber": ("NcPropertyConstraints", _NUMBER_LIMITS, "Constraints of a number"),
    "NcPropertyConstraintsString": ("NcPropertyConstraints", _STRING_LIMITS, "Constraints of a string"),
    "NcPropertyChangedEventData": (
        None,
        "propertyId: NcPropertyId, changeType: NcPropertyChangeType, value: *?, sequenceItemIndex: NcId?",
        "What has changed",
    ),
    "NcTouchpoint": (None, "contextNamespace: NcString", "Base of the relations to other models"),
    "NcTouchpointNmos": ("NcTouchpoint", "resource: NcTouchpointResourceNmos", "Relation to an NMOS resource"),
    "NcTouchpointNmosChannelMapping": (
        "NcTouchpoint",
        "resource: NcTouchpointResourceNmosChannelMapping",
        "Relation to an input or output of channel mapping",
    ),
    "NcTouchpointResource": (None, "resourceType: NcString", "Base of the resources of relations"),
    "NcTouchpointResourceNmos": ("NcTouchpointResource", "id: NcUuid", "NMOS resource"),
    "NcTouchpointResourceNmosChannelMapping": (
        "NcTouchpointResourceNmos",
        "ioId: NcString",
        "Input or output of channel mapping",
    ),
    "NcCounter": (None, "name: NcString, value: NcUint64, description: NcString?", "Counter"),
}
"""By name: the parent, the fields of its own, and a description."""

_HEALTH = "Inactive, Healthy, PartiallyHealthy, Unhealthy"

ENUMS = {
    "NcDatatypeType": ("Primitive, Typedef, Struct, Enum", "Kind of a datatype"),
    "NcDeviceGenericState": (
        "Unknown, NormalOperation, Initializing, Updating, LicensingError, InternalError",
        "Operational state that all devices have",
    ),
    "NcMethodStatus": (
        "Ok 200, PropertyDeprecated 298, MethodDeprecated 299, BadCommandFormat 400, Unauthorized 401, BadOid 404, "
        "Readonly 405, InvalidRequest 406, Conflict 409, BufferOverflow 413, IndexOutOfBounds 414, "
        "ParameterError 417, Locked 423, DeviceError 500, MethodNotImplemented 501, PropertyNotImplemented 502, "
        "NotReady 503, Timeout 504",
        "Status of a call",
    ),
    "NcPropertyChangeType": (
        "ValueChanged, SequenceItemAdded, SequenceItemChanged, SequenceItemRemoved",
        "How a property has changed",
    ),
    "NcResetCause": (
        "Unknown, PowerOn, InternalError, Upgrade, ControllerRequest, ManualReset",
        "Why a device has started",
    ),
    "NcConnectionStatus": (_HEALTH, "Connection of a receiver"),
    "NcEssenceStatus": (_HEALTH, "Essence of a sender"),
    "NcLinkStatus": ("AllUp 1, SomeDown, AllDown", "Network interfaces of a receiver or sender"),
    "NcOverallStatus": (_HEALTH, "The worst of all statuses"),
    "NcStreamStatus": (_HEALTH, "Stream of a receiver"),
    "NcSynchronizationStatus": ("NotUsed, Healthy, PartiallyHealthy, Unhealthy", "External synchronization"),
    "NcTransmissionStatus": (_HEALTH, "Transmission of a sender"),
}
"""By name: the items, which count on from the last number that is written, and a description."""


class TypedField(NamedTuple):
    """A field, parameter or property as it is written in a table."""

    name: str
    type_name: str | None
    """None for any type."""
    nullable: bool
    sequence: bool

    def described(self) -> Json:
        """Its NcFieldDescriptor, which is an NcParameterDescriptor too."""
        return {
            "description": None,
            "name": self.name,
            "typeName": self.type_name,
            "isNullable": self.nullable,
            "isSequence": self.sequence,
            "constraints": None,
        }


def parse_field(text: str) -> TypedField:
    """``name: Type``, with its marks."""
    name, _, written = text.strip().partition(": ")
    nullable, written = written.endswith("?"), written.removesuffix("?")
    sequence, written = written.endswith("[]"), written.removesuffix("[]")
    return TypedField(name, None if written == "*" else written, nullable, sequence)


def parse_fields(text: str) -> list[TypedField]:
    """Fields, separated by commas."""
    return [parse_field(part) for part in text.split(",") if part.strip()]


def enum_items(name: str) -> dict[str, int]:
    """The items of an enumeration."""
    items: dict[str, int] = {}
    following = 0
    for item in ENUMS[name][0].split(", "):
        word, _, number = item.partition(" ")
        items[word] = int(number) if number else following
        following = items[word] + 1
    return items


def fields_of(name: str) -> list[TypedField]:
    """All fields of a structure, those of its parents first."""
    parent, text, _ = STRUCTS[name]
    return (fields_of(parent) if parent else []) + parse_fields(text)


def describe_datatype(name: str, include_inherited: bool = False) -> Json | None:
    """The NcDatatypeDescriptor of a type; None where there is none of that name."""
    if name in PRIMITIVES:
        return {"description": None, "name": name, "type": PRIMITIVE, "constraints": None}
    if name in TYPEDEFS:
        written, description = TYPEDEFS[name]
        return {
            "description": description,
            "name": name,
            "type": TYPEDEF,
            "parentType": written.removesuffix("[]"),
            "isSequence": written.endswith("[]"),
            "constraints": None,
        }
    if name in ENUMS:
        items = [{"description": None, "name": item, "value": value} for item, value in enum_items(name).items()]
        return {"description": ENUMS[name][1], "name": name, "type": ENUM, "items": items, "constraints": None}
    if name in STRUCTS:
        parent, text, description = STRUCTS[name]
        fields = fields_of(name) if include_inherited else parse_fields(text)
        return {
            "description": description,
            "name": name,
            "type": STRUCT,
            "fields": [field.described() for field in fields],
            "parentType": parent,
            "constraints": None,
        }
    return None


DATATYPE_NAMES = (*PRIMITIVES, *TYPEDEFS, *STRUCTS, *ENUMS)


def has_type(value: Any, type_name: str | None, nullable: bool = False, sequence: bool = False) -> bool:
    """Whether a decoded JSON value is of a datatype."""
    if value is None:
        return nullable
    if sequence:
        return isinstance(value, list) and all(has_type(item, type_name) for item in value)
    if type_name is None:
        return True
    if type_name in PRIMITIVES:
        return _is_primitive(value, type_name)
    if type_name in TYPEDEFS:
        written = TYPEDEFS[type_name][0]
        return has_type(value, written.removesuffix("[]"), sequence=written.endswith("[]"))
    if type_name in ENUMS:
        return _is_primitive(value, "NcUint16") and value in enum_items(type_name).values()
    return isinstance(value, dict) and all(
        field.name in value and has_type(value[field.name], field.type_name, field.nullable, field.sequence)
        for field in fields_of(type_name)
    )


def _is_primitive(value: Any, name: str) -> bool:
    if name == "NcBoolean":
        return isinstance(value, bool)
    if name == "NcString":
        return isinstance(value, str)
    if isinstance(value, bool):
        return False
    if bounds := PRIMITIVES[name]:
        return isinstance(value, int) and bounds[0] <= value <= bounds[1]
    return isinstance(value, int | float) and math.isfinite(value)
