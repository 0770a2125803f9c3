"""How a chart's time is divided."""

from datetime import UTC, datetime, timedelta

import pytest

from api.telemetry.rules import Span, divide, event_cursors, finest_resolution, parse_event_cursor, whole

NOW = datetime(2026, 6, 30, 12, 34, 56, 789, tzinfo=UTC)
DAY = timedelta(days=1)


def back(span: timedelta) -> Span:
    return Span(NOW - span, NOW)


@pytest.mark.parametrize(
    ("span", "points", "resolution", "width"),
    [
        (7 * DAY, 500, "raw", timedelta(seconds=1209.6)),
        (20 * DAY, 500, "raw", timedelta(seconds=3456)),
        (21 * DAY, 500, "hourly", timedelta(hours=2)),
        (500 * DAY, 500, "daily", DAY),
        (3650 * DAY, 500, "daily", 8 * DAY),
        (timedelta(microseconds=3), 500, "raw", timedelta(microseconds=1)),
    ],
)
def test_the_width_of_a_point_chooses_what_it_is_drawn_from(span, points, resolution, width) -> None:
    assert finest_resolution(back(span), points) == resolution
    buckets = divide(back(span), points, resolution)
    assert buckets.width == width
    assert buckets.origin <= NOW - span
    assert -((buckets.origin - NOW) // buckets.width) <= points + 1


def test_only_whole_hours_are_compared() -> None:
    assert whole(back(timedelta(minutes=50)), "hourly") is None
    assert whole(back(timedelta(hours=2)), "hourly") == Span(
        datetime(2026, 6, 30, 11, tzinfo=UTC), datetime(2026, 6, 30, 12, tzinfo=UTC)
    )


def test_events_of_one_instant_are_counted_on_from_page_to_page() -> None:
    later, earlier = NOW, NOW - DAY
    marks = [parse_event_cursor(cursor) for cursor in event_cursors([later, later, earlier], (later, 3))]
    assert marks == [(later, 4), (later, 5), (earlier, 1)]


@pytest.mark.parametrize(
    "text", ["", "x|1", "2026-06-30T00:00:00|1", "2026-06-30T00:00:00Z", "2026-06-30T00:00:00Z|-1"]
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_event_cursor(text)
