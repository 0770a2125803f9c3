"""Every open job ends up at somebody's door, or says why not; through the real API."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, ClassVar

import pytest

from careloop.client import CareloopClient, Ticket
from scheduler.assignment import WorkingRules
from scheduler.dispatch import Dispatching, Tally
from scheduler.due import DuePlans
from scheduler.instant import Instant

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def client(api: Any) -> Iterator[CareloopClient]:
    with api.client("service") as client:
        yield client


@pytest.fixture
def dispatching(client: CareloopClient) -> Dispatching:
    return Dispatching(client, WorkingRules(), timedelta(minutes=1))


def run(dispatching: Dispatching, now: datetime) -> Tally:
    return dispatching.run(Instant(now, simulated=True), lambda: False)


def open_ticket(client: CareloopClient, serial: str, now: datetime, **changed: object) -> Ticket:
    ticket = {
        "kind": "preventive",
        "serial": serial,
        "component": "pump",
        "cause": "component:pump",
        "title": "pump will fail",
        "description": "",
        "priority": "high",
        "due_by": (now + DAY).isoformat(),
        "evidence": {},
    }
    return client.open_ticket(ticket | changed, now=now)


def accounted(shop: Any) -> None:
    """Every job is dispatched, waiting for something named, or ended."""
    for job in shop.jobs():
        assert job["state"] in {"dispatched", "waiting", "in_progress", "completed", "cancelled"}, job
        assert (job["state"] == "waiting") == bool(job["waiting_reason"])


def test_a_preventive_ticket_gets_part_technician_and_appointment_before_it_is_due(
    client: CareloopClient, dispatching: Dispatching, shop: Any, now: datetime
) -> None:
    shop.part("P1", 5)
    shop.component("pump", "P1", minutes=90)
    shop.asset("A")
    technician = shop.technician("Ada")
    ticket = open_ticket(client, "A", now)
    assert run(dispatching, now) == Tally(jobs_created=1, parts_reserved=1, jobs_dispatched=1, jobs_waiting=0)
    [job] = shop.jobs()
    [visit] = shop.visits()
    assert (job["ticket_id"], job["state"]) == (ticket["ticket_id"], "dispatched")
    assert visit["technician_id"] == technician
    assert (visit["starts_at"], visit["ends_at"]) == (now + 2 * HOUR, now + 3.5 * HOUR)
    assert visit["ends_at"] < datetime.fromisoformat(ticket["due_by"] or "")
    reserved = shop.connection.execute("SELECT reserved FROM service.stock").fetchone()
    assert reserved["reserved"] == 1
    assert run(dispatching, now + HOUR) == Tally()


def test_without_stock_a_job_waits_for_the_part_and_goes_when_it_comes(
    client: CareloopClient, dispatching: Dispatching, shop: Any, now: datetime
) -> None:
    shop.part("P1", 0)
    shop.component("pump", "P1")
    shop.technician("Ada")
    for serial in ("A", "B"):
        shop.asset(serial)
        open_ticket(client, serial, now)
    assert run(dispatching, now) == Tally(jobs_created=2, jobs_waiting=2)
    reasons = {job["waiting_reason"] for job in shop.jobs()}
    assert len(reasons) == 1
    assert "P1" in reasons.pop()
    assert run(dispatching, now + HOUR) == Tally(jobs_waiting=2)
    shop.stock("P1", 1)
    assert run(dispatching, now + 2 * HOUR) == Tally(parts_reserved=1, jobs_dispatched=1, jobs_waiting=1)
    assert [job["state"] for job in shop.jobs()] == ["dispatched", "waiting"]
    accounted(shop)


def test_a_job_nobody_is_skilled_for_waits_with_the_skill_named_until_somebody_comes(
    client: CareloopClient, dispatching: Dispatching, shop: Any, now: datetime
) -> None:
    shop.component("pump", None, skill="gas")
    shop.asset("A")
    open_ticket(client, "A", now)
    assert run(dispatching, now).jobs_waiting == 1
    assert shop.jobs()[0]["waiting_reason"] == "no active technician is registered"
    shop.technician("Ada")
    assert run(dispatching, now).jobs_waiting == 1
    assert shop.jobs()[0]["waiting_reason"] == "no active technician has the skill 'gas'"
    shop.technician("Bob", skills=["gas"], territories=["south"])
    assert run(dispatching, now).jobs_waiting == 1
    assert "serves the territory 'north' (but: south)" in shop.jobs()[0]["waiting_reason"]
    shop.technician("Cem", skills=["gas", "pump"])
    assert run(dispatching, now).jobs_dispatched == 1
    accounted(shop)


def test_a_waiting_job_whose_reason_stays_is_left_alone(
    client: CareloopClient, dispatching: Dispatching, shop: Any, now: datetime
) -> None:
    shop.part("P1", 0)
    shop.component("pump", "P1")
    shop.asset("A")
    open_ticket(client, "A", now)
    run(dispatching, now)
    version = shop.jobs()[0]["version"]
    assert "ordering it takes 14 days (central: none on hand)" in shop.jobs()[0]["waiting_reason"]
    run(dispatching, now + HOUR)
    shop.connection.execute("UPDATE service.stock SET on_hand = 3, reserved = 3")
    run(dispatching, now + 2 * HOUR)
    assert shop.jobs()[0]["version"] == version


def test_the_urgent_job_gets_the_last_part_and_the_first_slot(
    client: CareloopClient, dispatching: Dispatching, shop: Any, now: datetime
) -> None:
    shop.part("P1", 2)
    shop.component("pump", "P1")
    shop.technician("Ada")
    for serial, priority in [("A", "low"), ("B", "normal"), ("C", "urgent")]:
        shop.asset(serial)
        open_ticket(client, serial, now, priority=priority)
    run(dispatching, now)
    jobs = {job["job_id"]: job for job in shop.jobs()}
    assert {job["serial"]: job["state"] for job in jobs.values()} == {
        "A": "waiting",
        "B": "dispatched",
        "C": "dispatched",
    }
    first = min(shop.visits(), key=lambda visit: visit["starts_at"])
    assert jobs[first["job_id"]]["serial"] == "C"


def test_promised_visits_are_respected_and_two_never_overlap(
    client: CareloopClient, dispatching: Dispatching, shop: Any, now: datetime
) -> None:
    shop.component("pump", None, minutes=120)
    shop.technician("Ada")
    for number in range(12):
        shop.asset(f"A{number}")
        open_ticket(client, f"A{number}", now)
        run(dispatching, now)
    visits = sorted(shop.visits(), key=lambda visit: visit["starts_at"])
    assert len(visits) == 12
    assert all(one["ends_at"] <= other["starts_at"] for one, other in pairwise(visits))
    # Eight working hours a day are the technician's capacity.
    assert (visits[-1]["starts_at"] - visits[0]["starts_at"]).days == 2


def test_a_slot_that_somebody_else_took_meanwhile_leads_to_the_next_one(
    client: CareloopClient, shop: Any, now: datetime
) -> None:
    class Late(CareloopClient):
        """Reads an empty diary, as if the other scheduler's booking came after."""

        def visits(self, *, ends_after: datetime, starts_before: datetime) -> Iterator[Any]:
            return iter(())

    shop.component("pump", None)
    shop.technician("Ada")
    for serial in ("A", "B"):
        shop.asset(serial)
    open_ticket(client, "A", now)
    run(Dispatching(client, WorkingRules(), timedelta(minutes=1)), now)
    open_ticket(client, "B", now)
    late = Late(str(client._http.base_url), client._http.headers["Authorization"].removeprefix("Bearer "))
    assert run(Dispatching(late, WorkingRules(), timedelta(minutes=1)), now).jobs_dispatched == 1
    starts = sorted(visit["starts_at"] for visit in shop.visits())
    assert starts == [now + 2 * HOUR, now + 3 * HOUR]


def test_a_planned_service_is_supplied_and_dispatched_too(
    client: CareloopClient, dispatching: Dispatching, shop: Any, now: datetime
) -> None:
    shop.part("filter", 1)
    shop.calendar_plan("monthly", 30, sku="filter")
    shop.technician("Ada")
    for serial in ("A", "B"):
        shop.asset(serial, installed_at=now - 31 * DAY)
    DuePlans(client, shop.connection, DAY).run(Instant(now, simulated=True), lambda: False)
    assert run(dispatching, now) == Tally(parts_reserved=1, jobs_dispatched=1, jobs_waiting=1)
    accounted(shop)


def test_parts_from_afar_set_the_earliest_day(
    client: CareloopClient, dispatching: Dispatching, shop: Any, now: datetime
) -> None:
    shop.part("P1", 1)
    shop.connection.execute("UPDATE service.warehouse SET territory = 'south', transfer_days = 3")
    shop.component("pump", "P1")
    shop.technician("Ada")
    shop.asset("A")
    open_ticket(client, "A", now)
    run(dispatching, now)
    [visit] = shop.visits()
    assert visit["starts_at"] == (now + 3 * DAY).astimezone(UTC).replace(hour=8)


def test_a_job_that_another_scheduler_dispatched_meanwhile_is_left_alone(
    client: CareloopClient, dispatching: Dispatching, shop: Any, now: datetime
) -> None:
    class Stale(CareloopClient):
        """Lists the jobs as they were before the other scheduler's run."""

        stale: ClassVar[list[Any]] = []

        def jobs(self, *states: str) -> Iterator[Any]:
            return iter(self.stale)

    shop.component("pump", None)
    shop.technician("Ada")
    shop.technician("Bob")
    shop.asset("A")
    open_ticket(client, "A", now)
    Stale.stale = [client.create_job({"ticket_id": 1}, now=now)]
    assert run(dispatching, now).jobs_dispatched == 1
    stale = Stale(str(client._http.base_url), client._http.headers["Authorization"].removeprefix("Bearer "))
    assert run(Dispatching(stale, WorkingRules(), timedelta(minutes=1)), now) == Tally()
    assert [job["state"] for job in shop.jobs()] == ["dispatched"]
    assert len(shop.visits()) == 1


def test_appointments_are_in_the_working_hours_of_the_site(
    client: CareloopClient, dispatching: Dispatching, shop: Any, now: datetime
) -> None:
    shop.connection.execute("UPDATE service.site SET time_zone = 'America/New_York'")
    shop.component("pump", None)
    shop.technician("Ada")
    shop.asset("A")
    open_ticket(client, "A", now)
    run(dispatching, now)
    assert shop.visits()[0]["starts_at"] == now + 6 * HOUR


def test_a_recalled_job_gets_another_appointment(
    client: CareloopClient, dispatching: Dispatching, api: Any, shop: Any, now: datetime
) -> None:
    shop.part("P1", 1)
    shop.component("pump", "P1")
    shop.technician("Ada")
    shop.asset("A")
    open_ticket(client, "A", now)
    run(dispatching, now)
    shop.connection.execute("UPDATE service.technician SET active = false")
    other = shop.technician("Bob")
    with api.client("dispatcher") as dispatcher:
        dispatcher.post(f"/v1/jobs/{shop.jobs()[0]['job_id']}/recall", {"reason": "Ada is ill"}, now=now)
    assert run(dispatching, now) == Tally(jobs_dispatched=1)
    assert [(visit["technician_id"], visit["state"]) for visit in shop.visits()][-1] == (other, "planned")
