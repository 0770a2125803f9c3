"""Which readings a chart is drawn from, and how wide its buckets are; pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

Resolution = Literal["raw", "hourly", "daily"]

RESOLUTIONS: tuple[Resolution, ...] = ("raw", "hourly", "daily")
GRAINS: dict[Resolution, timedelta] = {
    "raw": timedelta(microseconds=1),
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
}
# Of so many readings a chart is drawn from the hourly rollup, with fewer points than were asked for, but at once.
MOST_RAW_READINGS = 300_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Span:
    """Time from an instant on, to before another."""

    from_time: datetime
    to_time: datetime


@dataclass(frozen=True)
class Buckets:
    """How a chart's time is divided.

    Attributes:
        resolution: What it is drawn from.
        width: Of each bucket; whole hours or days unless the resolution is raw.
        origin: Start of the first.
    """

    resolution: Resolution
    width: timedelta
    origin: datetime


def finest_resolution(span: Span, points: int) -> Resolution:
    """The coarsest one that still gives a point its own bucket."""
    width = (span.to_time - span.from_time) / points
    return next(
        resolution for resolution in reversed(RESOLUTIONS) if width >= GRAINS[resolution] or resolution == "raw"
    )


def divide(span: Span, points: int, resolution: Resolution) -> Buckets:
    """At most `points` buckets, and one more where the first begins before it, that hold a span."""
    grain = GRAINS[resolution]
    # Rounded up both times, by floor division of the negative.
    exact = -((span.from_time - span.to_time) // points)
    return Buckets(resolution, -(-exact // grain) * grain, floor_to(span.from_time, grain))


def floor_to(time: datetime, grain: timedelta) -> datetime:
    """The grain's last start, in UTC, that is not after a time."""
    return time - (time - _EPOCH) % grain


def whole(span: Span, resolution: Resolution) -> Span | None:
    """The part of a span that consists of whole grains, if there is any."""
    grain = GRAINS[resolution]
    first, last = span.from_time + (_EPOCH - span.from_time) % grain, floor_to(span.to_time, grain)
    return Span(first, last) if first < last else None


def event_cursors(times: Iterable[datetime], after: tuple[datetime, int]) -> Iterator[str]:
    """Where a page would end after each of its events: after how many of which instant.

    Args:
        times: Of the events, newest first.
        after: Where the page before ended.
    """
    instant, shown = after
    for time in times:
        shown = shown + 1 if time == instant else 1
        instant = time
        yield f"{instant.astimezone(UTC).isoformat()}|{shown}"


def parse_event_cursor(cursor: str) -> tuple[datetime, int]:
    """The instant and how many events of it were shown.

    Raises:
        ValueError: It is no cursor of events.
    """
    text, separator, skip = cursor.partition("|")
    time = datetime.fromisoformat(text)
    if not separator or time.tzinfo is None or not skip.isdecimal() or len(skip) > 9:
        raise ValueError("is no cursor of events")
    return time, int(skip)
