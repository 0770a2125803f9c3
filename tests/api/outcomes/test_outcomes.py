"""Failures and replacements over HTTP, and the loop they close."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from careloop.client import ProblemError
from careloop.database.engine import connect

NOW = datetime(2026, 1, 10, 6, tzinfo=UTC)  # when conftest.py opens cases
LATER = NOW + timedelta(hours=8)


def fail(client, *, serial="HD5-1", component="pump", at=LATER, now=None, **more):
    body = {"component": component, "failed_at": at.isoformat(), **more}
    return client.post(f"/v1/assets/{serial}/failures", body, now=now or at)


def replace(client, reason, *, serial="HD5-1", component="pump", at=LATER, now=None):
    body = {"component": component, "replaced_at": at.isoformat(), "reason": reason}
    return client.post(f"/v1/assets/{serial}/replacements", body, now=now or at)


def read(client, ticket):
    return client.get(f"/v1/tickets/{ticket['ticket_id']}")


def stock(client):
    """Pumps on hand, and of them reserved."""
    [line] = client.pages("/v1/parts/stock", sku="PUMP")
    return line["on_hand"], line["reserved"]


# The facts --------------------------------------------------------------------------------------


def test_a_failure_is_recorded_once_and_completed_later(desk) -> None:
    first = fail(desk, description="dry run")
    assert (first["created"], first["serial"], first["component"], first["ticket_ids"]) == (
        True,
        "HD5-1",
        "pump",
        [],
    )
    assert datetime.fromisoformat(first["at"]) == LATER
    restored_at = (LATER + timedelta(hours=2)).isoformat()
    again = fail(desk, now=LATER + timedelta(hours=3), restored_at=restored_at)
    assert (again["created"], again["fact_id"], again["description"]) == (False, first["fact_id"], "dry run")
    assert datetime.fromisoformat(again["restored_at"]) == LATER + timedelta(hours=2)
    assert fail(desk)["restored_at"] == again["restored_at"]
    with pytest.raises(ProblemError) as refused:
        fail(desk, now=LATER + timedelta(days=1), restored_at=(LATER + timedelta(hours=9)).isoformat())
    assert (refused.value.status, refused.value.type) == (409, "/problems/fact-differs")
    assert len(list(desk.failures())) == 1


def test_a_replacement_is_recorded_once(desk) -> None:
    first = replace(desk, "scheduled")
    again = replace(desk, "scheduled")
    assert (again["created"], again["fact_id"]) == (False, first["fact_id"])
    with pytest.raises(ProblemError) as refused:
        replace(desk, "failure")
    assert refused.value.type == "/problems/fact-differs"
    [fact] = desk.replacements()
    assert fact == {name: first[name] for name in ("fact_id", "serial", "component", "at", "reason")}


def test_facts_are_followed_by_number(desk) -> None:
    facts = [fail(desk, at=LATER + timedelta(hours=hour), serial=f"HD5-{1 + hour % 2}") for hour in (3, 0, 2, 1)]
    ids = [fact["fact_id"] for fact in facts]
    assert [fact["fact_id"] for fact in desk.failures()] == ids == sorted(ids)
    assert [fact["fact_id"] for fact in desk.failures(since_id=ids[1])] == ids[2:]
    assert list(desk.failures(since_id=ids[-1])) == []
    page = desk.get("/v1/failures", since_id=ids[0], limit=2)
    rest = desk.get("/v1/failures", since_id=ids[0], limit=2, after=page["next"])
    assert [fact["fact_id"] for fact in page["items"] + rest["items"]] == ids[1:]
    assert [fact["fact_id"] for fact in desk.pages("/v1/failures", serial="HD5-1")] == [ids[1], ids[2]]
    assert list(desk.pages("/v1/failures", component="seal")) == []
    assert list(desk.replacements()) == []


def test_bad_fields_are_named(desk) -> None:
    failed_at, replaced_at = LATER.isoformat(), LATER.isoformat()
    early, late = (LATER - timedelta(1)).isoformat(), (LATER + timedelta(seconds=1)).isoformat()
    failure = {"component": "pump", "failed_at": failed_at}
    replacement = {"component": "pump", "replaced_at": replaced_at, "reason": "failure"}
    for path, body, field in (
        ("failures", {**failure, "component": "engine"}, "component"),
        ("failures", {**failure, "component": "a\x00b"}, "component"),
        ("failures", {"component": "pump"}, "failed_at"),
        ("failures", {**failure, "failed_at": "2026-01-10T06:00:00"}, "failed_at"),
        ("failures", {**failure, "failed_at": late}, "failed_at"),
        ("failures", {**failure, "restored_at": early}, "restored_at"),
        ("failures", {**failure, "restored_at": late}, "restored_at"),
        ("failures", {**failure, "description": "x" * 2001}, "description"),
        ("failures", {**failure, "reason": "failure"}, "reason"),
        ("replacements", {**replacement, "component": "engine"}, "component"),
        ("replacements", {**replacement, "replaced_at": late}, "replaced_at"),
        ("replacements", {**replacement, "reason": "mood"}, "reason"),
        ("replacements", {"component": "pump", "replaced_at": replaced_at}, "reason"),
    ):
        with pytest.raises(ProblemError) as refused:
            desk.post(f"/v1/assets/HD5-1/{path}", body, now=LATER)
        assert refused.value.status == 422
        assert refused.value.problem["errors"][0]["field"] == f"body.{field}", body
    with pytest.raises(ProblemError) as refused:
        fail(desk, serial="NOBODY")
    assert refused.value.status == 404
    with pytest.raises(ProblemError) as refused:
        desk.get("/v1/failures", since_id=-1)
    assert refused.value.problem["errors"][0]["field"] == "query.since_id"
    assert [*desk.failures(), *desk.replacements()] == []


def test_who_may_tell(api, desk) -> None:
    with api.client("technician") as technician:
        assert replace(technician, "preventive")["created"] is True
    with api.client("dispatcher") as dispatcher, pytest.raises(ProblemError) as refused:
        fail(dispatcher)
    assert refused.value.status == 403


# The loop ---------------------------------------------------------------------------------------


def test_a_failure_confirms_the_case_and_the_replacement_finishes_its_job(desk, open_case, dispatched) -> None:
    ticket = open_case()
    job = dispatched(ticket)
    assert stock(desk) == (10, 1)
    assert fail(desk)["ticket_ids"] == [ticket["ticket_id"]]
    judged = read(desk, ticket)
    assert (judged["state"], judged["outcome"], judged["priority"]) == ("scheduled", "confirmed", "urgent")
    assert desk.get(f"/v1/jobs/{job['job_id']}")["state"] == "dispatched"
    assert stock(desk) == (10, 1)
    mended_at = LATER + timedelta(hours=2)
    assert replace(desk, "failure", at=mended_at)["ticket_ids"] == [ticket["ticket_id"]]
    ended, done = read(desk, ticket), desk.get(f"/v1/jobs/{job['job_id']}")
    assert (ended["state"], ended["outcome"]) == ("resolved", "confirmed")
    assert datetime.fromisoformat(ended["closed_at"]) == mended_at
    assert (done["state"], done["outcome"], done["visit"]["state"]) == ("completed", "confirmed", "completed")
    assert datetime.fromisoformat(done["completed_at"]) == mended_at
    assert stock(desk) == (9, 0)
    kinds = [line["kind"] for line in desk.pages(f"/v1/tickets/{ticket['ticket_id']}/events")]
    assert kinds == ["opened", "state", "fact", "fact", "state"]


def test_the_replacement_tells_when_the_asset_worked_again(desk) -> None:
    fail(desk)
    replace(desk, "failure", at=LATER)
    assert desk.get("/v1/failures")["items"][0]["restored_at"] is None
    mended_at = LATER + timedelta(hours=5)
    replace(desk, "failure", at=mended_at)
    assert datetime.fromisoformat(desk.get("/v1/failures")["items"][0]["restored_at"]) == mended_at


def test_what_a_failure_has_said_of_a_case_its_repair_does_not_unsay(desk, open_case, dispatched) -> None:
    ticket = open_case()
    dispatched(ticket)
    fail(desk)
    replace(desk, "scheduled", at=LATER + timedelta(hours=1))
    assert read(desk, ticket)["outcome"] == "confirmed"


@pytest.mark.parametrize(
    ("reason", "outcome"), [("failure", "confirmed"), ("preventive", "prevented"), ("scheduled", "superseded")]
)
def test_a_replacement_ends_the_case_with_its_outcome(desk, open_case, dispatched, reason, outcome) -> None:
    ticket = open_case()
    job = dispatched(ticket)
    assert replace(desk, reason)["ticket_ids"] == [ticket["ticket_id"]]
    assert (read(desk, ticket)["state"], read(desk, ticket)["outcome"]) == ("resolved", outcome)
    assert desk.get(f"/v1/jobs/{job['job_id']}")["outcome"] == outcome
    assert stock(desk) == (9, 0)


def test_a_case_without_a_job_is_resolved_directly(desk, open_case) -> None:
    ticket = open_case()
    assert replace(desk, "failure")["ticket_ids"] == [ticket["ticket_id"]]
    assert read(desk, ticket)["outcome"] == "confirmed"
    assert list(desk.pages("/v1/jobs")) == []


def test_other_components_assets_and_kinds_stay_open(desk, open_case) -> None:
    others = [
        open_case(component="seal"),
        open_case(serial="HD5-2"),
        open_case(kind="repair", title="Dead"),
        open_case(kind="complaint", title="Too loud"),
    ]
    assert fail(desk)["ticket_ids"] == []
    assert {read(desk, ticket)["state"] for ticket in others} == {"open"}


def test_a_repair_ends_with_the_replacement_not_with_the_failure(desk, open_case, dispatched) -> None:
    repair = open_case(kind="repair", title="Dead")
    job = dispatched(repair)
    assert fail(desk)["ticket_ids"] == []
    assert read(desk, repair)["state"] == "scheduled"
    replaced = replace(desk, "failure", at=LATER + timedelta(hours=1))
    assert replaced["ticket_ids"] == [repair["ticket_id"]]
    assert (read(desk, repair)["state"], read(desk, repair)["outcome"]) == ("resolved", "confirmed")
    assert desk.get(f"/v1/jobs/{job['job_id']}")["state"] == "completed"


def test_one_replacement_uses_one_part(desk, open_case, dispatched) -> None:
    preventive, repair = open_case(), open_case(kind="repair", title="Dead")
    dispatched(preventive)
    dispatched(repair, hours=28)
    assert stock(desk) == (10, 2)
    replaced = replace(desk, "failure")
    assert replaced["ticket_ids"] == [preventive["ticket_id"], repair["ticket_id"]]
    assert stock(desk) == (9, 0)


def test_a_case_opened_after_the_failure_is_superseded_and_gives_its_part_back(desk, open_case, dispatched) -> None:
    ticket = open_case()
    dispatched(ticket)
    fail(desk, at=NOW - timedelta(hours=3), now=LATER)
    replace(desk, "failure", at=NOW - timedelta(hours=3), now=LATER)
    assert (read(desk, ticket)["state"], read(desk, ticket)["outcome"]) == ("resolved", "superseded")
    assert stock(desk) == (10, 0)


def test_an_imported_history_ends_no_case(desk, open_case) -> None:
    ticket = open_case()
    assert fail(desk, at=NOW - timedelta(days=300), now=LATER)["ticket_ids"] == []
    assert read(desk, ticket)["state"] == "open"


def test_the_next_case_of_the_same_component_can_open(desk, open_case) -> None:
    first = open_case()
    fail(desk)
    replace(desk, "failure")
    second = open_case()
    assert (second["created"], second["ticket_id"] > first["ticket_id"]) == (True, True)
    assert fail(desk)["created"] is False
    assert read(desk, second)["state"] == "open"


def test_one_fact_told_by_many_at_once_counts_once(api, desk, open_case, dispatched) -> None:
    ticket = open_case()
    dispatched(ticket)
    start = Barrier(6)

    def tell(number):
        with api.client("service") as client:
            start.wait()
            return replace(client, "failure") if number % 2 else fail(client)

    with ThreadPoolExecutor(6) as pool:
        facts = list(pool.map(tell, range(6)))
    assert [fact["created"] for fact in facts].count(True) == 2
    assert {number for fact in facts for number in fact["ticket_ids"]} == {ticket["ticket_id"]}
    assert stock(desk) == (9, 0)
    with connect(api.database_url) as connection:
        consumed = connection.execute("SELECT count(*) AS n FROM service.stock_movement WHERE kind = 'consume'")
        assert consumed.fetchone()["n"] == 1


def test_a_fact_and_a_completion_at_once_end_the_case_once(api, desk, open_case, dispatched) -> None:
    for round_number in range(4):
        ticket = open_case()
        job = dispatched(ticket, hours=26 + 24 * round_number)
        at = LATER + timedelta(hours=round_number)
        start = Barrier(2)

        def complete(job=job, start=start, at=at):
            with api.client("admin") as client:
                start.wait()
                try:
                    return client.post(f"/v1/jobs/{job['job_id']}/complete", {"outcome": "other_fault"}, now=at)
                except ProblemError as problem:
                    return problem.type

        def tell(start=start, at=at):
            with api.client("service") as client:
                start.wait()
                return replace(client, "failure", at=at)

        with ThreadPoolExecutor(2) as pool:
            completed, told = pool.submit(complete), pool.submit(tell)
            completion, fact = completed.result(), told.result()
        ended = read(desk, ticket)
        if fact["ticket_ids"]:
            assert (completion, ended["outcome"]) == ("/problems/job-state", "confirmed")
        else:
            assert (completion["state"], ended["outcome"]) == ("completed", "other_fault")
        assert stock(desk) == (10 - 1 - round_number, 0)


def test_facts_become_visible_in_the_order_of_their_numbers(api, desk) -> None:
    """Whoever follows by since_id must not miss a fact whose transaction ends late."""
    with connect(api.database_url, autocommit=False) as slow:
        slow.execute("SELECT pg_advisory_xact_lock(7266, 3)")
        asset = "SELECT asset_id FROM service.asset WHERE serial = 'HD5-1'"
        slow.execute(
            "INSERT INTO service.failure (asset_id, component, failed_at, recorded_at) "
            f"VALUES (({asset}), 'seal', '2026-01-09Z', '2026-01-09Z')"
        )
        with ThreadPoolExecutor(1) as pool, api.client("service") as client:
            waiting = pool.submit(fail, client)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
            assert list(desk.failures()) == []
            slow.commit()
            waiting.result(timeout=10)
    assert [fact["component"] for fact in desk.failures()] == ["seal", "pump"]
