"""Holding, dispatching, starting, recalling, completing and cancelling jobs over HTTP."""

from datetime import timedelta
from itertools import product

import pytest

from api.dispatch.rules import ACTIONS, JOB_STATES, MACHINE

HOUR = timedelta(hours=1)


def ticket_of(workshop, job) -> dict:
    return workshop.client.get(f"/v1/tickets/{job['ticket_id']}")


def test_every_state_allows_over_http_what_the_table_says(workshop, refusal, now) -> None:
    """All pairs on one server: each job is made anew in its state."""
    bodies = {
        "hold": {"reason": "snow"},
        "admit": {},
        "start": {},
        "recall": {"reason": "ill"},
        "complete": {"outcome": "confirmed"},
        "cancel": {"reason": "sold"},
    }
    hours = iter(range(1, 10_000, 30))

    def appointment() -> dict:
        starts_at = now + timedelta(days=10, hours=next(hours))
        ends_at = starts_at + timedelta(minutes=5)
        return {
            "technician_id": workshop.technician_id,
            "starts_at": starts_at.isoformat(),
            "ends_at": ends_at.isoformat(),
        }

    for state, action in product(JOB_STATES, ACTIONS):
        job = workshop.job()
        for step in {"waiting": ["hold"], "in_progress": ["dispatch", "start"], "open": []}.get(
            state, [{"dispatched": "dispatch", "completed": "complete", "cancelled": "cancel"}.get(state)]
        ):
            job = workshop.post(job, step, appointment() if step == "dispatch" else bodies[step])
        assert job["state"] == state
        body = appointment() if action == "dispatch" else bodies[action]
        expected = MACHINE.next_state(state, action)
        if expected is None:
            refused = refusal(workshop.post, job, action, body)
            assert (state, action, refused.type) == (state, action, "/problems/job-state")
            assert refused.problem["state"] == state
            assert workshop.client.get(f"/v1/jobs/{job['job_id']}") == job
        else:
            assert (state, action, workshop.post(job, action, body)["state"]) == (state, action, expected)


def test_a_held_job_waits_and_tells_only_of_new_reasons(workshop) -> None:
    job = workshop.job()
    held = workshop.post(job, "hold", {"reason": "no pump"})
    assert (held["state"], held["waiting_reason"], held["version"]) == ("waiting", "no pump", 2)
    assert workshop.post(job, "hold", {"reason": "no pump"}) == held
    assert workshop.alerts() == [("job.waiting", "job:1:waiting:2")]
    assert workshop.post(job, "hold", {"reason": "nobody free"})["version"] == 3
    assert workshop.alerts() == [("job.waiting", "job:1:waiting:2"), ("job.waiting", "job:1:waiting:3")]
    assert ticket_of(workshop, job)["state"] == "open"


def test_a_dispatched_job_has_a_visit_and_its_ticket_is_scheduled(workshop, now) -> None:
    job = workshop.dispatch(workshop.post(workshop.job(), "hold", {"reason": "rain"}), after_hours=2)
    assert (job["state"], job["waiting_reason"]) == ("dispatched", None)
    assert job["visit"] == {
        "visit_id": 1,
        "job_id": job["job_id"],
        "technician_id": workshop.technician_id,
        "starts_at": "2026-07-01T10:00:00Z",
        "ends_at": "2026-07-01T11:00:00Z",
        "state": "planned",
    }
    assert ticket_of(workshop, job)["state"] == "scheduled"
    assert workshop.alerts()[-1] == ("job.dispatched", "job:1:dispatched:1")
    (alert,) = workshop.rows("SELECT subject, body, payload FROM service.alert WHERE topic = 'job.dispatched'")
    # The customer reads the time of the site.
    assert alert["subject"] == "HD5-1: appointment Wed 1 Jul 2026, 12:00–13:00 (Europe/Berlin)"
    assert "Technician: Ada" in alert["body"]
    assert (alert["payload"]["technician"], alert["payload"]["visit"]["starts_at"]) == ("Ada", "2026-07-01T10:00:00Z")


def test_nothing_is_dispatched_without_its_parts(workshop, refusal, now) -> None:
    job = workshop.job("pump")
    refused = refusal(workshop.dispatch, job)
    assert (refused.status, refused.type) == (409, "/problems/parts-not-reserved")
    assert refused.problem["parts"] == [{"sku": "PUMP", "needed": 2, "reserved": 0, "reason": "2 needed, 0 reserved"}]
    # The part comes from another territory: two days on the way.
    workshop.client.reserve(job["job_id"], "PUMP", 2, now=now)
    refused = refusal(workshop.dispatch, job, after_hours=47)
    assert refused.problem["parts"][0]["reason"] == "on site only from 2026-07-03T08:00:00+00:00"
    job = workshop.dispatch(job, after_hours=48)
    assert [entry["state"] for entry in job["reservations"]] == ["reserved"]
    number = job["reservations"][0]["reservation_id"]
    refused = refusal(workshop.client.post, f"/v1/parts/reservations/{number}/release", {})
    assert refused.type == "/problems/job-relies-on-part"


def test_a_technician_who_does_not_fit_is_refused(workshop, refusal) -> None:
    refused = refusal(workshop.dispatch, workshop.job(serial="HD5-2"))
    assert (refused.type, refused.problem["reasons"]) == (
        "/problems/technician-unfit",
        ["does not serve the territory south"],
    )
    workshop.client.patch("/v1/technicians/1", {"active": False, "skills": ["gas"]}, version=1)
    refused = refusal(workshop.dispatch, workshop.job())
    assert refused.problem["detail"] == "Ada is not active and does not have the skill hydraulics"


def test_a_busy_technician_is_refused(workshop, refusal) -> None:
    workshop.dispatch(workshop.job(), after_hours=2, hours=2)
    job = workshop.job()
    for after_hours, hours in ((1, 1.5), (3.5, 1), (2.5, 0.5), (1, 4)):
        refused = refusal(workshop.dispatch, job, after_hours=after_hours, hours=hours)
        assert (refused.status, refused.type) == (409, "/problems/technician-busy")
        assert "has a visit from 2026-07-01T10:00:00+00:00" in refused.problem["detail"]
    refused = refusal(workshop.dispatch, job, after_hours=4, hours=3.5)
    assert "would work 330 minutes on 2026-07-01, more than 300 a day" in refused.problem["detail"]
    # The next day is free, and right after the visit there is room as well.
    workshop.dispatch(workshop.job(), after_hours=26, hours=4)
    workshop.dispatch(job, after_hours=4, hours=3)


@pytest.mark.parametrize("ending", ["recall", "cancel", "complete"])
def test_a_visit_called_off_or_done_frees_the_technician(workshop, ending) -> None:
    first = workshop.dispatch(workshop.job(), after_hours=2, hours=5)
    body = {"outcome": "prevented"} if ending == "complete" else {"reason": "ill"}
    workshop.post(first, ending, body)
    assert workshop.dispatch(workshop.job(), after_hours=2, hours=5)["state"] == "dispatched"


BAD_FIELDS = [
    ("hold", {}, "body.reason"),
    ("hold", {"reason": ""}, "body.reason"),
    ("hold", {"reason": "x" * 2001}, "body.reason"),
    ("dispatch", {"technician_id": 99}, "body.technician_id"),
    ("dispatch", {"technician_id": "Ada"}, "body.technician_id"),
    ("dispatch", {"starts_at": "2026-07-01T10:00:00"}, "body.starts_at"),
    ("dispatch", {"starts_at": "2026-07-01T07:00:00Z"}, "body.starts_at"),
    ("dispatch", {"starts_at": "9999-07-01T07:00:00Z"}, "body.starts_at"),
    ("dispatch", {"ends_at": "2026-07-01T10:00:00Z"}, "body.ends_at"),
    ("dispatch", {"ends_at": "2026-07-03T10:00:00Z"}, "body.ends_at"),
    ("dispatch", {"van": 1}, "body.van"),
    ("recall", {}, "body.reason"),
    ("complete", {}, "body.outcome"),
    ("complete", {"outcome": "reminded"}, "body.outcome"),
    # It would say nothing about the prediction.
    ("complete", {"outcome": "done"}, "body.outcome"),
    ("complete", {"outcome": "confirmed", "parts_used": "some"}, "body.parts_used"),
    ("cancel", {}, "body.reason"),
]


def test_every_bad_field_is_named(workshop, refusal) -> None:
    job = workshop.job()
    good = {"technician_id": 1, "starts_at": "2026-07-01T10:00:00Z", "ends_at": "2026-07-01T11:00:00Z"}
    for action, given, field in BAD_FIELDS:
        refused = refusal(workshop.post, job, action, {**good, **given} if action == "dispatch" else given)
        assert (action, given, refused.status) == (action, given, 422)
        assert (given, refused.problem["errors"][0]["field"]) == (given, field)
    assert workshop.client.get(f"/v1/jobs/{job['job_id']}") == job
    for action in ("hold", "recall", "cancel"):
        refused = refusal(workshop.client.post, f"/v1/jobs/99/{action}", {"reason": "x"})
        assert refused.status == 404


def test_a_completed_job_takes_visit_ticket_and_parts_with_it(workshop, now) -> None:
    job = workshop.job("pump")
    workshop.client.reserve(job["job_id"], "PUMP", 2, now=now)
    job = workshop.dispatch(job, after_hours=48)
    job = workshop.post(job, "start")
    assert (job["state"], job["visit"]["state"]) == ("in_progress", "started")
    assert ticket_of(workshop, job)["state"] == "in_progress"
    job = workshop.post(job, "complete", {"outcome": "confirmed"}, now=now + 3 * HOUR)
    assert (job["state"], job["outcome"], job["completed_at"]) == ("completed", "confirmed", "2026-07-01T11:00:00Z")
    assert (job["visit"]["state"], [entry["state"] for entry in job["reservations"]]) == ("completed", ["consumed"])
    ticket = ticket_of(workshop, job)
    assert (ticket["state"], ticket["outcome"], ticket["closed_at"]) == ("resolved", "confirmed", job["completed_at"])
    assert workshop.stock() == (8, 0)
    assert workshop.alerts()[-1] == ("job.completed", "job:1:completed")


@pytest.mark.parametrize("body", [{"outcome": "no_fault_found"}, {"outcome": "other_fault", "parts_used": False}])
def test_parts_that_were_not_used_go_back(workshop, now, body) -> None:
    job = workshop.job("pump")
    workshop.client.reserve(job["job_id"], "PUMP", 2, now=now)
    job = workshop.post(job, "complete", body)
    assert (job["outcome"], job["reservations"], workshop.stock()) == (body["outcome"], [], (10, 0))


def test_a_job_of_a_plan_has_no_ticket_to_close(workshop, now) -> None:
    job = workshop.client.create_job({"plan_id": 1, "serial": "HD5-1", "occurrence": 1}, now=now)
    assert workshop.post(job, "complete", {"outcome": "done"})["outcome"] == "done"


def test_the_outcome_done_resolves_a_repair_without_a_label(workshop) -> None:
    job = workshop.job("lid", kind="repair")
    workshop.post(job, "complete", {"outcome": "done"})
    ticket = ticket_of(workshop, job)
    assert (ticket["state"], ticket["outcome"]) == ("resolved", None)


def test_a_cancelled_job_gives_everything_back(workshop, now) -> None:
    job = workshop.job("pump")
    workshop.client.reserve(job["job_id"], "PUMP", 2, now=now)
    job = workshop.dispatch(job, after_hours=48)
    job = workshop.post(job, "cancel", {"reason": "the customer has sold the machine"})
    assert (job["state"], job["cancel_reason"]) == ("cancelled", "the customer has sold the machine")
    assert (job["reservations"], job["visit"], workshop.stock()) == ([], None, (10, 0))
    ticket = ticket_of(workshop, job)
    assert ticket["state"] == "open"
    assert [found["ticket_id"] for found in workshop.client.tickets_without_job()] == [ticket["ticket_id"]]


def test_a_recalled_job_keeps_its_parts_and_waits(workshop, now) -> None:
    job = workshop.job("pump")
    workshop.client.reserve(job["job_id"], "PUMP", 2, now=now)
    job = workshop.post(workshop.dispatch(job, after_hours=48), "recall", {"reason": "Ada is ill"})
    assert (job["state"], job["waiting_reason"], job["visit"]) == ("waiting", "Ada is ill", None)
    assert [entry["state"] for entry in job["reservations"]] == ["reserved"]
    assert ticket_of(workshop, job)["state"] == "open"
    assert workshop.alerts()[-1] == ("job.waiting", f"job:1:waiting:{job['version']}")
    again = workshop.dispatch(job, after_hours=72)
    assert (again["state"], again["visit"]["visit_id"]) == ("dispatched", 2)
    assert workshop.alerts()[-1] == ("job.dispatched", "job:1:dispatched:2")


def test_a_recalled_job_that_was_begun_keeps_the_visit_that_took_place(workshop) -> None:
    job = workshop.post(workshop.in_state("in_progress"), "recall", {"reason": "another part is needed"})
    assert (job["state"], job["visit"]["state"]) == ("waiting", "completed")


def test_visits_are_listed_by_technician_span_and_state(workshop, refusal, now) -> None:
    technician = {"name": "Grace", "skills": ["hydraulics"], "territories": ["north"]}
    grace = workshop.client.post("/v1/technicians", technician)["technician_id"]
    workshop.dispatch(workshop.job(), after_hours=2)
    workshop.dispatch(workshop.job(), after_hours=26)
    workshop.dispatch(workshop.job(), after_hours=2, technician_id=grace)
    workshop.post(workshop.dispatch(workshop.job(), after_hours=4), "cancel", {"reason": "x"})
    workshop.post(workshop.dispatch(workshop.job(), after_hours=5), "start")

    def numbers(**wanted) -> list[int]:
        return [visit["visit_id"] for visit in workshop.client.pages("/v1/visits", **wanted)]

    assert numbers() == [1, 2, 3, 5]
    assert numbers(technician_id=grace) == [3]
    assert numbers(state="cancelled,started") == [4, 5]
    # Touching ends do not count: the first visits end at 11:00.
    assert numbers(ends_after=now + 3 * HOUR, starts_before=now + 26 * HOUR) == [5]
    assert numbers(ends_after=now + 2 * HOUR, starts_before=now + 3 * HOUR) == [1, 3]
    page = workshop.client.get("/v1/visits", limit=3)
    assert [visit["visit_id"] for visit in workshop.client.get("/v1/visits", after=page["next"])["items"]] == [5]
    for query, field in (({"state": "lost"}, "query.state"), ({"ends_after": "2026-07-01"}, "query.ends_after")):
        refused = refusal(workshop.client.get, "/v1/visits", **query)
        assert (refused.status, refused.problem["errors"][0]["field"]) == (422, field)


def test_a_technician_works_and_does_not_dispatch(api, workshop, refusal) -> None:
    job = workshop.in_state("dispatched")
    with api.client("technician") as technician:
        path = f"/v1/jobs/{job['job_id']}"
        for action, body in (("hold", {"reason": "x"}), ("recall", {"reason": "x"}), ("cancel", {"reason": "x"})):
            assert refusal(technician.post, f"{path}/{action}", body).status == 403
        assert technician.post(f"{path}/start", {})["state"] == "in_progress"
        assert technician.post(f"{path}/complete", {"outcome": "confirmed"})["state"] == "completed"
