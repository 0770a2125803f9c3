"""Many hands on the same tickets, jobs and technicians: real threads against the real server and database."""

from datetime import timedelta

from careloop.client import ProblemError

THREADS = 16


def problems(answers) -> list[str]:
    return [answer.type for answer in answers if isinstance(answer, ProblemError)]


def test_a_ticket_and_an_occurrence_get_one_job_each(workshop, at_once) -> None:
    bodies = [{"ticket_id": workshop.ticket()}, {"plan_id": 1, "serial": "HD5-1", "occurrence": 7}]
    answers = at_once(lambda client, body: client.create_job(body, now=None), bodies * (THREADS // 2))
    assert problems(answers) == []
    assert len({answer["job_id"] for answer in answers}) == 2
    assert len(list(workshop.client.pages("/v1/jobs"))) == 2
    # The parts came with the job, once.
    assert all(len(answer["parts"]) == 1 for answer in answers)


def test_a_technician_is_booked_by_one_of_many(workshop, at_once, now) -> None:
    jobs = [workshop.job() for _ in range(THREADS)]
    starts_at = now + timedelta(days=1)

    def dispatch(client, job):
        return client.dispatch_job(job["job_id"], 1, starts_at, starts_at + timedelta(hours=1), now=now)

    answers = at_once(dispatch, jobs)
    assert problems(answers) == ["/problems/technician-busy"] * (THREADS - 1)
    assert len(list(workshop.client.pages("/v1/visits"))) == 1
    assert len(list(workshop.client.jobs("dispatched"))) == 1


def test_a_day_holds_no_more_than_its_capacity(workshop, at_once, now) -> None:
    """300 minutes a day: five visits of an hour, whoever comes first."""
    jobs = list(enumerate(workshop.job() for _ in range(THREADS)))

    def dispatch(client, numbered):
        starts_at = now.replace(hour=4) + timedelta(days=1, hours=numbered[0])
        return client.dispatch_job(numbered[1]["job_id"], 1, starts_at, starts_at + timedelta(hours=1), now=now)

    answers = at_once(dispatch, jobs)
    assert problems(answers) == ["/problems/technician-busy"] * (THREADS - 5)


def test_one_job_dispatched_by_many_has_one_visit_and_one_announcement(workshop, at_once, now) -> None:
    job = workshop.job()

    def dispatch(client, hour):
        starts_at = now + timedelta(days=1, hours=hour)
        return client.dispatch_job(job["job_id"], 1, starts_at, starts_at + timedelta(minutes=5), now=now)

    answers = at_once(dispatch, range(THREADS))
    assert problems(answers) == ["/problems/job-state"] * (THREADS - 1)
    assert len(list(workshop.client.pages("/v1/visits"))) == 1
    assert workshop.alerts() == [("job.dispatched", "job:1:dispatched:1")]


def test_a_job_ends_once_whoever_ends_it_and_nothing_deadlocks(workshop, at_once, now) -> None:
    """Everything that locks tickets, jobs, parts and technicians, at the same moment, on four jobs."""
    jobs = [workshop.job("pump") for _ in range(4)]
    for job in jobs:
        workshop.client.reserve(job["job_id"], "PUMP", 2, now=now)
    bodies = {
        "complete": {"outcome": "confirmed"},
        "cancel": {"reason": "sold"},
        "hold": {"reason": "rain"},
        "dispatch": {"technician_id": 1, "starts_at": "2026-07-04T10:00:00Z", "ends_at": "2026-07-04T11:00:00Z"},
    }

    def act(client, task):
        job, action = task
        return client.post(f"/v1/jobs/{job['job_id']}/{action}", bodies[action], now=now)

    answers = at_once(act, [(job, action) for action in bodies for job in jobs])
    # Holding and dispatching may come too late or be undone; a 5xx would be a deadlock.
    assert set(problems(answers)) <= {"/problems/job-state", "/problems/technician-busy"}
    ended = list(workshop.client.jobs("completed", "cancelled"))
    assert len(ended) == len(jobs)
    completed = sum(job["state"] == "completed" for job in ended)
    assert workshop.stock() == (10 - 2 * completed, 0)
    assert list(workshop.client.pages("/v1/visits")) == []
    states = {ticket["ticket_id"]: ticket["state"] for ticket in workshop.client.pages("/v1/tickets")}
    for job in ended:
        assert states[job["ticket_id"]] == ("resolved" if job["state"] == "completed" else "open")
