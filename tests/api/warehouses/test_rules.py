"""When something arrives, by the lane and both houses' hours; and what it costs."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.sla.hours import ALWAYS_OPEN, Calendar
from api.warehouses.rules import (
    UNENTERED_CLASSES,
    Lane,
    arrives_at,
    close_of_day,
    freight_minor,
    next_open,
    unentered_lane,
    weight_freight_minor,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAY = ((8 * 60, 18 * 60),)
# Monday to Friday, 8 to 18; 1 to 7 October 2026 is closed, 10 October (a Saturday) is worked in exchange.
GOLDEN_WEEK = {date(2026, 10, day): () for day in range(1, 8)} | {date(2026, 10, 10): DAY}
HOUSE = Calendar(SHANGHAI, (*(DAY,) * 5, (), ()), GOLDEN_WEEK)


def lane(hours: int = 24, **more) -> Lane:
    fields = {"freight_base_minor": 1500, "freight_kg_minor": 333, "currency": "CNY", **more}
    return Lane(1, 2, hours, shipping_classes=frozenset({"normal"}), **fields)


def local(day: int, hour: int, month: int = 9, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=SHANGHAI).astimezone(UTC)


@pytest.mark.parametrize(
    ("sent", "hours", "there"),
    [
        (local(21, 9), 24, local(22, 9)),
        # At night it waits at the door.
        (local(21, 9), 12, local(22, 8)),
        # Friday evening: Monday morning.
        (local(25, 17), 24, local(28, 8)),
        # Over the Golden Week; the 8th is a Thursday.
        (local(30, 17), 24, local(8, 8, month=10)),
        # The Saturday that is worked in exchange.
        (local(9, 17, month=10), 16, local(10, 9, month=10)),
        # Closing time is closed.
        (local(21, 18), 0, local(22, 8)),
        (local(21, 17, minute=59), 0, local(21, 17, minute=59)),
    ],
)
def test_it_arrives_when_the_house_opens(sent, hours, there) -> None:
    assert arrives_at(lane(hours), HOUSE, sent) == there


def test_it_leaves_when_its_own_house_is_open() -> None:
    # Sent on Saturday, it leaves on Monday at 8.
    assert arrives_at(lane(10), ALWAYS_OPEN, local(26, 12), departs=HOUSE) == local(28, 18)
    assert arrives_at(lane(10), HOUSE, local(26, 12), departs=HOUSE) == local(29, 8)


def test_a_house_that_never_opens_holds_nothing_up_and_time_ends() -> None:
    never = Calendar(UTC, ((),) * 7)
    now = datetime(2026, 9, 21, tzinfo=UTC)
    assert arrives_at(lane(5), never, now) == now + timedelta(hours=5)
    assert close_of_day(never, date(2026, 9, 21)) == datetime(2026, 9, 22, tzinfo=UTC)
    last = datetime(9999, 12, 31, 23, tzinfo=UTC)
    assert arrives_at(lane(48), HOUSE, last) == last
    assert close_of_day(HOUSE, date(9999, 12, 30)) > datetime(9999, 1, 1, tzinfo=UTC)


def test_a_days_goods_are_in_at_closing_time() -> None:
    assert close_of_day(HOUSE, date(2026, 9, 21)) == local(21, 18)
    # A Saturday: on Monday evening. In the Golden Week: after it.
    assert close_of_day(HOUSE, date(2026, 9, 26)) == local(28, 18)
    assert close_of_day(HOUSE, date(2026, 10, 2)) == local(8, 18, month=10)
    two_shifts = Calendar(UTC, (((480, 720), (780, 1020)),) * 7)
    assert close_of_day(two_shifts, date(2026, 9, 21)) == datetime(2026, 9, 21, 17, tzinfo=UTC)
    assert close_of_day(ALWAYS_OPEN, date(2026, 9, 21)) == datetime(2026, 9, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("grams", "minor"), [(0, 0), (1000, 333), (1501, 500), (1502, 500), (1, 0), (2, 1), (1500, 500)]
)
def test_weight_counts_to_the_gram_half_up(grams, minor) -> None:
    assert weight_freight_minor(lane(), grams) == minor
    assert freight_minor(lane(), grams) == 1500 + minor


def test_a_way_that_nobody_entered_takes_nothing_dangerous() -> None:
    way = unentered_lane(1, 2, 3)
    assert (way.transit_hours, way.freight_base_minor, way.entered) == (72, 0, False)
    assert way.takes("normal")
    assert not way.takes("battery")
    assert way.shipping_classes == UNENTERED_CLASSES


@given(st.integers(0, 700 * 1440), st.integers(0, 500), st.integers(0, 500))
def test_later_or_slower_is_never_sooner(minute, hours, more) -> None:
    sent = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    there = arrives_at(lane(hours), HOUSE, sent, departs=HOUSE)
    assert there >= sent + timedelta(hours=hours)
    assert next_open(HOUSE, there) == there
    assert arrives_at(lane(hours + more), HOUSE, sent, departs=HOUSE) >= there
    assert arrives_at(lane(hours), HOUSE, sent + timedelta(minutes=more), departs=HOUSE) >= there
