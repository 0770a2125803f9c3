"""How a `[[sources]]` table says what of a payload is what; the same words for every kind that reads text or JSON.

Where a field is said (`at`):

- `name`: a column (CSV), a named group (regex), a key (JSON);
- `/energy/power`: a JSON pointer (RFC 6901) from the record; `$/time` from the whole document;
- `@serial`: part of the topic or path that the record came from; `@key`: the record's own key in `each`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from careloop.contract.messages import Severity
from careloop.contract.topics import SERIAL
from edge_agent.sources.source import SourceConfig

Serial = Annotated[str, Field(pattern=f"^{SERIAL.pattern}$", description="1-64 letters, digits, dots, hyphens or _")]
MetricName = Annotated[str, Field(min_length=1, max_length=128)]
At = Annotated[str, Field(min_length=1, max_length=256, description="name, /json/pointer, $/pointer or @part")]


class Part(BaseModel):
    """A table inside `[[sources]]`."""

    # Deferred: only the whole file's validator is ever built, which saves half a megabyte on the device.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class MetricField(Part):
    """One metric: where its value stands, and how it becomes the metric's unit: `value * scale + offset`."""

    at: At
    unit: str = Field("", max_length=32, description="unit after scale and offset, e.g. bar or Cel")
    scale: float = 1.0
    offset: float = 0.0
    values: Mapping[str, float] = Field(default_factory=dict, description="number by text, e.g. open = 1")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, given: object) -> object:
        return {"at": given} if isinstance(given, str) else given

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A text alone stands for its `at`."""
        table = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [{"type": "string", "minLength": 1, "description": "only `at`"}, table]}


class EventField(Part):
    """One field that raises events."""

    at: At
    code: str = Field("{value}", min_length=1, max_length=128, description="{value} stands for what the field says")
    severity: Severity = "warning"
    none: Sequence[str] = Field(
        ("", "0", "false", "none", "null", "ok"), description="what the field says when nothing is wrong; any case"
    )
    when: Literal["changed", "every"] = Field("changed", description="an event when it changes, or for every record")
    detail: Mapping[str, At] = Field(default_factory=dict, description="what else the event tells: field by name")


class AssetMapping(SourceConfig):
    """Which asset a reading belongs to."""

    serial: Serial | None = Field(None, description="the asset, when there is only one")
    serials: Mapping[str, Serial] = Field(
        default_factory=dict, description="serial number by the id that the device goes by here"
    )


class PayloadConfig(AssetMapping):
    """What of a record is what."""

    serial_at: At | None = Field(None, description="the field that names the asset")
    time_at: At | None = Field(None, description="the field that holds the time; the time of reading when left out")
    time_format: str = Field("rfc3339", description="rfc3339, unix, unix_ms, or like %d.%m.%Y %H:%M:%S")
    timezone: str | None = Field(None, description="of times without an offset, e.g. Europe/Berlin or UTC")
    metrics: Mapping[MetricName, MetricField] = Field(
        default_factory=dict, description="field by metric; every number under its own name when left out"
    )
    events: Sequence[EventField] = ()
    each: str | None = Field(None, description="JSON: pointer to the list or object of the records; empty: the whole")
    decimal_comma: bool = Field(False, description="numbers in text are written like 23,4")

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError) as error:
                raise ValueError(f"there is no time zone {name!r} here; write it like Europe/Berlin or UTC") from error
        return name

    @field_validator("time_format")
    @classmethod
    def _is_time_format(cls, text: str) -> str:
        if text not in {"rfc3339", "unix", "unix_ms"} and "%" not in text:
            raise ValueError("must be rfc3339, unix, unix_ms, or like %d.%m.%Y %H:%M:%S")
        return text

    @field_validator("each")
    @classmethod
    def _is_pointer(cls, text: str | None) -> str | None:
        if text and not text.startswith("/"):
            raise ValueError("must be a JSON pointer like /devices, or empty for the whole document")
        return text

    @model_validator(mode="after")
    def _names_the_asset_once(self) -> Self:
        named = self.names_the_asset()
        if len(named) == 2:
            raise ValueError(f"{named[0]} and {named[1]} both name the asset; leave one out")
        if not named:
            raise ValueError("which asset is it? set serial, or serial_at to the field that names it")
        return self

    def stated_units(self) -> Mapping[str | None, Mapping[str, str]]:
        """Of the assets it names, or else of all."""
        units = {name: field.unit for name, field in self.metrics.items() if field.unit}
        named: list[str | None] = [self.serial] if self.serial else list(self.serials.values())
        return dict.fromkeys(named or [None], units)

    def names_the_asset(self) -> list[str]:
        """The fields that say which asset a record belongs to; exactly one is right."""
        return [name for name in ("serial", "serial_at") if getattr(self, name) is not None]


class LinesConfig(PayloadConfig):
    """A payload of text: its format."""

    format: Literal["json", "csv", "regex"] = Field("json", description="of each line")
    pattern: str | None = Field(None, description="regex: its named groups are the fields, (?P<name>…)")
    columns: Sequence[str] = Field((), description="csv: the names of the columns, in order")
    delimiter: str = Field(",", min_length=1, max_length=1, description="csv: what stands between columns")

    @field_validator("pattern")
    @classmethod
    def _is_pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                groups = re.compile(pattern).groupindex
            except re.error as error:
                raise ValueError(f"is no regular expression: {error}") from error
            if not groups:
                raise ValueError("has no named group; write a field as (?P<name>…)")
        return pattern

    @model_validator(mode="after")
    def _format_is_complete(self) -> Self:
        if (self.format == "regex") != (self.pattern is not None):
            raise ValueError('pattern and format = "regex" go together')
        names = self._names()
        if names is not None:
            for at in self.fields():
                if not at.startswith("@") and at not in names:
                    raise ValueError(f"{at!r} is none of {', '.join(names)}")
        return self

    def _names(self) -> Sequence[str] | None:
        """The fields that a record can have; None when only the lines tell."""
        if self.format == "regex":
            return list(re.compile(self.pattern or "").groupindex)
        return self.columns or None if self.format == "csv" else None

    def fields(self) -> list[str]:
        """Every field that is asked for."""
        fields = [at for at in (self.serial_at, self.time_at) if at is not None]
        fields += [metric.at for metric in self.metrics.values()]
        for event in self.events:
            fields += [event.at, *event.detail.values()]
        return fields


def parts_of(template: str) -> list[str]:
    """The names in braces: `tele/{serial}/SENSOR` has `serial`.

    Raises:
        ValueError: A name is none, or stands twice.
    """
    names = re.findall(r"\{([^}]*)\}", template)
    for name in names:
        if not re.fullmatch(r"[a-z_]+", name):
            raise ValueError(f"{{{name}}} must be small letters, like {{serial}}")
    if len(set(names)) != len(names):
        raise ValueError("the same name in braces stands twice")
    return names
