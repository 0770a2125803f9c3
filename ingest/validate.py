"""Which readings and events of a message can be stored, and why not the others; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import NamedTuple

from careloop.contract.messages import Event
from careloop.contract.senml import BadRecord, Reading
from ingest.units import Conversion, conversion

OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
# Details name this many culprits; the payload, which is kept, has them all.
NAMED_IN_DETAIL = 5
LONGEST_UNIT = 64
# In one message. To find out what a unit is takes a tenth of a millisecond, and a megabyte could hold 100,000 of them.
MOST_UNITS = 200


class Metric(NamedTuple):
    """A metric of the dictionary: its number and its canonical unit."""

    metric_id: int
    unit: str


# A reading that can be stored: microseconds since 1970, number of the metric, value in its canonical unit. A bare
# tuple, because there are hundreds of thousands a second.
Row = tuple[int, int, float]


class Problem(NamedTuple):
    """A reason, stable, and its detail in words: at most one of each reason in a message."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Span:
    """Times that are accepted: from `oldest` to `newest`, both included; and the same in Unix seconds."""

    oldest: datetime
    newest: datetime
    oldest_s: float = field(init=False)
    newest_s: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "oldest_s", self.oldest.timestamp())
        object.__setattr__(self, "newest_s", self.newest.timestamp())


def span_as_of(now: datetime, *, future: timedelta, keep: timedelta | None) -> Span:
    """Times accepted as of `now`.

    Args:
        now: The present.
        future: How far ahead of us a machine's clock may be.
        keep: How long readings are kept, or None for ever: an older one would undo a rollup that outlived its readings.
    """
    return Span(OLDEST if keep is None else max(OLDEST, now - keep), now + future)


def validate_readings(
    readings: Iterable[Reading], metrics: Mapping[str, Metric], span: Span
) -> tuple[list[Row], list[Problem]]:
    """Sort readings into rows and problems.

    Args:
        readings: Of one message.
        metrics: The dictionary, by name; a metric that is missing was one too many to learn.
        span: Times that are accepted.
    """
    rows: list[Row] = []
    faults: dict[str, list[str]] = {}
    codes: dict[tuple[str, str], tuple[int, Conversion] | str] = {}
    units: set[str] = set()
    oldest_s, newest_s = span.oldest_s, span.newest_s
    for time_s, name, value, unit in readings:
        if oldest_s <= time_s <= newest_s and isfinite(value):
            code = codes.get((name, unit))
            if code is None:
                units.add(unit)
                few = len(units) <= MOST_UNITS
                code = codes[name, unit] = _code(metrics.get(name), unit) if few else "wrong_unit"
            if not isinstance(code, str):
                metric_id, (scale, offset) = code
                converted = value if scale == 1.0 and offset == 0.0 else value * scale + offset
                if isfinite(converted):
                    rows.append((round(time_s * 1e6), metric_id, converted))
                    continue
                code = "not_finite"
            fault = code
        else:
            fault = _fault_of_time(time_s, oldest_s, newest_s) or "not_finite"
        faults.setdefault(fault, []).append(_told(fault, Reading(time_s, name, value, unit), metrics))
    return rows, [Problem(reason, _detail(told)) for reason, told in sorted(faults.items())]


def validate_events(events: Iterable[Event], span: Span) -> tuple[list[Event], list[Problem]]:
    """Sort events into those that can be stored and problems."""
    good: list[Event] = []
    faults: dict[str, list[str]] = {}
    for event in events:
        if event.time < span.oldest:
            faults.setdefault("too_old", []).append(f"{event.code} at {event.time.isoformat()}")
        elif event.time > span.newest:
            faults.setdefault("in_future", []).append(f"{event.code} at {event.time.isoformat()}")
        else:
            good.append(event)
    return good, [Problem(reason, _detail(told)) for reason, told in sorted(faults.items())]


def bad_records(bad: list[BadRecord]) -> list[Problem]:
    """The problem of a message some of whose records could not be read."""
    return [Problem("bad_record", _detail([f"record {index}: {reason}" for index, reason in bad]))] if bad else []


def is_unit(text: str) -> bool:
    """Whether a text can be kept as a unit: at most 64 printable characters, or none."""
    return len(text) <= LONGEST_UNIT and text.isprintable()


def _code(metric: Metric | None, unit: str) -> tuple[int, Conversion] | str:
    if not is_unit(unit):
        return "wrong_unit"
    if metric is None:
        return "too_many_metrics"
    how = conversion(unit, metric.unit)
    return "wrong_unit" if how is None else (metric.metric_id, how)


def _fault_of_time(time_s: float, oldest_s: float, newest_s: float) -> str | None:
    if time_s != time_s:  # noqa: PLR0124 - true of NaN alone, and quicker than a call
        return "not_finite"
    if time_s < oldest_s:
        return "too_old"
    return "in_future" if time_s > newest_s else None


def _told(fault: str, reading: Reading, metrics: Mapping[str, Metric]) -> str:
    time_s, name, value, unit = reading
    if fault == "wrong_unit":
        metric = metrics.get(name)
        into = f"convert to {metric.unit!r}" if is_unit(unit) and metric else "fit: at most 64 printable characters"
        return f"{name} in {unit[:LONGEST_UNIT]!r} does not {into}"
    if fault == "not_finite":
        return f"{name} is {value} at {time_s}"
    if fault == "too_many_metrics":
        return f"{name} is not in the dictionary, and no more metrics are learned"
    try:
        return f"{name} at {datetime.fromtimestamp(time_s, UTC).isoformat()}"
    except (OverflowError, OSError, ValueError):
        return f"{name} at {time_s} s since 1970"


def _detail(told: list[str]) -> str:
    more = f"; and {len(told) - NAMED_IN_DETAIL} more" if len(told) > NAMED_IN_DETAIL else ""
    return "; ".join(told[:NAMED_IN_DETAIL]) + more
