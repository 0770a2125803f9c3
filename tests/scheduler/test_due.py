"""Plans that fall due become jobs, exactly once, through the real API."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from careloop.client import CareloopClient
from scheduler.due import DuePlans
from scheduler.instant import Instant

DAY = timedelta(days=1)


@pytest.fixture
def client(api: Any) -> Iterator[CareloopClient]:
    with api.client("service") as client:
        yield client


@pytest.fixture
def due_plans(client: CareloopClient, shop: Any) -> DuePlans:
    return DuePlans(client, shop.connection, DAY)


def run(due_plans: DuePlans, now: datetime) -> int:
    return due_plans.run(Instant(now, simulated=True), lambda: False)


def occurrences(shop: Any) -> list[tuple[int, str, int]]:
    return [(job["plan_id"], job["serial"], job["occurrence"]) for job in shop.jobs()]


def test_a_calendar_plan_falls_due_every_interval_once(due_plans: DuePlans, shop: Any, now: datetime) -> None:
    plan = shop.calendar_plan("monthly", 30)
    shop.asset("A", installed_at=now)
    made = [run(due_plans, now + timedelta(hours=12 * step)) for step in range(130)]
    assert [step / 2 for step, jobs in enumerate(made) if jobs] == [30, 60]
    assert occurrences(shop) == [(plan, "A", 1), (plan, "A", 2)]


def test_an_old_asset_gets_one_job_not_forty(due_plans: DuePlans, shop: Any, now: datetime) -> None:
    plan = shop.calendar_plan("monthly", 30)
    shop.asset("old", installed_at=now - 1210 * DAY)
    shop.asset("new", installed_at=now - 3 * DAY)
    assert run(due_plans, now) == 1
    assert occurrences(shop) == [(plan, "old", 40)]
    assert run(due_plans, now) == 0


def test_a_meter_plan_falls_due_by_what_the_meter_showed_before_now(
    due_plans: DuePlans, shop: Any, now: datetime
) -> None:
    plan = shop.meter_plan("every 250 h", 250)
    shop.asset("A")
    shop.asset("B")
    shop.reads("A", 249, now - DAY)
    shop.reads("A", 251, now)
    shop.reads("B", 800, now - DAY)
    assert run(due_plans, now) == 1
    assert occurrences(shop) == [(plan, "B", 3)]
    assert run(due_plans, now + timedelta(seconds=1)) == 1
    assert occurrences(shop) == [(plan, "B", 3), (plan, "A", 1)]


def test_two_schedulers_make_each_job_once(client: CareloopClient, shop: Any, now: datetime) -> None:
    shop.calendar_plan("monthly", 30)
    for number in range(5):
        shop.asset(f"A{number}", installed_at=now - 31 * DAY)
    one, two = (DuePlans(client, shop.connection, DAY) for _ in range(2))
    assert run(one, now) == 5
    assert run(two, now) == 0
    assert run(two, now + 30 * DAY) == 5
    assert run(one, now + 30 * DAY) == 0
    assert len(shop.jobs()) == 10


def test_a_new_plan_is_seen_at_once_and_a_new_asset_the_day_after(
    due_plans: DuePlans, shop: Any, now: datetime
) -> None:
    shop.asset("A", installed_at=now - 31 * DAY)
    assert run(due_plans, now) == 0
    plan = shop.calendar_plan("monthly", 30)
    assert run(due_plans, now) == 1
    shop.asset("B", installed_at=now - 31 * DAY)
    run(due_plans, now + DAY)
    assert occurrences(shop) == [(plan, "A", 1), (plan, "B", 1)]


def test_a_plan_that_can_not_fall_due_says_why_until_it_can(
    client: CareloopClient, due_plans: DuePlans, shop: Any, now: datetime
) -> None:
    by_meter = shop.meter_plan("every 250 h", 250)
    by_calendar = shop.calendar_plan("monthly", 30)
    run(due_plans, now)
    assert shop.obstacles() == {
        by_meter: "no asset at all has reported the metric 'running_hours'",
        by_calendar: "no active asset of the model 'washer'",
    }
    shop.asset("A")
    run(due_plans, now + DAY)
    assert shop.obstacles() == {by_meter: "no asset at all has reported the metric 'running_hours'"}
    shop.reads("A", 1, now)
    # Another process takes over: it must clear what its predecessor noted.
    run(DuePlans(client, shop.connection, DAY), now + DAY)
    assert shop.obstacles() == {}


def test_it_stops_between_jobs_when_told_to(due_plans: DuePlans, shop: Any, now: datetime) -> None:
    shop.calendar_plan("monthly", 30)
    for number in range(5):
        shop.asset(f"A{number}", installed_at=now - 31 * DAY)
    answers = iter([False, False, True])
    assert due_plans.run(Instant(now, simulated=True), lambda: next(answers)) == 2
    assert run(due_plans, now) == 3
