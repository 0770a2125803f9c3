"""When a maintenance plan falls due: pure rules.

An occurrence is the how-manieth falling due of a plan on one asset: 1, 2, 3 … It is derived from the asset alone, so
any scheduler, at any time, comes to the same number, and the API's unique (plan, asset, occurrence) makes it one job.

Calendar: occurrence k falls due k intervals after the asset's `installed_at`. The installation, and not the plan's
creation, is the anchor because the machine's age is what wears it: assets bought over the years stay spread over the
year instead of all falling due on one day. An asset older than several intervals gets one job, for the latest
occurrence: nobody can show that it was ever serviced, and serving it four times in a row would not help.

Meter: the occurrence is how often the meter has passed the plan's interval.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

# 0.3 / 0.1 is 2.999…96 in binary; a meter that stands exactly on a multiple has passed it.
ROUNDING = 1e-12
# Largest occurrence the database column holds.
MOST = 2**31 - 1


@dataclass(frozen=True)
class CalendarTrigger:
    """Due every so many days after installation."""

    every: timedelta


@dataclass(frozen=True)
class MeterTrigger:
    """Due every so many units of a metric that only grows, e.g. `running_hours`."""

    metric: str
    every: float


Trigger = CalendarTrigger | MeterTrigger


def parse_trigger(trigger: Mapping[str, Any]) -> Trigger:
    """The trigger of a plan as the API gives it.

    Args:
        trigger: `{"kind": "calendar", "every_days": n}` or `{"kind": "meter", "metric": name, "every": n}`.

    Raises:
        ValueError: A field is missing or impossible; the text names it.
    """
    kind = trigger.get("kind")
    if kind == "calendar":
        days = _positive(trigger, "every_days")
        try:
            return CalendarTrigger(timedelta(days=days))
        except OverflowError as error:
            raise ValueError(f"trigger.every_days is {days}; it must be less than a billion") from error
    if kind == "meter":
        metric = trigger.get("metric")
        if not isinstance(metric, str) or not metric:
            raise ValueError("trigger.metric is missing; it must name a metric, e.g. running_hours")
        return MeterTrigger(metric, _positive(trigger, "every"))
    raise ValueError(f"trigger.kind is {kind!r}; it must be calendar or meter")


def _positive(trigger: Mapping[str, Any], field: str) -> float:
    value = trigger.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"trigger.{field} is {value!r}; it must be a number above 0")
    return value


def calendar_occurrence(trigger: CalendarTrigger, installed_at: datetime, now: datetime) -> int:
    """The latest occurrence that has fallen due by `now`; 0 when none has."""
    return min(max((now - installed_at) // trigger.every, 0), MOST)


def calendar_due_at(trigger: CalendarTrigger, installed_at: datetime, occurrence: int) -> datetime:
    """When an occurrence falls due."""
    return installed_at + occurrence * trigger.every


def meter_occurrence(trigger: MeterTrigger, meter: float) -> int:
    """The latest occurrence that a meter has passed; 0 when none, or when the meter shows nothing sensible."""
    if not math.isfinite(meter) or meter < trigger.every * (1 - ROUNDING):
        return 0
    return math.floor(min(meter / trigger.every * (1 + ROUNDING), MOST))


def newly_due(reached: int, latest_with_job: int) -> int | None:
    """The occurrence to make a job for, or None.

    Occurrences missed in between coalesce: only the latest gets a job. A meter that was exchanged for a new one shows
    less than before; nothing is due until it passes the old count.

    Args:
        reached: The latest occurrence that has fallen due, 0 for none.
        latest_with_job: The latest occurrence that already has a job, 0 for none.
    """
    return reached if reached > latest_with_job else None
