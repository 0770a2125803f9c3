"""The bytes of Sparkplug B: Google Protobuf, described here in code from the Sparkplug 3.0 specification, chapter 6.

Data sets, templates and property values that are no units are left out of the description; protobuf passes unknown
fields over, so whatever stands in them is neither copied nor looked at.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from ingest.delivery import RefusalError

BOOLEAN: Final = 11
# Datatype to bits; signed ones are sent as the two's complement in an unsigned field.
SIGNED: Final = {1: 8, 2: 16, 3: 32, 4: 64}
UNSIGNED: Final = {5: 8, 6: 16, 7: 32, 8: 64}
FLOATING: Final = frozenset({9, 10})
NUMERIC: Final = frozenset({*SIGNED, *UNSIGNED, *FLOATING, BOOLEAN})
DATATYPES: Final = {
    0: "Unknown", 1: "Int8", 2: "Int16", 3: "Int32", 4: "Int64", 5: "UInt8", 6: "UInt16", 7: "UInt32", 8: "UInt64",
    9: "Float", 10: "Double", 11: "Boolean", 12: "String", 13: "DateTime", 14: "Text", 15: "UUID", 16: "DataSet",
    17: "Bytes", 18: "File", 19: "Template", 20: "PropertySet", 21: "PropertySetList",
}  # fmt: skip
REBIRTH: Final = "Node Control/Rebirth"
_UNIT_PROPERTIES = frozenset({"engunit", "engineeringunits", "units", "unit"})

_Field = FieldDescriptorProto
_OTHER_VALUES = ("dataset_value", "template_value", "extension_value")


class Metric(NamedTuple):
    """One metric of a payload.

    Attributes:
        name: Its name, or an empty string when only its alias is sent.
        alias: Its alias, or None.
        timestamp_ms: Unix time in milliseconds, or None.
        datatype: Number of its type; 0 when it is not sent.
        is_null: It has no value.
        kind: Which field holds the value: `int`, `long`, `float`, `double`, `boolean`, `other`, or an empty string.
        value: The number in that field; 0 for other kinds.
        unit: Its engineering unit, from a property of it, or an empty string.
    """

    name: str
    alias: int | None
    timestamp_ms: int | None
    datatype: int
    is_null: bool
    kind: str
    value: float
    unit: str


class Payload(NamedTuple):
    """A payload.

    Attributes:
        timestamp_ms: Unix time in milliseconds at which it was sent, or None.
        seq: Sequence number, or None.
        metrics: Its metrics.
    """

    timestamp_ms: int | None
    seq: int | None
    metrics: list[Metric]


def parse_payload(payload: bytes) -> Payload:
    """Read the bytes.

    Raises:
        RefusalError: `malformed`.
    """
    try:
        message = _PAYLOAD.FromString(payload)
    except DecodeError as error:
        raise RefusalError("malformed", f"not a Sparkplug B payload: {error}"[:300]) from error
    return Payload(
        message.timestamp if message.HasField("timestamp") else None,
        message.seq if message.HasField("seq") else None,
        [_metric(metric) for metric in message.metrics],
    )


def rebirth_request(timestamp_ms: int) -> bytes:
    """The payload of an NCMD that asks an edge node to send its births again."""
    message = _PAYLOAD(timestamp=timestamp_ms)
    message.metrics.add(name=REBIRTH, timestamp=timestamp_ms, datatype=BOOLEAN, boolean_value=True)
    encoded: bytes = message.SerializeToString()
    return encoded


def value_of(metric: Metric, datatype: int) -> float | None:
    """A numeric or boolean metric's value; None when its field does not hold one of its type.

    Args:
        metric: The metric.
        datatype: From the metric or from its birth.
    """
    if metric.kind in ("float", "double"):
        return metric.value
    if metric.kind == "boolean":
        return float(metric.value)
    if metric.kind not in ("int", "long"):
        return None
    number = int(metric.value)
    bits = SIGNED.get(datatype)
    if bits is not None:
        # Some senders extend the sign to the field's width, some do not: the lowest bits are the same.
        number &= (1 << bits) - 1
        number -= (number >> (bits - 1)) << bits
    return float(number)


def _metric(message: Any) -> Metric:
    field = message.WhichOneof("value")
    kind = "" if field is None else field.removesuffix("_value")
    if kind not in ("int", "long", "float", "double", "boolean", ""):
        kind = "other"
    return Metric(
        _text(message.name),
        message.alias if message.HasField("alias") else None,
        message.timestamp if message.HasField("timestamp") else None,
        message.datatype,
        message.is_null,
        kind,
        getattr(message, field) if kind not in ("", "other") else 0,
        _unit(message) if message.HasField("properties") else "",
    )


def _unit(message: Any) -> str:
    properties = message.properties
    for key, value in zip(properties.keys, properties.values, strict=False):
        if _text(key).lower().replace(" ", "") in _UNIT_PROPERTIES and value.WhichOneof("value") == "string_value":
            return _text(value.string_value)
    return ""


def _text(given: str | bytes) -> str:
    """A text of the payload: protobuf hands out bytes where they are not UTF-8."""
    return given if isinstance(given, str) else given.decode("utf-8", "replace")


def _field(
    name: str, number: int, kind: "_Field.Type.ValueType", *, one_of: bool = False, of: str = "", many: bool = False
) -> FieldDescriptorProto:
    field = _Field(name=name, number=number, type=kind)
    field.label = _Field.LABEL_REPEATED if many else _Field.LABEL_OPTIONAL
    if of:
        field.type_name = f".careloop.sparkplug.{of}"
    if one_of:
        field.oneof_index = 0
    return field


def _value_fields(first: int) -> Iterator[FieldDescriptorProto]:
    yield _field("int_value", first, _Field.TYPE_UINT32, one_of=True)
    yield _field("long_value", first + 1, _Field.TYPE_UINT64, one_of=True)
    yield _field("float_value", first + 2, _Field.TYPE_FLOAT, one_of=True)
    yield _field("double_value", first + 3, _Field.TYPE_DOUBLE, one_of=True)
    yield _field("boolean_value", first + 4, _Field.TYPE_BOOL, one_of=True)
    # proto2 takes texts as they are, also those that are not UTF-8.
    yield _field("string_value", first + 5, _Field.TYPE_STRING, one_of=True)


def _message(name: str, fields: Iterable[FieldDescriptorProto], *, one_of: bool = False) -> DescriptorProto:
    message = DescriptorProto(name=name, field=fields)
    if one_of:
        message.oneof_decl.add(name="value")
    return message


def _payload_class() -> Any:
    metric_fields = [
        _field("name", 1, _Field.TYPE_STRING),
        _field("alias", 2, _Field.TYPE_UINT64),
        _field("timestamp", 3, _Field.TYPE_UINT64),
        _field("datatype", 4, _Field.TYPE_UINT32),
        _field("is_historical", 5, _Field.TYPE_BOOL),
        _field("is_transient", 6, _Field.TYPE_BOOL),
        _field("is_null", 7, _Field.TYPE_BOOL),
        _field("properties", 9, _Field.TYPE_MESSAGE, of="PropertySet"),
        *_value_fields(10),
        _field("bytes_value", 16, _Field.TYPE_BYTES, one_of=True),
        *(_field(name, 17 + n, _Field.TYPE_BYTES, one_of=True) for n, name in enumerate(_OTHER_VALUES)),
    ]
    file = FileDescriptorProto(
        name="careloop/sparkplug.proto",
        package="careloop.sparkplug",
        syntax="proto2",
        message_type=[
            _message(
                "Payload",
                [
                    _field("timestamp", 1, _Field.TYPE_UINT64),
                    _field("metrics", 2, _Field.TYPE_MESSAGE, of="Metric", many=True),
                    _field("seq", 3, _Field.TYPE_UINT64),
                ],
            ),
            _message("Metric", metric_fields, one_of=True),
            _message(
                "PropertySet",
                [
                    _field("keys", 1, _Field.TYPE_STRING, many=True),
                    _field("values", 2, _Field.TYPE_MESSAGE, of="PropertyValue", many=True),
                ],
            ),
            _message("PropertyValue", [_field("type", 1, _Field.TYPE_UINT32), *_value_fields(3)], one_of=True),
        ],
    )
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("careloop.sparkplug.Payload"))


_PAYLOAD: Final = _payload_class()
