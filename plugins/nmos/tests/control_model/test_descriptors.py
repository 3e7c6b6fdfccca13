"""Our classes and datatypes are those of MS-05-02 and of the monitoring feature set, word for word where it counts."""

import json

import pytest

from phasegraph_nmos.control_model.control_classes import CLASSES, describe_class
from phasegraph_nmos.control_model.datatypes import DATATYPE_NAMES, PRIMITIVES, describe_datatype, has_type

from ..nmos_vectors import VECTORS, needs_vectors

CLASS_FILES = sorted(VECTORS.glob("*/models/classes/*.json")) + sorted(
    VECTORS.glob("*/monitoring/models/classes/*.json")
)
DATATYPE_FILES = sorted(VECTORS.glob("*/models/datatypes/*.json")) + sorted(
    VECTORS.glob("*/monitoring/models/datatypes/*.json")
)


def normative(value: object) -> object:
    """Without descriptions, and with lists of named things in the order of their names."""
    if isinstance(value, dict):
        return {key: normative(item) for key, item in value.items() if key != "description"}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return sorted((normative(item) for item in value), key=lambda item: item["name"])
    return value


@needs_vectors
def test_all_classes_are_as_published() -> None:
    assert len(CLASS_FILES) >= 9
    for path in CLASS_FILES:
        published = json.loads(path.read_text())
        assert normative(describe_class(tuple(published["classId"]))) == normative(published), path.name


@needs_vectors
def test_all_datatypes_are_as_published() -> None:
    assert len(DATATYPE_FILES) >= 60
    for path in DATATYPE_FILES:
        published = json.loads(path.read_text())
        assert normative(describe_datatype(published["name"])) == normative(published), path.name
    assert {path.stem for path in DATATYPE_FILES} == {*DATATYPE_NAMES} - {*PRIMITIVES}


def test_descriptors_are_of_their_own_datatypes() -> None:
    for class_id in CLASSES:
        assert has_type(describe_class(class_id, include_inherited=True), "NcClassDescriptor")
    for name in DATATYPE_NAMES:
        described = describe_datatype(name, include_inherited=True)
        assert described is not None
        kind = ("Primitive", "TypeDef", "Struct", "Enum")[described["type"]]
        assert has_type(described, f"NcDatatypeDescriptor{kind}"), name


def test_with_inherited_elements_the_levels_count_up() -> None:
    described = describe_class((1, 2, 2, 1), include_inherited=True)
    assert described is not None
    levels = [element["id"]["level"] for element in described["properties"]]
    assert levels == [1] * 8 + [2] + [3] * 3 + [4] * 14
    assert [event["name"] for event in described["events"]] == ["PropertyChanged"]
    assert describe_class((1, 9)) is None
    assert describe_datatype("NcNothing") is None


@pytest.mark.parametrize(
    ("value", "name", "right"),
    [
        (1, "NcUint16", True),
        (65536, "NcUint16", False),
        (True, "NcUint16", False),
        (1, "NcBoolean", False),
        (2**63, "NcUint64", True),
        (1.5, "NcFloat32", True),
        (float("inf"), "NcFloat64", False),
        ([1, 2], "NcClassId", True),
        ([1, "2"], "NcClassId", False),
        ("x", "NcRolePath", False),
        ({"level": 1, "index": 2}, "NcPropertyId", True),
        ({"level": 1}, "NcPropertyId", False),
        (200, "NcMethodStatus", True),
        (201, "NcMethodStatus", False),
        (None, "NcString", False),
        ({"role": "x"}, None, True),
    ],
)
def test_values_have_types(value: object, name: str | None, right: bool) -> None:
    assert has_type(value, name) is right
