"""SenML (RFC 8428) packs of readings: base fields, relative times and units resolved; JSON or CBOR labels.

The codec works on parsed records (lists of mappings), so that each side can use the JSON or CBOR library it has.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

from careloop.contract.reading import Columns, Reading

__all__ = [
    "ABSOLUTE_FROM_S", "CONTENT_TYPE_CBOR", "CONTENT_TYPE_JSON", "BadRecord", "Columns", "Reading", "SenmlError",
    "cbor_labels", "decode_pack", "encode_pack", "text_labels",
]  # fmt: skip

CONTENT_TYPE_JSON = "application/senml+json"
CONTENT_TYPE_CBOR = "application/senml+cbor"

# RFC 8428 section 4.4: a time value below 2**28 is relative to now; from there on it is Unix time.
ABSOLUTE_FROM_S = 2**28

LONGEST_NAME = 128

# RFC 8428 section 6, table 4: integer labels of CBOR.
CBOR_LABELS: Mapping[int, str] = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs",
    0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
}  # fmt: skip
CBOR_NUMBERS: Mapping[str, int] = {name: label for label, name in CBOR_LABELS.items()}


class SenmlError(ValueError):
    """The pack or one of its records breaks RFC 8428; the text says which and how."""


class BadRecord(NamedTuple):
    """A record that could not become a reading, while the rest of its pack could.

    Attributes:
        place: Place in the pack, from 0.
        reason: What is wrong.
    """

    place: int
    reason: str


def encode_pack(serial: str, readings: Iterable[Reading]) -> list[dict[str, Any]]:
    """Readings as SenML records, with the serial number as base name and the first time as base time.

    >>> encode_pack("KW-1", [Reading(1.7e9, "pressure", 98.5, "bar"), Reading(1.7e9 + 60, "pressure", 98.0, "bar")])
    [{'bn': 'KW-1/', 'bt': 1700000000.0, 'n': 'pressure', 'u': 'bar', 'v': 98.5}, \
{'n': 'pressure', 'u': 'bar', 't': 60.0, 'v': 98.0}]
    """
    records: list[dict[str, Any]] = []
    base_time_s = 0.0
    for reading in readings:
        record: dict[str, Any] = {}
        if not records:
            base_time_s = reading.time_s
            record["bn"] = f"{serial}/"
            record["bt"] = base_time_s
        record["n"] = reading.metric
        if reading.unit:
            record["u"] = reading.unit
        if reading.time_s != base_time_s:
            # Rounded to a microsecond: what a timestamptz keeps, and short on the wire.
            record["t"] = round(reading.time_s - base_time_s, 6)
        record["v"] = reading.value
        records.append(record)
    return records


def cbor_labels(records: Iterable[Mapping[str, Any]]) -> list[dict[int | str, Any]]:
    """The same records with the integer labels of CBOR."""
    return [{CBOR_NUMBERS.get(name, name): value for name, value in record.items()} for record in records]


def text_labels(records: Iterable[Mapping[int | str, Any]]) -> list[dict[str, Any]]:
    """Records decoded from CBOR with their text labels; unknown integer labels become the empty one and so ignored."""
    return [
        {CBOR_LABELS.get(name, "") if isinstance(name, int) else name: value for name, value in record.items()}
        for record in records
    ]


def decode_pack(records: object, serial: str, now_s: float) -> tuple[list[Reading] | Columns, list[BadRecord]]:
    """Resolve a parsed pack into readings.

    Args:
        records: The parsed JSON array (or CBOR array with text labels).
        serial: Serial number from the topic; a base name `SERIAL/` or `…:SERIAL:` before the metric is taken off.
        now_s: Unix time that relative times refer to.

    Returns:
        The readings in order, as `Columns` when the pack is as simple as nearly all are, and the records that could not
        become one.

    Raises:
        SenmlError: The pack as a whole is not SenML.
    """
    if not isinstance(records, Sequence) or isinstance(records, str | bytes) or not records:
        raise SenmlError("a SenML pack is a non-empty array of records")
    columns = _columns(records, serial)
    return _one_by_one(records, serial, now_s) if columns is None else (columns, [])


def _one_by_one(records: Sequence[object], serial: str, now_s: float) -> tuple[list[Reading], list[BadRecord]]:
    readings: list[Reading] = []
    bad: list[BadRecord] = []
    base = _Base()
    # Metric by `n`, as resolved under the base name in force.
    metrics: dict[object, str] = {}
    for index, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise SenmlError(f"record {index} is not an object")
        # The record that nearly every pack is full of, in a quarter of the time of the general case below.
        if record.keys() <= _PLAIN_FIELDS:
            name, value, time = record.get("n"), record.get("v"), record.get("t", 0.0)
            unit = record.get("u", base.unit)
            if (
                (type(value) is float or (type(value) is int and -_EXACT < value < _EXACT))
                and (type(time) is float or (type(time) is int and -_EXACT < time < _EXACT))
                and type(name) is str
                and type(unit) is str
                and name in metrics
            ):
                time_s = base.time_s + time
                if time_s < ABSOLUTE_FROM_S:
                    time_s += now_s
                readings.append(Reading(time_s, metrics[name], value + base.value, unit))
                continue
        elif not record.keys().isdisjoint(_BASE_FIELDS):
            base.update(record, index)
            metrics.clear()
        try:
            found, cacheable = _readings(record, base, serial, now_s)
        except SenmlError as error:
            bad.append(BadRecord(index, str(error)))
            continue
        if cacheable:
            metrics[record["n"]] = found[0].metric
        readings += found
    return readings, bad


def _columns(records: Sequence[Any], serial: str) -> Columns | None:
    """The pack that nearly every message is: the serial number as base name, absolute times, numbers as values.

    Joined packs of this kind are one, too: a base time may stand anywhere. None for any other, right or wrong. It says
    what the general decoder says; a test holds it to that.
    """
    if type(records) is not list or set(map(type, records)) != _DICT:
        return None
    first = records[0]
    if (
        first.get("bn") != serial + "/"
        or not first.keys() <= _HEAD_FIELDS
        or not all(map(_LATER_FIELDS.issuperset, records[1:]))
    ):
        return None
    offsets = [record.get("t", 0.0) for record in records]
    units = [record.get("u", "") for record in records]
    bases = [record.get("bt", _UNSAID) for record in records]
    try:
        metrics = [record["n"] for record in records]
        values = [record["v"] for record in records]
        if not (
            set(map(type, metrics)) == _TEXT == set(map(type, units))
            and all(map(_is_metric, set(metrics)))
            and {*map(type, offsets), *map(type, values)} <= _NUMBERS
            and set(map(type, bases)) <= _NUMBERS_OR_UNSAID
        ):
            return None
        times_s = _times(bases, offsets)
        # Written so that NaN does not hold.
        if not all(ABSOLUTE_FROM_S <= time_s < inf for time_s in set(times_s)):
            return None
        return Columns(times_s, metrics, list(map(float, values)), units)
    except (KeyError, OverflowError):
        return None


def _times(bases: list[Any], offsets: list[float]) -> list[float]:
    """Each record's time; a base time stays in force until the next."""
    base_s, said = 0.0, len(bases) - bases.count(_UNSAID)
    if said <= 1 and (not said or bases[0] != _UNSAID):
        if said:
            base_s = float(bases[0])
        # A pack has few different times.
        time_of = {offset: base_s + offset for offset in set(offsets)}
        return [time_of[offset] for offset in offsets]
    times_s = []
    for base, offset in zip(bases, offsets, strict=True):
        if base != _UNSAID:
            base_s = float(base)
        times_s.append(base_s + offset)
    return times_s


_BASE_FIELDS = frozenset({"bn", "bt", "bu", "bv", "bs", "bver"})
_PLAIN_FIELDS = frozenset({"n", "u", "t", "v"})
_HEAD_FIELDS = _PLAIN_FIELDS | {"bn", "bt"}
_LATER_FIELDS = _PLAIN_FIELDS | {"bt"}
# What no parser of JSON or CBOR returns for a value.
_UNSAID = ()
_DICT, _TEXT, _NUMBERS, _NUMBERS_OR_UNSAID = {dict}, {str}, {float, int}, {float, int, tuple}
# Integers below it are floats exactly; CBOR can send larger ones.
_EXACT = 2**53


class _Base:
    """The base fields in force; each stays until another record sets it again."""

    name: str = ""
    time_s: float = 0.0
    unit: str = ""
    value: float = 0.0
    # None until a record sets it: only then has every record a sum.
    sum: float | None = None
    has_value: bool = False

    def update(self, record: Mapping[str, Any], index: int) -> None:
        self.name = self._text(record, "bn", self.name, index)
        self.unit = self._text(record, "bu", self.unit, index)
        self.time_s = self._number(record, "bt", self.time_s, index)
        self.value = self._number(record, "bv", self.value, index)
        self.has_value |= "bv" in record
        if "bs" in record:
            self.sum = self._number(record, "bs", 0.0, index)
        if isinstance(record.get("bver"), bool) or record.get("bver", 10) not in range(1, 11):
            raise SenmlError(f"record {index}: bver is none of 1 to 10, which this decoder knows")

    @staticmethod
    def _text(record: Mapping[str, Any], field: str, before: str, index: int) -> str:
        given = record.get(field, before)
        if not isinstance(given, str):
            raise SenmlError(f"record {index}: {field} must be a text")
        return given

    @staticmethod
    def _number(record: Mapping[str, Any], field: str, before: float, index: int) -> float:
        given = record.get(field, before)
        if isinstance(given, bool) or not isinstance(given, int | float):
            raise SenmlError(f"record {index}: {field} must be a number")
        try:
            return float(given)
        except OverflowError as error:
            raise SenmlError(f"record {index}: {field} does not fit a 64-bit float") from error


def _readings(record: Mapping[str, Any], base: _Base, serial: str, now_s: float) -> tuple[list[Reading], bool]:
    """The value and the sum of a record, as far as it has them; and whether its name alone says its metric."""
    must_understand = [name for name in record if isinstance(name, str) and name.endswith("_")]
    if must_understand:
        raise SenmlError(f"field {must_understand[0][:80]!r} must be understood (RFC 8428 section 4.4) and is not")
    value, total = _value(record, base), _sum(record, base)
    if value is None and total is None:
        return [], False
    name = record.get("n", "")
    if not isinstance(name, str):
        raise SenmlError("n must be a text")
    unit = record.get("u", base.unit)
    if not isinstance(unit, str):
        raise SenmlError("u must be a text")
    metric = _metric(base.name + name, serial)
    named_by_unit = not metric
    if named_by_unit:
        # Named after the asset itself: what it measures is told by the unit alone (RFC 8428 section 5.1.3).
        metric = unit or "value"
        _require_name(metric)
    time_s = _time(record, base, now_s)
    found = [] if value is None else [Reading(time_s, metric, value, unit)]
    if total is not None:
        _require_name(f"{metric}.sum")
        found.append(Reading(time_s, f"{metric}.sum", total, f"{unit}*s" if unit else ""))
    cacheable = total is None and base.sum is None and not named_by_unit and "n" in record
    return found, cacheable


def _time(record: Mapping[str, Any], base: _Base, now_s: float) -> float:
    time = record.get("t", 0.0)
    if isinstance(time, bool) or not isinstance(time, int | float):
        raise SenmlError("t must be a number")
    try:
        time_s = base.time_s + time
    except OverflowError as error:
        raise SenmlError("t does not fit a 64-bit float") from error
    return time_s + now_s if time_s < ABSOLUTE_FROM_S else time_s


def _value(record: Mapping[str, Any], base: _Base) -> float | None:
    if "v" in record:
        return _number(record, "v") + base.value
    if "vb" in record:
        if not isinstance(record["vb"], bool):
            raise SenmlError("vb must be true or false")
        return float(record["vb"])
    if "vs" in record or "vd" in record:
        raise SenmlError("text and binary values are not readings; send them as an event")
    if "s" in record:
        return None
    if "n" in record:
        if base.has_value:
            # RFC 8428 section 4.2: where only one of base value and value is present, the other is zero.
            return base.value
        if base.sum is None:
            raise SenmlError("the record has no value (v or vb) and no sum (s)")
    return None


def _sum(record: Mapping[str, Any], base: _Base) -> float | None:
    """The integral of the value over time, base sum included; in the unit times seconds."""
    if "s" in record:
        return _number(record, "s") + (base.sum or 0.0)
    return base.sum if "n" in record or "v" in record else None


def _number(record: Mapping[str, Any], field: str) -> float:
    value = record[field]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SenmlError(f"{field} must be a number")
    try:
        return float(value)
    except OverflowError as error:
        raise SenmlError(f"{field} does not fit a 64-bit float") from error


def _metric(full_name: str, serial: str) -> str:
    """The metric's own name: what stands after the serial number and a separator, else the whole.

    Empty when it is the serial number, or ends with it, and so names no metric.
    """
    head, found, tail = full_name.partition(serial)
    if found and (not head or head[-1] in "/:") and (not tail or tail[0] in "/:"):
        full_name = tail[1:]
        if not full_name:
            return ""
    _require_name(full_name)
    return full_name


def _require_name(metric: str) -> None:
    if not _is_metric(metric):
        raise SenmlError(f"the metric's name must be 1-{LONGEST_NAME} printable characters")


def _is_metric(name: str) -> bool:
    # The length first: what is remembered must be small, or names of a megabyte would fill the memory.
    return 1 <= len(name) <= LONGEST_NAME and _is_printable(name)


@lru_cache(maxsize=65536)
def _is_printable(name: str) -> bool:
    return name.isprintable()
