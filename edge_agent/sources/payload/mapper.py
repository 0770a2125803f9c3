"""Records into rows and events, as a `[[sources]]` table says."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from careloop.contract.messages import Event
from edge_agent.sources.payload.config import EventField, MetricField, PayloadConfig
from edge_agent.sources.payload.records import PayloadError, Record
from edge_agent.sources.source import Harvest, Row, remembered

# What Home Assistant and others send where a value is missing.
ABSENT = frozenset({"", "unavailable", "unknown", "none", "null"})
MOST_LEFT_OUT = 1000
YEAR_10000_S = 253_402_300_800
SWITCHED = {"on": 1.0, "true": 1.0, "off": 0.0, "false": 0.0}

log = logging.getLogger(__name__)


class Mapper:
    """Keeps what events said last, so that a standing fault is told once.

    Args:
        config: What of a record is what.
        name: The source's name, for logs.
        default_serial_at: What names the asset where the configuration does not.

    Attributes:
        defects: Records that broke something of ours; each is logged and refused.
    """

    def __init__(self, config: PayloadConfig, name: str, default_serial_at: str = "@serial") -> None:
        self._config = config
        self._name = name
        self._zone = ZoneInfo(config.timezone) if config.timezone else None
        self._serial_at = config.serial_at or default_serial_at
        self._said = Alarms(config.events)
        self.defects = 0
        self._left_out: set[str] = set()
        self._last_time: tuple[object, float] = (None, 0.0)
        self._others = {config.serial_at, config.time_at} | {event.at for event in config.events}
        self._units = config.stated_units()

    @property
    def serials(self) -> Sequence[str]:
        """The assets that the configuration names."""
        return [self._config.serial] if self._config.serial else list(dict.fromkeys(self._config.serials.values()))

    def units_of(self, serial: str) -> Mapping[str, str]:
        """Unit by metric of an asset that this source may bring."""
        return self._units.get(serial) or self._units.get(None, {})

    def restore(self, memory: str) -> None:
        """Take back what `memory` said."""
        self._said.restore(memory)

    def memory(self) -> str | None:
        """What the events' fields said last, for a checkpoint; None when there are no events."""
        return self._said.memory()

    def harvest(self, payloads: Iterable[Iterable[Record]], now: datetime) -> Harvest:
        """Map payloads, e.g. lines; one that is wrong costs only itself, and is counted and logged.

        Args:
            payloads: The records of each; iterating one may raise PayloadError.
            now: The time of those that tell none.
        """
        rows: list[Row] = []
        events: list[tuple[str, Event]] = []
        wrong: list[str] = []
        for records in payloads:
            for record in self._right(records, wrong):
                try:
                    mapped = self._map(record, now)
                except PayloadError as error:
                    wrong.append(str(error))
                    continue
                except Exception as error:  # what one record does to us must not stop those behind it
                    log.exception("source %s: defect", self._name)
                    self.defects += 1
                    wrong.append(f"defect: {error!r}")
                    continue
                if mapped is None:
                    continue
                row, raised = mapped
                if row.values:
                    rows.append(row)
                events += raised
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            log.warning("source %s: refused: %s%s", self._name, wrong[0], more)
        return Harvest(rows, events, len(wrong))

    def _right(self, records: Iterable[Record], wrong: list[str]) -> Iterator[Record]:
        """The records up to where the payload is wrong."""
        try:
            yield from records
        except PayloadError as error:
            wrong.append(str(error))

    def _map(self, record: Record, now: datetime) -> tuple[Row, list[tuple[str, Event]]] | None:
        serial = self._serial(record)
        if serial is None:
            return None
        time_s = self._time_s(record, now)
        row = Row(serial, time_s, self._values(record))
        return row, self._said.raised(serial, time_s, record)

    def _serial(self, record: Record) -> str | None:
        """The asset; None when it is one that the configuration leaves out."""
        config = self._config
        if config.serial:
            return config.serial
        found = record.find(self._serial_at)
        if not isinstance(found, str | int) or isinstance(found, bool) or found == "":
            raise PayloadError(f"nothing at {self._serial_at} names the asset")
        if config.serials:
            serial = config.serials.get(str(found))
            if serial is None:
                self._leave_out(str(found))
            return serial
        return str(found)

    def _leave_out(self, device_id: str) -> None:
        """Said once for each, as a filter for topics or a list of devices may well bring others along."""
        if device_id not in self._left_out and len(self._left_out) < MOST_LEFT_OUT:
            self._left_out.add(device_id)
            log.info("source %s: the device %r is not in serials, and left out", self._name, device_id[:64])

    def _time_s(self, record: Record, now: datetime) -> float:
        at = self._config.time_at
        if at is None:
            return now.timestamp()
        found = record.find(at)
        if found == self._last_time[0] and found is not None:
            return self._last_time[1]
        try:
            time_s = _seconds(found, self._config.time_format, self._zone)
        except (ValueError, OverflowError, OSError) as error:
            raise PayloadError(f"the time at {at}: {error}") from error
        self._last_time = (found, time_s)
        return time_s

    def _values(self, record: Record) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if not self._config.metrics:
            for name, found in _numbers(record.item):
                if name not in self._others:
                    value = self._number(found)
                    # Without a list of metrics a text is no metric at all.
                    if isinstance(value, float):
                        values[name] = value
            return values
        for name, field in self._config.metrics.items():
            value = self._number(record.find(field.at), field)
            if value is not None:
                values[name] = value
        return values

    def _number(self, found: object, field: MetricField | None = None) -> object:
        """The number that a field says; None when it says nothing; else as it is: the packer refuses and counts it."""
        if field is not None and field.values and (given := field.values.get(text_of(found))) is not None:
            return given
        if found is None:
            return None
        plain: object = found
        if isinstance(found, str):
            plain = found.strip().lower()
            if plain in ABSENT or plain in SWITCHED:
                return SWITCHED.get(plain)
            if self._config.decimal_comma:
                plain = plain.replace(".", "").replace(",", ".")
            if "_" in plain:
                # A number to Python only.
                return found
        try:
            number = float(plain)  # type: ignore[arg-type] # what is no number is met below
        except (TypeError, ValueError, OverflowError):
            return found
        return number * field.scale + field.offset if field is not None else number


class Alarms:
    """The events that fields raise, and what each field said last.

    Args:
        fields: The fields.
    """

    def __init__(self, fields: Sequence[EventField]) -> None:
        self._fields = fields
        self._none = [frozenset(text.lower() for text in field.none) for field in fields]
        self._said: dict[str, str] = {}

    def restore(self, memory: str) -> None:
        """Take back what `memory` said."""
        self._said = {key: text for key, text in (remembered(memory) or {}).items() if isinstance(text, str)}

    def memory(self) -> str | None:
        """What each field said last; None when there are no fields."""
        return json.dumps(self._said) if self._fields else None

    def raised(self, serial: str, time_s: float, record: Record) -> list[tuple[str, Event]]:
        """The events of one record."""
        events: list[tuple[str, Event]] = []
        for index, field in enumerate(self._fields):
            found = record.find(field.at)
            if found is None:
                continue
            text = text_of(found)
            key = f"{field.at} {field.code} {serial}"
            is_news = field.when == "every" or self._said.get(key, "") != text
            if field.when == "changed":
                self._said[key] = text
            if text.lower() in self._none[index] or not is_news:
                continue
            detail: dict[str, Any] = {"value": found} if field.code != "{value}" else {}
            detail |= {name: value for name, at in field.detail.items() if (value := record.find(at)) is not None}
            code = "".join(c for c in field.code.replace("{value}", text) if c.isprintable())[:128]
            code = code or "unprintable"
            events.append((serial, Event(datetime.fromtimestamp(time_s, UTC), code, field.severity, detail)))
        return events


def text_of(found: object) -> str:
    """A value as one would write it: 5 for 5.0, true for True."""
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, float) and found.is_integer():
        return str(int(found))
    return str(found).strip()


def _numbers(item: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """What may be a number, by its name; nested names with dots between."""
    if isinstance(item, Mapping):
        for name, value in item.items():
            yield from _numbers(value, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(item, str | int | float) and prefix:
        yield prefix, item


def _seconds(found: object, form: str, zone: ZoneInfo | None) -> float:
    if found is None:
        raise ValueError("is missing")
    if form in {"unix", "unix_ms"}:
        if isinstance(found, bool) or not isinstance(found, str | int | float):
            raise ValueError(f"{found!r} is no number")
        time_s = float(found) / (1000 if form == "unix_ms" else 1)
        if not 0 <= time_s < YEAR_10000_S:
            raise ValueError(f"{found!r} is no time")
        return time_s
    text = str(found).strip()
    time = datetime.fromisoformat(text) if form == "rfc3339" else datetime.strptime(text, form)  # noqa: DTZ007 - the zone comes next
    if time.tzinfo is None:
        if zone is None:
            raise ValueError(f"{text!r} has no offset; set timezone")
        time = time.replace(tzinfo=zone)
    return time.timestamp()
