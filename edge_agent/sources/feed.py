"""Readings given from outside: the step protocol's `readings` and `events`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from careloop.contract.messages import Event, MessageError
from edge_agent.sources.source import Clock, Harvest, Row, Source, SourceConfig


class FeedConfig(SourceConfig):
    """`kind = "feed"`: only under `careloop edge run --step`."""

    kind: Literal["feed"]
    units: Mapping[str, str] = Field(default_factory=dict, description="unit by metric")

    def stated_units(self) -> Mapping[str | None, Mapping[str, str]]:
        """Of all assets."""
        return {None: self.units}


class Feed(Source):
    """Holds what a step's request carried until the agent polls it."""

    def __init__(self, config: FeedConfig) -> None:
        self.name = config.name or config.kind
        self.interval_s = config.interval_s
        self._units = config.units
        self._offered = Harvest()

    def offer(self, readings: Sequence[Any], events: Sequence[Any]) -> None:
        """Take the request's lists; nothing is taken when one item is malformed.

        Args:
            readings: `[serial, RFC 3339 time, {metric: value, …}]` each.
            events: `[serial, RFC 3339 time, code, severity, {detail}]` each; severity and detail may be left out.

        Raises:
            ValueError: An item has another shape; the text says which.
        """
        self._offered = Harvest(_rows(readings), [_event(index, item) for index, item in enumerate(events)])

    def units_of(self, serial: str) -> Mapping[str, str]:  # noqa: ARG002 - all assets of a feed share its units
        """The configured units."""
        return self._units

    def poll(self, now: datetime) -> Harvest:  # noqa: ARG002 - what was offered is what there is
        """What was offered, once."""
        offered, self._offered = self._offered, Harvest()
        return offered


def feed_source(config: FeedConfig, clock: Clock) -> Source:  # noqa: ARG001 - steps tell the time
    """A feed."""
    return Feed(config)


def _rows(readings: Sequence[Any]) -> list[Row]:
    rows: list[Row] = []
    # A day's batch repeats few times over many assets, so parsing each text once halves the cost of a row.
    seconds: dict[str, float] = {}
    for index, item in enumerate(readings):
        try:
            serial, time, values = item
            time_s = seconds.get(time)
            if time_s is None:
                time_s = seconds[time] = _seconds(time)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"readings[{index}] must be [serial, RFC 3339 time, {{metric: value}}]: {error}"
            ) from error
        if not isinstance(serial, str) or not isinstance(values, dict):
            raise ValueError(f"readings[{index}] must be [serial, RFC 3339 time, {{metric: value}}]")  # noqa: TRY004 - one error for the caller
        rows.append(Row(serial, time_s, values))
    return rows


def _seconds(text: str) -> float:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"time {text!r} has no offset; write it like 2015-07-01T03:00:00Z")
    return time.astimezone(UTC).timestamp()


def _event(index: int, item: Any) -> tuple[str, Event]:
    if not isinstance(item, list | tuple) or not 3 <= len(item) <= 5 or not isinstance(item[0], str):
        raise ValueError(f"events[{index}] must be [serial, RFC 3339 time, code, severity, {{detail}}]")
    names = ("time", "code", "severity", "detail")
    try:
        return item[0], Event.from_json(dict(zip(names, item[1:], strict=False)))
    except MessageError as error:
        raise ValueError(f"events[{index}]: {error}") from error
