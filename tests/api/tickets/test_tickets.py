"""Tickets over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import product
from threading import Barrier

import httpx
import pytest

from api.tickets.rules import MACHINE, OVER, STATES
from careloop.client import ProblemError
from careloop.database.engine import connect

NOW = datetime(2026, 1, 10, 6, tzinfo=UTC)
PREVENTIVE = {
    "kind": "preventive",
    "serial": "HD5-1",
    "component": "pump",
    "cause": "component:pump",
    "title": "The pump wears out",
    "description": "Pressure falls while the current rises",
    "priority": "high",
    "due_by": "2026-01-12T06:00:00Z",
    "evidence": {"probability": 0.83, "model": "7"},
}
COMPLAINT = {"kind": "complaint", "serial": "HD5-1", "title": "Too loud"}


@pytest.fixture
def target(api):
    """A target that hears of everything."""
    with connect(api.database_url) as connection:
        connection.execute(
            "INSERT INTO service.alert_target (name, kind, url, topics, created_at) "
            "VALUES ('log', 'apprise', 'json://127.0.0.1', '{*}', '2026-01-01Z')"
        )
        yield connection


def alerts(connection):
    return connection.execute("SELECT * FROM service.alert ORDER BY alert_id").fetchall()


def events(client, ticket, kind=None):
    lines = client.pages(f"/v1/tickets/{ticket['ticket_id']}/events")
    return [line for line in lines if kind in {None, line["kind"]}]


def move(client, ticket, to, **more):
    return client.post(f"/v1/tickets/{ticket['ticket_id']}/transitions", {"to": to, **more}, now=NOW)


def named(call):
    """The field that the refusal of a call names."""
    with pytest.raises(ProblemError) as refused:
        call()
    assert refused.value.status == 422
    return refused.value.problem["errors"][0]["field"]


def make_job(connection, ticket, state="open"):
    return connection.execute(
        "INSERT INTO service.job (asset_id, ticket_id, state, skill, labour_minutes, created_at) "
        "SELECT asset_id, ticket_id, %s, 'general', 60, opened_at FROM service.ticket WHERE ticket_id = %s "
        "RETURNING job_id",
        (state, ticket["ticket_id"]),
    ).fetchone()["job_id"]


# Opening ----------------------------------------------------------------------------------------


def test_a_ticket_is_opened_and_read(api, desk) -> None:
    with api.client("service") as predictor:
        ticket = predictor.open_ticket(PREVENTIVE, now=NOW)
    assert ticket["created"] is True
    assert {name: ticket[name] for name in ("kind", "serial", "component", "cause", "priority")} == {
        name: PREVENTIVE[name] for name in ("kind", "serial", "component", "cause", "priority")
    }
    assert (ticket["state"], ticket["raised_by"], ticket["version"]) == ("open", "test-service", 1)
    assert datetime.fromisoformat(ticket["opened_at"]) == NOW
    read = desk.get(f"/v1/tickets/{ticket['ticket_id']}")
    assert read == {name: value for name, value in ticket.items() if name != "created"}
    assert [line["kind"] for line in events(desk, ticket)] == ["opened"]


def test_the_answer_carries_status_etag_and_place(api, desk) -> None:
    headers = {"Authorization": f"Bearer {api.keys['agent']}", "Careloop-Now": NOW.isoformat()}
    answer = httpx.post(f"{api.url}/v1/tickets", json=PREVENTIVE, headers=headers)
    assert (answer.status_code, answer.headers["ETag"]) == (201, '"1"')
    assert answer.headers["Location"] == f"/v1/tickets/{answer.json()['ticket_id']}"
    assert httpx.post(f"{api.url}/v1/tickets", json=PREVENTIVE, headers=headers).status_code == 200


def test_later_evidence_goes_to_the_history_and_the_first_is_frozen(desk) -> None:
    first = desk.open_ticket(PREVENTIVE, now=NOW)
    later = desk.open_ticket({**PREVENTIVE, "evidence": {"probability": 0.97}}, now=NOW + timedelta(hours=3))
    assert (later["created"], later["ticket_id"]) == (False, first["ticket_id"])
    assert later["evidence"] == PREVENTIVE["evidence"]
    [line] = events(desk, first, "evidence")
    assert line["detail"]["evidence"] == {"probability": 0.97}
    assert datetime.fromisoformat(line["at"]) == NOW + timedelta(hours=3)
    with pytest.raises(ProblemError) as refused:
        desk.patch(f"/v1/tickets/{first['ticket_id']}", {"evidence": {}}, version=first["version"])
    assert (refused.value.status, refused.value.problem["errors"][0]["field"]) == (422, "body.evidence")


def test_another_asset_another_cause_or_an_ended_case_makes_a_new_case(desk) -> None:
    first = desk.open_ticket(PREVENTIVE, now=NOW)
    others = [
        desk.open_ticket({**PREVENTIVE, "serial": "HD5-2"}, now=NOW),
        desk.open_ticket({**PREVENTIVE, "component": "seal", "cause": "component:seal"}, now=NOW),
        desk.open_ticket({**PREVENTIVE, "cause": "event:E01"}, now=NOW),
    ]
    move(desk, first, "resolved", outcome="confirmed")
    again = desk.open_ticket(PREVENTIVE, now=NOW)
    assert len({ticket["ticket_id"] for ticket in [first, *others, again]}) == 5
    assert all(ticket["created"] for ticket in [*others, again])


def test_tickets_of_people_have_no_cause_and_are_never_merged(desk) -> None:
    assert desk.open_ticket(COMPLAINT, now=NOW)["ticket_id"] != desk.open_ticket(COMPLAINT, now=NOW)["ticket_id"]


def test_one_case_when_many_report_the_same_cause_at_once(api, desk) -> None:
    reporters = 8
    start = Barrier(reporters)

    def report(number):
        with api.client("service") as client:
            start.wait()
            return client.open_ticket({**PREVENTIVE, "evidence": {"reporter": number}}, now=NOW)

    with ThreadPoolExecutor(reporters) as pool:
        tickets = list(pool.map(report, range(reporters)))
    assert len({ticket["ticket_id"] for ticket in tickets}) == 1
    assert [ticket["created"] for ticket in tickets].count(True) == 1
    told = {tickets[0]["evidence"]["reporter"]}
    told |= {line["detail"]["evidence"]["reporter"] for line in events(desk, tickets[0], "evidence")}
    assert told == set(range(reporters))


def test_no_report_is_lost_when_the_case_ends_at_the_same_time(api, desk) -> None:
    """Each report is either in the history of a case that was still open, or a case of its own."""
    for _ in range(5):
        case = desk.open_ticket(PREVENTIVE, now=NOW)
        start = Barrier(2)

        def end(case=case, start=start):
            with api.client("agent") as client:
                start.wait()
                return move(client, case, "resolved", outcome="no_fault_found")

        def report(start=start):
            with api.client("service") as client:
                start.wait()
                return client.open_ticket(PREVENTIVE, now=NOW)

        with ThreadPoolExecutor(2) as pool:
            ended, reported = pool.submit(end), pool.submit(report)
            ended.result()
            ticket = reported.result()
        kinds = [line["kind"] for line in events(desk, case)]
        if ticket["created"]:
            assert ticket["ticket_id"] != case["ticket_id"]
            move(desk, ticket, "cancelled")
        else:
            assert kinds.index("evidence") < kinds.index("state")


BAD_TICKETS = [
    ({"kind": "broken"}, "body.kind"),
    ({"kind": None}, "body.kind"),
    ({"serial": "NOBODY"}, "body.serial"),
    ({"serial": "with space"}, "body.serial"),
    ({"component": "engine"}, "body.component"),
    ({"serial": "BOT-1"}, "body.component"),
    ({"component": ""}, "body.component"),
    ({"cause": "component:seal"}, "body.cause"),
    ({"cause": "warranty:1"}, "body.cause"),
    ({"cause": "x" * 161}, "body.cause"),
    ({"title": "  "}, "body.title"),
    ({"title": "x" * 201}, "body.title"),
    ({"title": "a\x00b"}, "body.title"),
    ({"description": 7}, "body.description"),
    ({"description": "x" * 2001}, "body.description"),
    ({"priority": "asap"}, "body.priority"),
    ({"due_by": "tomorrow"}, "body.due_by"),
    ({"due_by": "2026-01-12T06:00:00"}, "body.due_by"),
    ({"due_by": "9999-12-31T23:59:59-05:00"}, "body.due_by"),
    ({"evidence": [1]}, "body.evidence"),
    ({"evidence": {"text": "a\x00b"}}, "body.evidence"),
    ({"evidence": {"nested": [{"\x00": 1}]}}, "body.evidence"),
    ({"evidence": {"text": "x" * 70_000}}, "body.evidence"),
    ({"term_id": 1}, "body.term_id"),
    ({"kind": "warranty_expiry"}, "body.term_id"),
    ({"kind": "warranty_expiry", "cause": "", "term_id": 99}, "body.term_id"),
    ({"term_id": 0}, "body.term_id"),
    ({"term_id": 2**63}, "body.term_id"),
    ({"colour": "yellow"}, "body.colour"),
]


def test_a_bad_field_is_named_and_nothing_is_opened(desk) -> None:
    for change, field in BAD_TICKETS:
        assert named(lambda change=change: desk.open_ticket({**PREVENTIVE, **change}, now=NOW)) == field, change
    assert list(desk.pages("/v1/tickets")) == []


def test_evidence_that_is_no_json_is_refused(api, desk) -> None:
    headers = {"Authorization": f"Bearer {api.keys['agent']}", "Content-Type": "application/json"}
    for number in ("NaN", "Infinity", "1e999", '"\\ud800"'):
        text = f'{{"kind": "complaint", "serial": "HD5-1", "title": "x", "evidence": {{"value": {number}}}}}'
        answer = httpx.post(f"{api.url}/v1/tickets", content=text, headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body.evidence"), number


# Warranty ---------------------------------------------------------------------------------------


def test_the_end_of_a_warranty_is_announced_once_ever(desk, target) -> None:
    term = desk.post("/v1/assets/HD5-1/warranty-terms", {"starts_on": "2025-02-01", "ends_on": "2026-01-31"})
    wish = {"kind": "warranty_expiry", "serial": "HD5-1", "title": "The warranty ends", "term_id": term["term_id"]}
    ticket = desk.open_ticket(wish, now=NOW)
    assert (ticket["created"], ticket["cause"]) == (True, f"warranty:{term['term_id']}")
    move(desk, ticket, "resolved", outcome="reminded")
    move(desk, ticket, "closed")
    again = desk.open_ticket(wish, now=NOW + timedelta(days=1))
    assert (again["created"], again["ticket_id"]) == (False, ticket["ticket_id"])
    assert events(desk, ticket, "evidence") == []
    expiring = [alert for alert in alerts(target) if alert["topic"] == "warranty.expiring"]
    assert len(expiring) == 1
    assert "2026-01-31" in expiring[0]["subject"]


def test_a_term_of_another_asset_is_refused(desk) -> None:
    term = desk.post("/v1/assets/HD5-2/warranty-terms", {"starts_on": "2025-02-01", "ends_on": "2026-01-31"})
    wish = {"kind": "warranty_expiry", "serial": "HD5-1", "title": "The warranty ends", "term_id": term["term_id"]}
    with pytest.raises(ProblemError) as refused:
        desk.open_ticket(wish, now=NOW)
    assert refused.value.problem["errors"][0]["field"] == "body.term_id"


def test_two_sweeps_at_once_announce_a_term_once(api, desk, target) -> None:
    term = desk.post("/v1/assets/HD5-1/warranty-terms", {"starts_on": "2025-02-01", "ends_on": "2026-01-31"})
    wish = {"kind": "warranty_expiry", "serial": "HD5-1", "title": "The warranty ends", "term_id": term["term_id"]}
    start = Barrier(4)

    def sweep(_):
        with api.client("service") as client:
            start.wait()
            return client.open_ticket(wish, now=NOW)

    with ThreadPoolExecutor(4) as pool:
        tickets = list(pool.map(sweep, range(4)))
    assert [ticket["created"] for ticket in tickets].count(True) == 1
    assert len({ticket["ticket_id"] for ticket in tickets}) == 1
    assert len(alerts(target)) == 1


# Alerts -----------------------------------------------------------------------------------------


def test_the_customer_hears_of_a_new_case_once(desk, target) -> None:
    ticket = desk.open_ticket(PREVENTIVE, now=NOW)
    desk.open_ticket(PREVENTIVE, now=NOW)
    [alert] = alerts(target)
    assert (alert["topic"], alert["cause"]) == ("ticket.opened", f"ticket:{ticket['ticket_id']}:opened")
    assert alert["created_at"] == NOW
    for words in ("HD 5/15", "HD5-1", "Hotel Post", PREVENTIVE["title"], "appointment"):
        assert words in alert["body"]
    assert alert["payload"]["serial"] == "HD5-1"
    assert alert["payload"]["evidence"] == PREVENTIVE["evidence"]


def test_each_end_of_a_case_is_told(desk, target) -> None:
    ticket = desk.open_ticket(PREVENTIVE, now=NOW)
    move(desk, ticket, "resolved", outcome="no_fault_found")
    move(desk, ticket, "open")
    move(desk, ticket, "resolved", outcome="other_fault")
    move(desk, ticket, "closed")
    told = [alert for alert in alerts(target) if alert["topic"] == "ticket.resolved"]
    assert len({alert["cause"] for alert in told}) == 2
    assert "no fault was found" in told[0]["body"]
    assert "Another fault" in told[1]["body"]


# Lists ------------------------------------------------------------------------------------------


def test_lists_are_filtered(desk) -> None:
    pump = desk.open_ticket(PREVENTIVE, now=NOW)
    seal = desk.open_ticket({**PREVENTIVE, "component": "seal", "cause": "component:seal"}, now=NOW)
    loud = desk.open_ticket({**COMPLAINT, "serial": "HD5-2"}, now=NOW)
    move(desk, pump, "scheduled")
    move(desk, seal, "cancelled")

    def found(**query):
        return [ticket["ticket_id"] for ticket in desk.pages("/v1/tickets", **query)]

    ids = [ticket["ticket_id"] for ticket in (pump, seal, loud)]
    assert found() == ids
    assert found(state="open,scheduled") == [ids[0], ids[2]]
    assert found(kind="complaint") == [ids[2]]
    assert found(serial="HD5-1") == ids[:2]
    assert found(serial="NOBODY") == []
    assert found(component="seal") == [ids[1]]
    assert found(serial="HD5-1", component="pump", state="scheduled", kind="preventive") == [ids[0]]
    page = desk.get("/v1/tickets", limit=2)
    assert [ticket["ticket_id"] for ticket in page["items"]] == ids[:2]
    assert [t["ticket_id"] for t in desk.get("/v1/tickets", limit=2, after=page["next"])["items"]] == ids[2:]


BAD_FILTERS = [
    ({"state": "open,gone"}, "query.state"),
    ({"state": ""}, "query.state"),
    ({"kind": "broken"}, "query.kind"),
    ({"serial": "a b"}, "query.serial"),
    ({"component": "a\x00b"}, "query.component"),
    ({"needs_job": "perhaps"}, "query.needs_job"),
    ({"after": "%%%"}, "query.after"),
    ({"limit": 0}, "query.limit"),
]


def test_a_bad_filter_is_named(desk) -> None:
    for query, field in BAD_FILTERS:
        assert named(lambda query=query: desk.get("/v1/tickets", **query)) == field, query


def test_which_tickets_need_a_job(desk, target) -> None:
    pump = desk.open_ticket(PREVENTIVE, now=NOW)
    repair = desk.open_ticket({"kind": "repair", "serial": "HD5-1", "title": "Dead"}, now=NOW)
    desk.open_ticket(COMPLAINT, now=NOW)

    def wanting():
        return [ticket["ticket_id"] for ticket in desk.tickets_without_job()]

    assert wanting() == [pump["ticket_id"], repair["ticket_id"]]
    job_id = make_job(target, pump)
    assert wanting() == [repair["ticket_id"]]
    assert desk.get(f"/v1/tickets/{pump['ticket_id']}")["job_id"] == job_id
    move(desk, pump, "scheduled")
    target.execute("UPDATE service.job SET state = 'cancelled' WHERE job_id = %s", (job_id,))
    assert wanting() == [pump["ticket_id"], repair["ticket_id"]]
    second = make_job(target, pump)
    assert desk.get(f"/v1/tickets/{pump['ticket_id']}")["job_id"] == second
    move(desk, repair, "in_progress")
    assert wanting() == []
    assert len(list(desk.pages("/v1/tickets", needs_job=False))) == 3


# Changes and transitions ------------------------------------------------------------------------


def test_a_ticket_is_changed_by_whoever_has_seen_it(desk) -> None:
    ticket = desk.open_ticket(PREVENTIVE, now=NOW)
    path = f"/v1/tickets/{ticket['ticket_id']}"
    changed = desk.patch(path, {"priority": "urgent", "due_by": None}, version=ticket["version"], now=NOW)
    assert (changed["priority"], changed["due_by"], changed["title"]) == ("urgent", None, ticket["title"])
    assert changed["version"] == ticket["version"] + 1
    with pytest.raises(ProblemError) as refused:
        desk.patch(path, {"title": "Other"}, version=ticket["version"])
    assert refused.value.status == 412
    [line] = events(desk, ticket, "changed")
    assert line["detail"] == {
        "priority": {"from": "high", "to": "urgent"},
        "due_by": {"from": "2026-01-12T06:00:00Z", "to": None},
    }
    assert desk.patch(path, {"priority": "urgent"}, version=changed["version"])["version"] == changed["version"]


def test_a_change_needs_if_match(api, desk) -> None:
    ticket = desk.open_ticket(PREVENTIVE, now=NOW)
    headers = {"Authorization": f"Bearer {api.keys['agent']}"}
    answer = httpx.patch(f"{api.url}/v1/tickets/{ticket['ticket_id']}", json={}, headers=headers)
    assert answer.status_code == 428


BAD_CHANGES = [
    ({"title": ""}, "body.title"),
    ({"title": None}, "body.title"),
    ({"priority": None}, "body.priority"),
    ({"description": None}, "body.description"),
    ({"due_by": "soon"}, "body.due_by"),
    ({"state": "closed"}, "body.state"),
    ({"serial": "HD5-2"}, "body.serial"),
]


def test_a_bad_change_is_named(desk) -> None:
    ticket = desk.open_ticket(PREVENTIVE, now=NOW)
    path = f"/v1/tickets/{ticket['ticket_id']}"
    for change, field in BAD_CHANGES:
        assert named(lambda change=change: desk.patch(path, change, version=1)) == field, change
    assert desk.get(path)["version"] == 1


def test_two_changes_of_one_version_cannot_both_win(api, desk) -> None:
    ticket = desk.open_ticket(PREVENTIVE, now=NOW)
    start = Barrier(4)

    def change(number):
        with api.client("agent") as client:
            start.wait()
            try:
                client.patch(f"/v1/tickets/{ticket['ticket_id']}", {"title": f"Title {number}"}, version=1, now=NOW)
            except ProblemError as problem:
                return problem.status
            return 200

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(change, range(4))) == [200, 412, 412, 412]


def test_a_case_goes_its_way(desk) -> None:
    ticket = desk.open_ticket(PREVENTIVE, now=NOW)
    for state in ("scheduled", "in_progress", "resolved", "closed"):
        ticket = move(desk, ticket, state, **({"outcome": "prevented"} if state == "resolved" else {}))
        assert ticket["state"] == state
    assert (ticket["outcome"], datetime.fromisoformat(ticket["closed_at"])) == ("prevented", NOW)
    assert [(line["detail"]["from"], line["detail"]["to"]) for line in events(desk, ticket, "state")] == [
        ("open", "scheduled"),
        ("scheduled", "in_progress"),
        ("in_progress", "resolved"),
        ("resolved", "closed"),
    ]


def test_each_pair_of_states_over_http(desk, target) -> None:
    survivor = desk.open_ticket(COMPLAINT, now=NOW)["ticket_id"]
    ticket = desk.open_ticket(PREVENTIVE, now=NOW)
    for before, after in product(STATES, STATES):
        target.execute(
            "UPDATE service.ticket SET state = %s, closed_at = %s, merged_into = %s WHERE ticket_id = %s",
            (before, NOW if before in OVER else None, survivor if before == "merged" else None, ticket["ticket_id"]),
        )
        if after in MACHINE.moves[before].values() and after != "merged":
            moved = move(desk, ticket, after)
            assert moved["state"] == after, (before, after)
        else:
            with pytest.raises(ProblemError) as refused:
                move(desk, ticket, after)
            # Merging is a call of its own, which names the survivor.
            assert refused.value.status == (422 if after == "merged" else 409), (before, after)
            moved = desk.get(f"/v1/tickets/{ticket['ticket_id']}")
            assert moved["state"] == before, (before, after)
        assert (moved["closed_at"] is not None) == (moved["state"] in OVER), (before, after)


def test_a_move_that_the_table_lacks_is_refused_and_says_where_to_go(desk) -> None:
    ticket = move(desk, desk.open_ticket(PREVENTIVE, now=NOW), "in_progress", reason="on site")
    with pytest.raises(ProblemError) as refused:
        move(desk, ticket, "cancelled")
    assert (refused.value.status, refused.value.type) == (409, "/problems/ticket-state")
    assert refused.value.problem["allowed"] == ["open", "waiting_customer", "scheduled", "resolved"]
    assert desk.get(f"/v1/tickets/{ticket['ticket_id']}") == ticket
    assert events(desk, ticket, "state")[0]["detail"]["reason"] == "on site"


def test_a_case_is_opened_again_unless_a_newer_one_is_open(desk) -> None:
    ticket = desk.open_ticket(PREVENTIVE, now=NOW)
    move(desk, ticket, "resolved", outcome="no_fault_found")
    reopened = move(desk, ticket, "open", reason="still loud")
    assert (reopened["state"], reopened["outcome"], reopened["closed_at"]) == ("open", None, None)
    move(desk, ticket, "resolved")
    newer = desk.open_ticket(PREVENTIVE, now=NOW)
    with pytest.raises(ProblemError) as refused:
        move(desk, ticket, "open")
    assert (refused.value.type, refused.value.problem["ticket_id"]) == ("/problems/case-open", newer["ticket_id"])
    assert desk.get(f"/v1/tickets/{ticket['ticket_id']}")["state"] == "resolved"


def test_a_case_with_an_open_job_is_not_ended_by_hand(desk, target) -> None:
    ticket = desk.open_ticket(PREVENTIVE, now=NOW)
    job_id = make_job(target, ticket)
    for state in ("resolved", "cancelled"):
        with pytest.raises(ProblemError) as refused:
            move(desk, ticket, state)
        assert (refused.value.type, refused.value.problem["job_id"]) == ("/problems/job-open", job_id)
    target.execute("UPDATE service.job SET state = 'completed' WHERE job_id = %s", (job_id,))
    assert move(desk, ticket, "resolved")["state"] == "resolved"


BAD_TRANSITIONS = [
    ({"to": "gone"}, "body.to"),
    ({}, "body.to"),
    ({"to": "resolved", "outcome": "perhaps"}, "body.outcome"),
    ({"to": "resolved", "outcome": "reminded"}, "body.outcome"),
    ({"to": "scheduled", "outcome": "confirmed"}, "body.outcome"),
    ({"to": "cancelled", "reason": "x" * 2001}, "body.reason"),
]


def test_a_bad_transition_is_named(desk) -> None:
    path = f"/v1/tickets/{desk.open_ticket(PREVENTIVE, now=NOW)['ticket_id']}/transitions"
    for wish, field in BAD_TRANSITIONS:
        assert named(lambda wish=wish: desk.post(path, wish, now=NOW)) == field, wish


def test_two_transitions_at_once_follow_the_table(api, desk) -> None:
    """Of several who cancel at once, one does; whoever comes later finds a final state."""
    ticket = desk.open_ticket(PREVENTIVE, now=NOW)
    start = Barrier(4)

    def cancel(_):
        with api.client("agent") as client:
            start.wait()
            try:
                move(client, ticket, "cancelled")
            except ProblemError as problem:
                return problem.type
            return "done"

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(cancel, range(4)))
    assert answers == ["/problems/ticket-state"] * 3 + ["done"]
    assert len(events(desk, ticket, "state")) == 1


def test_unknown_tickets_and_wrong_roles(api, desk) -> None:
    for path in ("/v1/tickets/99", "/v1/tickets/99/events"):
        with pytest.raises(ProblemError) as refused:
            desk.get(path)
        assert refused.value.status == 404
    with pytest.raises(ProblemError) as refused:
        move(desk, {"ticket_id": 99}, "open")
    assert refused.value.status == 404
    with api.client("dispatcher") as dispatcher, pytest.raises(ProblemError) as refused:
        dispatcher.open_ticket(COMPLAINT, now=NOW)
    assert refused.value.status == 403
    with api.client("technician") as technician, pytest.raises(ProblemError) as refused:
        move(technician, {"ticket_id": 99}, "open")
    assert refused.value.status == 403
