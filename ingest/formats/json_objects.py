"""Plain JSON objects: zigbee2mqtt, Tasmota, ThingsBoard, and what people write themselves.

Numbers and booleans become readings, nested objects dotted names. Texts are what such objects are full of (states,
identifiers, versions) and no readings; they are passed over, and do not make a dead letter.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from math import isfinite
from typing import Any, NamedTuple

from careloop.contract.senml import BadRecord, Reading
from ingest.delivery import Decoded, Delivery, RefusalError
from ingest.formats.parsing import parse_json
from ingest.formats.patterns import is_serial

DEEPEST = 8
LONGEST_METRIC = 128
LONGEST_UNIT = 64
# The time of an object stands in the first of these that it has, whatever the case of its letters.
TIME_FIELDS = ("ts", "timestamp", "time", "last_seen")
# ThingsBoard, and the second generation of Shelly.
ENVELOPES = ("values", "params")
_FIRST_MS, _FIRST_US, _FIRST_NS = 1e11, 1e14, 1e17
# Tasmota names its units beside its sensors, for the whole message.
_UNIT_FIELDS: Mapping[str, frozenset[str]] = {
    "TempUnit": frozenset({"Temperature", "DewPoint", "HeatIndex", "FeelsLike", "WetBulb"}),
    "PressureUnit": frozenset({"Pressure", "SeaPressure"}),
    "SpeedUnit": frozenset({"Speed", "WindSpeed"}),
}
_TASMOTA_UNITS = {"C": "Cel", "F": "degF"}
_NUMBERS = frozenset({float, int, bool})
_NUMBER = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,4})?")


class Moment(NamedTuple):
    """When something was measured.

    Attributes:
        time_s: Unix seconds.
        on_arrival: Whether the message does not say, so that the arrival counts.
    """

    time_s: float
    on_arrival: bool


def decode_json_message(delivery: Delivery, serial: str | None, metric: str | None, zone: tzinfo | None) -> Decoded:
    """Read a JSON message.

    Args:
        delivery: The message.
        serial: Serial number from its topic; None when the object's fields are serial numbers (ThingsBoard's gateway).
        metric: Metric from its topic; then the payload may be a bare number.
        zone: How to read times without an offset; None takes the arrival instead.

    Raises:
        RefusalError: `bad_topic` or `malformed`.
    """
    parsed = parse_json(delivery.payload)
    if serial is None:
        return _gateway(parsed, delivery, zone)
    if not is_serial(serial):
        raise RefusalError("bad_topic", f"{serial[:80]!r} is not a serial number: 1-64 letters, digits, . _ -")
    return _device(serial, parsed, delivery, metric, zone)


def _gateway(parsed: Any, delivery: Delivery, zone: tzinfo | None) -> Decoded:
    if not isinstance(parsed, dict) or not parsed:
        raise RefusalError("malformed", "a gateway's message is an object of devices by serial number")
    parts: list[Decoded] = []
    bad: list[BadRecord] = []
    for place, (name, content) in enumerate(parsed.items()):
        if not is_serial(name):
            bad.append(BadRecord(place, f"{name[:80]!r} is not a serial number"))
            continue
        try:
            parts.append(_device(name, content, delivery, None, zone))
        except RefusalError as refusal:
            bad.append(BadRecord(place, f"{name}: {refusal.detail}"))
    if not parts:
        raise RefusalError("malformed", bad[0].reason)
    parts[0].bad.extend(bad)
    parts[0].also = parts[1:]
    return parts[0]


def _device(serial: str, parsed: Any, delivery: Delivery, metric: str | None, zone: tzinfo | None) -> Decoded:
    decoded = Decoded(serial)
    objects = parsed if isinstance(parsed, list) else [parsed]
    if not objects:
        raise RefusalError("malformed", "the array of objects is empty")
    arrived_s = delivery.received_at.timestamp()
    for place, content in enumerate(objects):
        if isinstance(content, dict):
            try:
                moment = moment_of(content, arrived_s, zone)
            except ValueError as error:
                decoded.bad.append(BadRecord(place, str(error)))
                continue
            decoded.timed_on_arrival |= moment.on_arrival
            _Object(content, moment.time_s, place, decoded).read(metric or "")
        elif metric is not None and (value := number_of(content)) is not None:
            decoded.timed_on_arrival = True
            _Object({}, arrived_s, place, decoded).add(metric, value, "")
        else:
            decoded.bad.append(BadRecord(place, "neither an object" + (" nor a number" if metric else "")))
    if not decoded.readings and len(decoded.bad) == len(objects):
        raise RefusalError("malformed", decoded.bad[0].reason)
    decoded.timed_on_arrival &= bool(decoded.readings)
    return decoded


def moment_of(content: Mapping[str, Any], arrived_s: float, zone: tzinfo | None) -> Moment:
    """When an object was measured.

    Args:
        content: The object.
        arrived_s: When it arrived, Unix seconds.
        zone: How to read times without an offset; None takes the arrival instead.

    Raises:
        ValueError: It has a time that cannot be read.
    """
    given = next((content[name] for name in _time_names(content)), None)
    if given is None:
        inner = _enveloped(content) or {}
        given = next((inner[name] for name in _time_names(inner)), None)
    if given is None or isinstance(given, bool):
        return Moment(arrived_s, True)
    if isinstance(given, int | float):
        return Moment(_seconds(given), False)
    if _NUMBER.fullmatch(given):
        return Moment(_seconds(float(given)), False)
    try:
        time = datetime.fromisoformat(given)
        if time.tzinfo is None and zone is None:
            # A clock whose offset nobody told. But the text makes the message one of its kind: it may be recognised.
            return Moment(arrived_s, False)
        return Moment((time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC).timestamp(), False)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"time {given[:40]!r} is not RFC 3339") from error


def number_of(given: object) -> float | None:
    """A number, a boolean, or a text that is a number, as a float; None for everything else."""
    if isinstance(given, bool):
        return float(given)
    if isinstance(given, int | float):
        try:
            return float(given)
        except OverflowError:
            return None
    if isinstance(given, str) and _NUMBER.fullmatch(given.strip()):
        return float(given)
    return None


def _enveloped(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The object that holds the readings, when all of them stand in one under a name of its own."""
    for name in ENVELOPES:
        inner = content.get(name)
        if isinstance(inner, dict):
            return inner
    return None


def _time_names(content: Mapping[str, Any]) -> Iterator[str]:
    """The fields that hold a time, the one that counts first."""
    by_lower_case = {name.lower(): name for name in content if len(name) <= len("timestamp")}
    for name in TIME_FIELDS:
        found = by_lower_case.get(name)
        if found is not None and isinstance(content[found], int | float | str):
            yield found


def _seconds(given: float) -> float:
    """Unix time in seconds, milliseconds, microseconds or nanoseconds, told apart by their size."""
    try:
        number = float(given)
    except OverflowError as error:
        raise ValueError("the time does not fit a 64-bit float") from error
    if not isfinite(number) or number < 0:
        raise ValueError(f"time {number} is not a Unix time")
    for first, per_second in ((_FIRST_NS, 1e9), (_FIRST_US, 1e6), (_FIRST_MS, 1e3)):
        if number >= first:
            return number / per_second
    return number


class _Object:
    """One object on its way into readings.

    Args:
        content: The object.
        time_s: When it was measured, Unix seconds.
        place: Its place in the message, from 0.
        decoded: Where readings, and what is wrong, are added.
    """

    def __init__(self, content: Mapping[str, Any], time_s: float, place: int, decoded: Decoded) -> None:
        self._content = _enveloped(content) or content
        self._skip = frozenset(_time_names(self._content))
        self._units = {name: unit for name in _UNIT_FIELDS if isinstance(unit := self._content.get(name), str)}
        self._time_s = time_s
        self._place = place
        self._decoded = decoded

    def read(self, prefix: str) -> None:
        """Add its readings, nested ones with dotted names; without recursion, so no depth can hurt."""
        waiting: list[tuple[str, Mapping[str, Any], int]] = [(prefix, self._content, 1)]
        # It grows while it is walked.
        for path, fields, depth in waiting:
            for name, value in fields.items():
                kind = type(value)
                if depth == 1 and name in self._skip:
                    continue
                if len(path) + len(name) >= LONGEST_METRIC:
                    if kind in _NUMBERS or kind is dict:
                        self._bad(f"the name {name[:40]!r} makes one of more than {LONGEST_METRIC} characters")
                    continue
                full_name = f"{path}.{name}" if path else name
                if kind in _NUMBERS:
                    self.add(full_name, value, self._unit(name))
                elif kind is dict:
                    if type(value.get("unit")) is str and type(value.get("value")) in _NUMBERS:
                        self.add(full_name, value["value"], value["unit"])
                    elif depth < DEEPEST:
                        waiting.append((full_name, value, depth + 1))
                    else:
                        self._bad(f"objects are nested more than {DEEPEST} deep")
                # Texts, nulls and arrays are no readings.

    def add(self, metric: str, value: float, unit: str) -> None:
        """Add a reading, if it can be one."""
        number = number_of(value)
        if number is None:
            self._bad(f"{metric[:LONGEST_METRIC]} does not fit a 64-bit float")
        elif not 0 < len(metric) <= LONGEST_METRIC or not metric.isprintable():
            self._bad(f"the metric's name must be 1-{LONGEST_METRIC} printable characters")
        elif len(unit) > LONGEST_UNIT or not unit.isprintable():
            self._bad(f"the unit of {metric} must be at most {LONGEST_UNIT} printable characters")
        else:
            self._decoded.add(Reading(self._time_s, metric, number, unit))

    def _unit(self, name: str) -> str:
        for field, unit in self._units.items():
            if name in _UNIT_FIELDS[field]:
                return _TASMOTA_UNITS.get(unit, unit)
        return ""

    def _bad(self, reason: str) -> None:
        self._decoded.bad.append(BadRecord(self._place, reason))
