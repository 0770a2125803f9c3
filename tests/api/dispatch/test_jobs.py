"""Making and reading jobs over HTTP."""

import httpx

PLAN_JOB = {"plan_id": 1, "serial": "HD5-1", "occurrence": 2}


def test_a_job_takes_what_it_needs_from_its_tickets_component(workshop, now) -> None:
    ticket_id = workshop.ticket("pump", priority="high", due_by="2026-07-09T08:00:00Z", description="It leaks.")
    job = workshop.client.create_job({"ticket_id": ticket_id}, now=now)
    assert (job["serial"], job["territory"], job["time_zone"]) == ("HD5-1", "north", "Europe/Berlin")
    assert (job["skill"], job["labour_minutes"], job["priority"]) == ("hydraulics", 90, "high")
    assert (job["ticket_id"], job["plan_id"], job["occurrence"]) == (ticket_id, None, None)
    assert (job["component"], job["instructions"]) == ("pump", "Wear\nIt leaks.")
    assert (job["due_by"], job["created_at"]) == ("2026-07-09T08:00:00Z", "2026-07-01T08:00:00Z")
    assert job["parts"] == [{"sku": "PUMP", "quantity": 2}]
    assert (job["reservations"], job["visit"]) == ([], None)
    assert (job["state"], job["waiting_reason"], job["outcome"], job["version"]) == ("open", None, None, 1)


def test_a_ticket_without_a_component_is_looked_into(workshop) -> None:
    job = workshop.job(None, serial="HD9-1", kind="complaint")
    assert (job["skill"], job["labour_minutes"], job["parts"], job["territory"]) == ("general", 60, [], "default")


def test_a_job_takes_what_it_needs_from_its_plan(workshop, now) -> None:
    job = workshop.client.create_job(PLAN_JOB, now=now)
    assert (job["plan_id"], job["occurrence"], job["ticket_id"], job["component"]) == (1, 2, None, None)
    assert (job["skill"], job["labour_minutes"], job["instructions"]) == ("oiling", 30, "Change the oil.")
    assert (job["parts"], job["priority"]) == ([{"sku": "OIL", "quantity": 3}], "normal")


def test_a_job_that_is_there_is_returned_with_200(api, workshop) -> None:
    headers = {"Authorization": f"Bearer {api.keys['service']}"}
    for body in ({"ticket_id": workshop.ticket()}, PLAN_JOB):
        answers = [httpx.post(f"{api.url}/v1/jobs", json=body, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 200]
        assert answers[0].json() == answers[1].json()
        assert answers[1].headers["ETag"] == '"1"'


def test_an_occurrence_has_one_job_ever_and_a_ticket_one_open_job(workshop, now) -> None:
    job = workshop.client.create_job(PLAN_JOB, now=now)
    workshop.post(job, "cancel", {"reason": "sold"})
    assert workshop.client.create_job(PLAN_JOB, now=now)["job_id"] == job["job_id"]
    ticket_job = workshop.job()
    workshop.post(ticket_job, "cancel", {"reason": "wrong"})
    again = workshop.client.create_job({"ticket_id": ticket_job["ticket_id"]}, now=now)
    assert again["job_id"] != ticket_job["job_id"]


BAD_FIELDS = [
    ({}, "body.ticket_id"),
    ({"ticket_id": 99}, "body.ticket_id"),
    ({"ticket_id": 0}, "body.ticket_id"),
    ({"ticket_id": 1, "plan_id": 1}, "body.plan_id"),
    ({"ticket_id": 1, "serial": "HD5-1"}, "body.serial"),
    ({"serial": "HD5-1", "occurrence": 1}, "body.ticket_id"),
    ({"plan_id": 1, "occurrence": 1}, "body.serial"),
    ({"plan_id": 1, "serial": "HD5-1"}, "body.occurrence"),
    ({**PLAN_JOB, "plan_id": 99}, "body.plan_id"),
    ({**PLAN_JOB, "serial": "UNKNOWN"}, "body.serial"),
    ({**PLAN_JOB, "serial": "HD9-1"}, "body.serial"),
    ({**PLAN_JOB, "occurrence": 0}, "body.occurrence"),
    ({**PLAN_JOB, "occurrence": 2**31}, "body.occurrence"),
    ({**PLAN_JOB, "skill": "any"}, "body.skill"),
]


def test_every_bad_field_is_named(workshop, refusal) -> None:
    for body, field in BAD_FIELDS:
        refused = refusal(workshop.client.post, "/v1/jobs", body)
        assert (body, refused.status, refused.problem["errors"][0]["field"]) == (body, 422, field)


def test_no_job_for_what_is_over(workshop, refusal, now) -> None:
    ticket_id = workshop.ticket()
    workshop.client.post(f"/v1/tickets/{ticket_id}/transitions", {"to": "cancelled"}, now=now)
    assert refusal(workshop.client.post, "/v1/jobs", {"ticket_id": ticket_id}).type == "/problems/ticket-over"
    workshop.client.patch("/v1/plans/1", {"active": False}, version=1)
    assert refusal(workshop.client.post, "/v1/jobs", PLAN_JOB).type == "/problems/plan-inactive"
    workshop.client.patch("/v1/plans/1", {"active": True}, version=2)
    workshop.client.patch("/v1/assets/HD5-1", {"state": "retired"}, version=1)
    assert refusal(workshop.client.post, "/v1/jobs", PLAN_JOB).type == "/problems/asset-retired"


def test_jobs_are_listed_by_state_ticket_and_serial(workshop, refusal) -> None:
    made = [workshop.in_state(state) for state in ("open", "waiting", "cancelled", "open")]
    south = workshop.job(serial="HD5-2")

    def numbers(**wanted) -> list[int]:
        return [job["job_id"] for job in workshop.client.pages("/v1/jobs", **wanted)]

    assert numbers() == [1, 2, 3, 4, 5]
    assert numbers(state="open,waiting") == [1, 2, 4, 5]
    assert numbers(state="waiting,open,open") == [1, 2, 4, 5]
    assert numbers(state="cancelled") == [3]
    assert numbers(serial="HD5-2") == [5]
    assert numbers(serial="HD5-1", state="open") == [1, 4]
    assert numbers(ticket_id=made[1]["ticket_id"]) == [2]
    assert numbers(ticket_id=made[1]["ticket_id"], serial="HD5-2") == []
    assert numbers(serial="UNKNOWN") == []
    assert [job["job_id"] for job in workshop.client.jobs("open", "waiting")] == [1, 2, 4, 5]
    page = workshop.client.get("/v1/jobs", state="open,waiting", limit=3)
    rest = workshop.client.get("/v1/jobs", state="open,waiting", limit=3, after=page["next"])
    assert [job["job_id"] for job in page["items"] + rest["items"]] == [1, 2, 4, 5]
    assert workshop.client.get(f"/v1/jobs/{south['job_id']}") == rest["items"][0]
    refused = refusal(workshop.client.get, "/v1/jobs", state="open,lost")
    assert (refused.status, refused.problem["errors"][0]["field"]) == (422, "query.state")
    assert refusal(workshop.client.get, "/v1/jobs/99").status == 404


def test_a_technician_makes_no_jobs(api, workshop, refusal) -> None:
    with api.client("technician") as technician:
        assert refusal(technician.post, "/v1/jobs", PLAN_JOB).status == 403
        assert technician.get("/v1/jobs")["items"] == []
