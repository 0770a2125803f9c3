"""Visits checked, corrected, objected to and decided, over HTTP only, each step by who does it."""

from datetime import timedelta

import pytest

from careloop.database.engine import connect
from tests.api.completion_audit.conftest import AUDIT

STRICT = [
    {"code": "photos", "kind": "photos", "parameters": {"least": 1}, "verdict": "reject"},
    {"code": "rework", "kind": "rework", "verdict": "manual"},
    {"code": "secret", "kind": "labour_minutes", "parameters": {"most_minutes": 30}, "verdict": "note", "told": False},
]


def activate(desk, rules, **fields) -> dict:
    made = desk.post("engineer", f"{AUDIT}/rule-sets", {"name": "Strict", "rules": rules})
    return desk.post("desk_lead", f"{AUDIT}/rule-sets/{made['rule_set_id']}/activate", fields)


def test_a_good_visit_passes_once_and_its_facts_are_frozen(desk, completed, check_of) -> None:
    visit_id = completed(24, photos=[desk.photo()])
    (owed,) = desk.get("agent", f"{AUDIT}/checks")["items"]
    assert (owed["visit_id"], owed["state"], owed["runs"], owed["provider_id"]) == (visit_id, "due", 0, 1)
    assert desk.refused("agent", "POST", f"{AUDIT}/checks/1/recheck")["state"] == "due"
    check = check_of(visit_id)
    assert (check["state"], check["runs"], check["rule_set_version"], check["findings"]) == ("passed", 1, 1, [])
    # Nothing is due any more: another round changes nothing.
    assert check_of(visit_id)["version"] == check["version"]
    (run,) = check["history"]
    assert (run["verdict"], run["facts"]["report"]["fault"], run["facts"]["levels_known"][0]) == (
        "passed",
        "F1",
        "cause",
    )
    (pump,) = run["facts"]["parts"]
    assert {name: pump[name] for name in ("sku", "used", "moved", "fits")} == {
        "sku": "PUMP", "used": 2, "moved": 2, "fits": True,
    }  # fmt: skip
    assert run["facts"]["devices"]["check_in_km"] == pytest.approx(0, abs=0.01)
    # Who it is about: the partner, without what only the house reads; nobody else.
    seen = check_of(visit_id, "partner_manager")
    assert (seen["state"], seen["history"][0]["facts"]) == ("passed", None)
    assert desk.refused("customer", "GET", f"{AUDIT}/checks")["status"] == 403
    # What once judged stays: not even the owner of the database rewrites it by mistake.
    with connect(desk.database_url) as connection, pytest.raises(Exception, match="append-only"):
        connection.execute("UPDATE service.completion_run SET verdict = 'rejected'")
    with connect(desk.database_url) as connection, pytest.raises(Exception, match="only drafts change"):
        connection.execute("UPDATE service.completion_rule_set SET rules = '[]'")


def test_a_rejected_visit_is_corrected_and_a_repeated_one_goes_to_a_person(desk, completed, check_of) -> None:
    activate(desk, STRICT)
    first = rejected_and_corrected(desk, completed, check_of)
    second = completed(48)
    repeated(desk, check_of, first, second)
    decided(desk, check_of, second)
    statistics(desk)


def rejected_and_corrected(desk, completed, check_of) -> int:
    """No photo: the partner reads why, adds one, and the visit passes in a second run."""
    visit_id = completed(24)
    seen = check_of(visit_id, "technician")
    path = f"{AUDIT}/checks/{seen['completion_check_id']}"
    assert (seen["state"], seen["rule_set_version"]) == ("rejected", 2)
    assert [one["rule"] for one in seen["findings"]] == ["photos"]
    assert [one["rule"] for one in check_of(visit_id)["findings"]] == ["photos", "secret"]
    (told,) = desk.rows("SELECT payload FROM service.alert WHERE topic = 'visit.audit_rejected'") or [None]
    assert told is None or told["payload"]["visit_id"] == visit_id
    refused = desk.refused("colleague", "POST", f"{path}/corrections", {"reason": "mine", "travel_minutes": 3})
    assert refused["type"] == "/problems/not-your-visit"
    for wrong, field in (
        ({"reason": "x"}, "body"),
        ({"reason": "x", "photos": [999]}, "body.photos.0"),
        ({"reason": "x", "diagnosis": {"fault": "S1"}}, "body.diagnosis.fault"),
        ({"reason": "x", "part_serials": [{"visit_part_id": 999, "serial_fitted": "P-1"}]}, "body.part_serials.0"),
    ):
        answer = desk.refused("technician", "POST", f"{path}/corrections", wrong)
        assert (answer["status"], answer["errors"][0]["field"].startswith(field)) == (422, True), answer
    assert desk.get("technician", path)["runs"] == 1
    correction = {"reason": "forgot it", "photos": [desk.photo(colour="green")], "diagnosis": {"cause": "C1"}}
    key = {"Idempotency-Key": "correction-1"}
    passed = desk.post("technician", f"{path}/corrections", correction, **key)
    assert (passed["state"], passed["runs"], passed["findings"]) == ("passed", 2, [])
    assert desk.post("technician", f"{path}/corrections", correction, **key)["runs"] == 2
    assert [step["action"] for step in passed["steps"]] == ["correct"]
    whole = desk.get("agent", path)
    assert [run["verdict"] for run in whole["history"]] == ["rejected", "passed"]
    assert whole["history"][1]["facts"]["report"]["corrected"] == ["diagnosis", "photos"]
    # The report that the customer signed is as it was.
    assert desk.get("customer", f"/v1/visits/{visit_id}/report")["content"]["photos"] == []
    return visit_id


def repeated(desk, check_of, first, second) -> None:
    """The same fault after a day, and no photo: rejected; the partner objects, and a person has to look."""
    seen = check_of(second, "partner_manager")
    path = f"{AUDIT}/checks/{seen['completion_check_id']}"
    assert [one["rule"] for one in seen["findings"]] == ["photos", "rework"]
    assert f"visit {first}" in seen["findings"][1]["message"]
    assert desk.refused("agent", "POST", f"{path}/claim")["type"] == "/problems/completion-check-state"
    objected = desk.post("partner_manager", f"{path}/objections", {"reason": "another pump failed"})
    assert (objected["state"], objected["steps"][-1]["reason"]) == ("manual", "another pump failed")


def decided(desk, check_of, second) -> None:
    """Nobody decides without having claimed it, nor on a report of their own; what was refused stays with people."""
    check = check_of(second)
    path = f"{AUDIT}/checks/{check['completion_check_id']}"
    because = {"reason": "the first repair was badly done"}
    assert desk.refused("agent", "POST", f"{path}/refuse", because)["type"] == "/problems/not-claimed"
    with connect(desk.database_url) as connection:
        # As if the agent had written the report for the technician.
        key = connection.execute("SELECT api_key_id FROM service.api_key WHERE name = 'test-agent'").fetchone()
        connection.execute(
            "INSERT INTO service.audit (at, actor, actor_key, table_name, action, row_key) "
            "VALUES (now(), 'x', %s, 'visit_report', 'update', %s)",
            (f"key:{key['api_key_id']}", str(second)),
        )
    assert desk.refused("agent", "POST", f"{path}/claim")["type"] == "/problems/own-report"
    assert desk.post("agent", f"{AUDIT}/queue/next")["check"] is None
    taken = desk.post("desk_lead", f"{AUDIT}/queue/next?provider_id=1")["check"]
    assert (taken["visit_id"], taken["claimed_by"]) == (second, "test-desk_lead")
    assert desk.get("partner_manager", path)["claimed_by"] is None
    assert desk.refused("admin", "POST", f"{path}/accept", because)["type"] == "/problems/claimed"
    assert [one["visit_id"] for one in desk.get("desk_lead", f"{AUDIT}/checks?mine=true")["items"]] == [second]
    refused = desk.post("desk_lead", f"{path}/refuse", because)
    assert (refused["state"], refused["decision"], refused["claimed_by"]) == ("rejected", "refused", None)
    # The photo alone would let it pass now; but a person has refused it.
    photo = {"reason": "here it is", "photos": [desk.photo(colour="white")]}
    again = desk.post("technician", f"{path}/corrections", photo)
    assert (again["state"], again["decision_reason"]) == ("manual", because["reason"])
    assert desk.post("admin", f"{path}/claim")["claimed_by"] == "test-admin"
    assert desk.post("desk_lead", f"{path}/release")["claimed_by"] is None
    users = [desk.post("admin", "/v1/users", {"login": f"eve{n}", "name": f"Eve {n}", "role": role, **more})
             for n, (role, more) in enumerate([("agent", {}), ("dispatcher", {})])]  # fmt: skip
    assert desk.refused("desk_lead", "POST", f"{path}/assign", {"user_id": users[1]["user_id"]})["status"] == 422
    given = desk.post("desk_lead", f"{path}/assign", {"user_id": users[0]["user_id"]})
    assert given["claimed_by"] == "Eve 0"
    desk.post("desk_lead", f"{path}/release")
    desk.post("desk_lead", f"{path}/claim")
    accepted = desk.post("desk_lead", f"{path}/accept", {"reason": "it was another pump"})
    assert (accepted["state"], accepted["actions"]) == ("accepted", ["reopen"])
    assert desk.refused("desk_lead", "POST", f"{path}/accept", because)["status"] == 409
    opened = desk.post("desk_lead", f"{path}/reopen", {"reason": "the customer complained"})
    assert (opened["state"], opened["decision"]) == ("manual", "accepted")
    desk.post("desk_lead", f"{path}/claim")
    desk.post("desk_lead", f"{path}/accept", {"reason": "settled with the customer"})


def statistics(desk) -> None:
    """Neither passed at once; the partner sees its own figures."""
    desk.now += timedelta(hours=1)
    (line,) = desk.get("partner_manager", f"{AUDIT}/statistics")["items"]
    figures = {"visits": 2, "passed_at_once": 0, "pass_rate": 0.0, "accepted": 1, "rejected_at_first": 2}
    assert {name: line[name] for name in figures} == figures
    assert line["top_reasons"] == [{"rule": "photos", "visits": 2}, {"rule": "rework", "visits": 1}]
    assert desk.get("agent", f"{AUDIT}/statistics?until=2026-07-01T00:00:00Z")["items"] == []


def test_several_at_once_check_nothing_twice_and_take_nothing_twice(desk, completed, at_once) -> None:
    activate(desk, [{"code": "all", "kind": "sample", "parameters": {"per_mille": 1000}, "verdict": "manual"}])
    completed(24)
    with connect(desk.database_url) as connection:
        connection.execute("UPDATE service.visit SET state = 'started' WHERE visit_id = 1")
        connection.execute("DELETE FROM service.completion_check")
        connection.execute(
            "INSERT INTO service.visit (job_id, ticket_id, technician_id, starts_at, ends_at, dispatched_at, state) "
            "SELECT v.job_id, v.ticket_id, v.technician_id, v.starts_at, v.ends_at, v.dispatched_at, 'cancelled' "
            "FROM service.visit v, generate_series(1, 11)"
        )
        connection.execute("UPDATE service.visit SET state = 'completed', ended_at = %s", (desk.now,))
    at_once(lambda client, _: client.post("/v1/duties/run", {}, now=desk.now), range(4))
    runs = desk.rows("SELECT number, count(*) AS checks FROM service.completion_run GROUP BY number")
    assert runs == [{"number": 1, "checks": 12}]
    keys = [desk.keys["agent"], desk.keys["desk_lead"], desk.keys["admin"]] * 2
    taken = at_once(
        lambda _, key: desk.http.post(
            f"{AUDIT}/queue/next", headers={"Authorization": f"Bearer {key}", "Careloop-Now": desk.now.isoformat()}
        ).json()["check"]["completion_check_id"],
        keys,
    )
    assert len(set(taken)) == len(keys), taken
