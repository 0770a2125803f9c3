"""What meters show, as of a time."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduler.meters import Meters

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def meters(shop: Any) -> Meters:
    return Meters(shop.connection)


def test_the_latest_reading_strictly_before_now_counts(shop: Any, meters: Meters, now: datetime) -> None:
    shop.asset("A")
    shop.asset("B")
    shop.reads("A", 10, now - 5 * HOUR)
    shop.reads("A", 12, now - HOUR)
    shop.reads("A", 13, now)
    shop.reads("B", 7, now - 30 * HOUR)
    shop.reads("B", 99, now - HOUR, metric="other")
    assert meters.latest("washer", "running_hours", now) == {"A": 12, "B": 7}
    assert meters.latest("washer", "running_hours", now + timedelta(microseconds=1)) == {"A": 13, "B": 7}
    assert meters.latest("other", "running_hours", now) == {}


def test_a_silent_machine_keeps_its_meter(shop: Any, meters: Meters, now: datetime) -> None:
    shop.asset("A")
    shop.asset("never")
    shop.reads("A", 40, now - 200 * DAY)
    assert meters.latest("washer", "running_hours", now) == {"A": 40}
    assert meters.latest("washer", "running_hours", now + HOUR) == {"A": 40}


def test_readings_that_arrive_late_from_a_silent_machine_are_seen_within_a_day(
    shop: Any, meters: Meters, now: datetime
) -> None:
    shop.asset("A")
    shop.reads("A", 40, now - 200 * DAY)
    assert meters.latest("washer", "running_hours", now) == {"A": 40}
    shop.reads("A", 50, now - 3 * DAY)
    assert meters.latest("washer", "running_hours", now + DAY) == {"A": 50}


def test_time_may_go_back(shop: Any, meters: Meters, now: datetime) -> None:
    shop.asset("A")
    shop.reads("A", 40, now - 200 * DAY)
    shop.reads("A", 50, now - 100 * DAY)
    assert meters.latest("washer", "running_hours", now) == {"A": 50}
    assert meters.latest("washer", "running_hours", now - 150 * DAY) == {"A": 40}


def test_retired_assets_have_no_meter(shop: Any, meters: Meters, now: datetime) -> None:
    shop.asset("A")
    shop.reads("A", 40, now - HOUR)
    shop.connection.execute("UPDATE service.asset SET state = 'retired'")
    assert meters.latest("washer", "running_hours", now) == {}


def test_a_metric_nobody_reported_is_told_apart(shop: Any, meters: Meters, now: datetime) -> None:
    shop.asset("A")
    assert not meters.reported("running_hours")
    shop.reads("A", 1, now)
    assert meters.reported("running_hours")
    assert meters.latest("washer", "running_hours", now) == {}
