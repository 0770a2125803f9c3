"""Home Assistant's MQTT discovery: a retained message says where a sensor's state is.

That is: its topic, its unit, and where in that topic's JSON object the value stands.

Of the template language only what nearly all devices use is understood: `{{ value }}`, `{{ value_json.a.b }}`,
`{{ value_json['a']['b'] }}`, with the filters float, int, round and is_defined. There is no template engine.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Final

from careloop.contract.senml import BadRecord, Reading
from ingest.delivery import Announcement, Decoded, Delivery, Family, RefusalError, Resolved
from ingest.formats.json_objects import LONGEST_METRIC, LONGEST_UNIT, Moment, moment_of, number_of
from ingest.formats.parsing import parse_json
from ingest.formats.patterns import is_serial

FORMAT: Final = "home_assistant"
COMPONENTS: Final = ("sensor", "binary_sensor")
LONGEST_TOPIC = 512
LONGEST_TEMPLATE = 300
DEEPEST = 8
_FILTERS = r"(?:\|\s{0,4}(?:float|int|is_defined|round)\s{0,4}(?:\(\s{0,4}-?[\d.]{0,9}\s{0,4}\))?\s{0,4}){0,4}"
_PATH = r"((?:\.[A-Za-z_]\w{0,63}|\[\s{0,4}'[^'\\]{1,64}'\s{0,4}\]|\[\s{0,4}\"[^\"\\]{1,64}\"\s{0,4}\]){1,8})"
_VALUE_JSON = re.compile(rf"\s*\{{\{{\s*value_json{_PATH}\s*{_FILTERS}\}}\}}\s*")
_VALUE = re.compile(rf"\s*\{{\{{\s*value\s*{_FILTERS}\}}\}}\s*")
_STEP = re.compile(r"\.(\w+)|\[\s*['\"]([^'\"]+)['\"]\s*\]")
# What stands for "no value at the moment".
_NO_VALUE = frozenset({"", "unknown", "unavailable", "none", "None", "null", "nan"})
_ON, _OFF = frozenset({"ON", "on", "true", "True"}), frozenset({"OFF", "off", "false", "False"})
_LONG_NAME: Mapping[str, str] = {
    "stat_t": "state_topic", "val_tpl": "value_template", "unit_of_meas": "unit_of_measurement", "dev": "device",
    "dev_cla": "device_class", "ids": "identifiers", "sn": "serial_number", "pl_on": "payload_on",
    "pl_off": "payload_off", "cmps": "components", "p": "platform",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Discovery:
    """A discovery message, parsed: what it announces of each sensor.

    Attributes:
        topic: Its topic.
        sensors: State topic and description by source; empty when the sensor is taken back.
    """

    topic: str
    sensors: Mapping[str, tuple[str, Mapping[str, Any]]]

    @property
    def family(self) -> Family:
        """Its own topic, under which nothing is looked up."""
        return Family(FORMAT, self.topic)

    def resolve(self, announced: Mapping[str, Announcement], delivery: Delivery) -> Resolved:  # noqa: ARG002 - protocol
        """Announce the sensors; pure. See `ingest.delivery.Unresolved`."""
        if not self.sensors:
            return Resolved(announcements=[Announcement(self.family, self.topic, delivery.received_at, None)])
        return Resolved(
            announcements=[
                Announcement(Family(FORMAT, state_topic), source, delivery.received_at, body)
                for source, (state_topic, body) in self.sensors.items()
            ],
            listen_to=sorted({state_topic for state_topic, _ in self.sensors.values()}),
        )


@dataclass(frozen=True, slots=True)
class StateMessage:
    """A message on a topic that a discovery message may have named.

    Attributes:
        topic: Its topic.
        plain: Serial number and metric, when the topic itself says them.
        zone: How to read times without an offset.
    """

    topic: str
    plain: tuple[str, str] | None
    zone: tzinfo | None

    @property
    def family(self) -> Family:
        """All sensors whose state is in this topic."""
        return Family(FORMAT, self.topic)

    def resolve(self, announced: Mapping[str, Announcement], delivery: Delivery) -> Resolved:
        """Read it; pure. See `ingest.delivery.Unresolved`."""
        sensors = [announcement.body for _, announcement in sorted(announced.items()) if announcement.body is not None]
        if not sensors and self.plain is not None:
            serial, metric = self.plain
            sensors = [{"serial": serial, "metric": metric, "unit": "", "path": [], "on": "ON", "off": "OFF"}]
        if not sensors:
            return Resolved(refusal=RefusalError("bad_topic", f"no discovery message names {self.topic[:200]!r}"))
        try:
            return Resolved(self._read(sensors, delivery))
        except RefusalError as refusal:
            return Resolved(refusal=refusal)

    def _read(self, sensors: list[Mapping[str, Any]], delivery: Delivery) -> Decoded:
        parts: dict[str, Decoded] = {}
        text = delivery.payload.decode("utf-8", "replace").strip()
        content = parse_json(delivery.payload) if any(sensor["path"] for sensor in sensors) else None
        moment = Moment(delivery.received_at.timestamp(), True)
        if isinstance(content, dict):
            try:
                moment = moment_of(content, moment.time_s, self.zone)
            except ValueError as error:
                raise RefusalError("malformed", str(error)) from error
        for place, sensor in enumerate(sensors):
            part = parts.setdefault(sensor["serial"], Decoded(sensor["serial"]))
            given = _at(content, sensor["path"]) if sensor["path"] else text
            if given is None or (isinstance(given, str) and given in _NO_VALUE):
                continue
            value = _number(given, sensor)
            if value is None:
                part.bad.append(BadRecord(place, f"{sensor['metric']} is {str(given)[:40]!r}, no number"))
            else:
                part.timed_on_arrival |= moment.on_arrival
                part.add(Reading(moment.time_s, sensor["metric"], value, sensor["unit"]))
        first, *others = parts.values()
        first.also = others
        return first


def decode_discovery(delivery: Delivery, prefix: str) -> Decoded:
    """Read a discovery message: of one sensor, or of a device with its components.

    Args:
        delivery: The message, on `{prefix}/{component}/[{node}/]{object}/config`.
        prefix: The discovery prefix.

    Raises:
        RefusalError: `malformed`.
    """
    component, *ids = delivery.topic.removeprefix(f"{prefix}/").removesuffix("/config").split("/")
    if not 1 <= len(ids) <= 2 or component not in (*COMPONENTS, "device"):
        raise RefusalError("bad_topic", f"{delivery.topic[:200]!r} is no topic of a sensor's discovery message")
    if not delivery.payload:
        return Decoded("", unresolved=Discovery(delivery.topic, {}))
    parsed = parse_json(delivery.payload)
    if not isinstance(parsed, dict):
        raise RefusalError("malformed", "a discovery message is an object")
    common = _long_names(parsed)
    sensors = (
        dict(_components(common, delivery.topic, ids))
        if component == "device"
        else {delivery.topic: _sensor(common, component, ids)}
    )
    if not sensors:
        raise RefusalError("malformed", "the device has no sensor among its components")
    return Decoded("", unresolved=Discovery(delivery.topic, sensors))


def _components(
    common: Mapping[str, Any], topic: str, ids: list[str]
) -> Iterator[tuple[str, tuple[str, Mapping[str, Any]]]]:
    components = common.get("components")
    if not isinstance(components, dict):
        raise RefusalError("malformed", "a device's discovery message has an object components")
    for name, given in components.items():
        own = _long_names(given) if isinstance(given, dict) else {}
        if own.get("platform") in COMPONENTS:
            yield f"{topic}#{name}", _sensor({**common, **own}, str(own["platform"]), [*ids, name])


def _sensor(config: Mapping[str, Any], component: str, ids: list[str]) -> tuple[str, Mapping[str, Any]]:
    """State topic and description of one sensor."""
    state_topic = config.get("state_topic")
    if not isinstance(state_topic, str):
        raise RefusalError("malformed", "state_topic must be a text")
    base = config.get("~")
    if isinstance(base, str):
        state_topic = re.sub("^~|~$", lambda _: base, state_topic)
    if not 0 < len(state_topic) <= LONGEST_TOPIC or not state_topic.isprintable() or set(state_topic) & set("+#$"):
        raise RefusalError("malformed", f"state_topic {state_topic[:100]!r} is not a topic that can be listened to")
    path = _path(config.get("value_template"))
    metric = ".".join(path) or ids[-1]
    unit = config.get("unit_of_measurement") or ""
    if not isinstance(unit, str) or len(unit) > LONGEST_UNIT or not unit.isprintable():
        raise RefusalError("malformed", f"unit_of_measurement must be a text of at most {LONGEST_UNIT} characters")
    if not 0 < len(metric) <= LONGEST_METRIC or not metric.isprintable():
        raise RefusalError("malformed", "the metric's name must be 1-128 printable characters")
    body: dict[str, Any] = {"serial": _serial(config.get("device"), ids), "metric": metric, "unit": unit, "path": path}
    if component == "binary_sensor":
        body |= {"on": _payload(config, "payload_on", "ON"), "off": _payload(config, "payload_off", "OFF")}
    return state_topic, body


def _payload(config: Mapping[str, Any], name: str, otherwise: str) -> str:
    text = str(config.get(name, otherwise))[:64]
    return text if text.isprintable() else otherwise


def _serial(device: object, ids: list[str]) -> str:
    """The device's serial number; else the node in the topic; else the device's first identifier, or the object."""
    config = _long_names(device) if isinstance(device, dict) else {}
    identifiers = config.get("identifiers")
    first = identifiers[0] if isinstance(identifiers, list) and identifiers else identifiers
    candidates = [config.get("serial_number"), ids[0] if len(ids) > 1 else None, first, ids[0]]
    for candidate in candidates:
        if is_serial(candidate):
            return str(candidate)
    raise RefusalError("malformed", "no serial number: device.serial_number, the topic's node, or device.identifiers")


def _path(template: object) -> list[str]:
    if template is None:
        return []
    if isinstance(template, str) and len(template) <= LONGEST_TEMPLATE:
        if _VALUE.fullmatch(template):
            return []
        match = _VALUE_JSON.fullmatch(template)
        if match is not None:
            return [plain or quoted for plain, quoted in _STEP.findall(match.group(1))]
    raise RefusalError(
        "malformed", f"value_template {str(template)[:100]!r} is not {{{{ value }}}} or {{{{ value_json.… }}}}"
    )


def _at(content: object, path: list[str]) -> object:
    for step in path:
        if not isinstance(content, dict):
            return None
        content = content.get(step)
    return content


def _number(given: object, sensor: Mapping[str, Any]) -> float | None:
    if "on" in sensor and str(given)[:64] in (sensor["on"], sensor["off"]):
        return float(str(given) == sensor["on"])
    if isinstance(given, str) and "on" not in sensor and given in _ON | _OFF:
        return float(given in _ON)
    return number_of(given)


def _long_names(config: Mapping[str, Any]) -> dict[str, Any]:
    return {_LONG_NAME.get(name, name): value for name, value in config.items()}
