"""What the desk does with tickets: whose they are, how they hang together, and what customers may do."""

from datetime import UTC, datetime
from threading import Barrier, Thread

import psycopg
import pytest

from api.tickets.models import OpenedTicket, Ticket
from careloop.client import ProblemError
from careloop.database.engine import connect

NOW = datetime(2026, 1, 10, 6, tzinfo=UTC)
REPAIR = {"kind": "repair", "serial": "HD5-1", "title": "Leaks"}


@pytest.fixture
def sql(api):
    with connect(api.database_url) as connection:
        yield connection


def refusal(call, *given, **named):
    """Status and type of the problem that a call ends in."""
    with pytest.raises(ProblemError) as refused:
        call(*given, **named)
    return refused.value.status, refused.value.type.removeprefix("/problems/")


def field_of(call, *given, **named):
    with pytest.raises(ProblemError) as refused:
        call(*given, **named)
    assert refused.value.status == 422, refused.value
    return refused.value.problem["errors"][0]["field"]


def customer(sql, name, *serials):
    customer_id = sql.execute(
        "INSERT INTO service.customer (name) VALUES (%s) RETURNING customer_id", (name,)
    ).fetchone()["customer_id"]
    sql.execute("UPDATE service.asset SET customer_id = %s WHERE serial = ANY (%s)", (customer_id, list(serials)))
    return customer_id


def do(client, ticket, what, **body):
    return client.post(f"/v1/tickets/{ticket['ticket_id']}/{what}", body, now=NOW)


def put(client, path, body, version):
    return client._call("PUT", path, now=NOW, body=body, headers={"If-Match": f'"{version}"'})


def delete(client, path):
    return client._call("DELETE", path, now=NOW)


def lines(client, ticket, kind):
    found = client.pages(f"/v1/tickets/{ticket['ticket_id']}/events")
    return [line["detail"] for line in found if line["kind"] == kind]


def test_whose_a_ticket_is(desk, log_in, sql) -> None:
    anna, ben, lead = log_in("agent"), log_in("agent"), log_in("desk_lead")
    ticket = desk.open_ticket({**REPAIR, "queue": "repairs", "tags": ["vip", "hot", "vip"]}, now=NOW)
    assert (ticket["queue"], ticket["tags"], ticket["owner_user_id"]) == ("repairs", ["hot", "vip"], None)
    assert set(ticket) == set(OpenedTicket.model_fields)
    assert desk.get(f"/v1/tickets/{ticket['ticket_id']}") == {name: ticket[name] for name in Ticket.model_fields}
    assert refusal(do, desk, ticket, "claim") == (409, "no-user")

    # Two at once: one wins.
    gate, answers = Barrier(2), []

    def claim(client):
        gate.wait(10)
        try:
            answers.append(do(client, ticket, "claim")["owner_user_id"])
        except ProblemError as problem:
            answers.append(problem.type)

    threads = [Thread(target=claim, args=(client,)) for client in (anna, ben)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert "/problems/claimed" in answers
    owner, other = (anna, ben) if anna.user_id in answers else (ben, anna)
    assert owner.user_id in answers
    assert do(owner, ticket, "claim")["version"] == 2, "again changes nothing"
    assert refusal(do, other, ticket, "release", reason="mine now") == (409, "claimed")
    assert do(lead, ticket, "release", reason="ill")["owner_user_id"] is None
    assert refusal(do, desk, ticket, "assign", owner_user_id=999)[0] == 422
    assert refusal(do, desk, ticket, "assign", provider_id=999)[0] == 422
    assigned = do(lead, ticket, "assign", owner_user_id=other.user_id, queue="field")
    assert (assigned["owner_user_id"], assigned["queue"]) == (other.user_id, "field")
    assert lines(desk, ticket, "assigned") == [
        {"owner_user_id": {"from": None, "to": other.user_id}, "queue": {"from": "repairs", "to": "field"}}
    ]
    assert [line["owner_user_id"]["to"] for line in lines(desk, ticket, "claimed")] == [owner.user_id]


def test_watchers_and_changes(desk, log_in, sql) -> None:
    anna, ben = log_in("agent"), log_in("agent")
    ticket = desk.open_ticket({**REPAIR, "tags": ["vip", "hot"]}, now=NOW)
    path = f"/v1/tickets/{ticket['ticket_id']}/watchers"
    do(anna, ticket, "watchers")
    do(anna, ticket, "watchers", user_id=ben.user_id)
    assert {watcher["user_id"] for watcher in desk.pages(path)} == {anna.user_id, ben.user_id}
    assert field_of(do, desk, ticket, "watchers") == "body.user_id"
    assert field_of(do, desk, ticket, "watchers", user_id=999) == "body.user_id"
    delete(anna, f"{path}/{ben.user_id}")
    assert refusal(delete, anna, f"{path}/{ben.user_id}") == (404, "not-found")
    assert [found["ticket_id"] for found in anna.pages("/v1/tickets", watched=True)] == [ticket["ticket_id"]]
    assert list(ben.pages("/v1/tickets", watched=True)) == []

    path = f"/v1/tickets/{ticket['ticket_id']}"
    changed = desk.patch(path, {"service_mode": "mail_in", "tags": ["cold"]}, version=1, now=NOW)
    assert (changed["service_mode"], changed["tags"]) == ("mail_in", ["cold"])
    assert ticket["ticket_id"] not in {one["ticket_id"] for one in desk.tickets_without_job()}, "nobody drives there"
    assert lines(desk, ticket, "changed")[-1]["tags"] == {"from": ["hot", "vip"], "to": ["cold"]}
    assert refusal(desk.patch, path, {"title": "x"}, version=1) == (412, "changed-meanwhile")
    assert refusal(desk.patch, path, {"contact_id": 99}, version=changed["version"])[0] == 422
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="frozen"):
        sql.execute("UPDATE service.ticket SET evidence = '{\"a\": 1}'")
    do(desk, ticket, "cancel", reason="wrong machine")
    assert refusal(do, anna, ticket, "claim") == (409, "ticket-over")
    assert refusal(do, desk, ticket, "assign", queue="x") == (409, "ticket-over")


def test_new_tickets_find_their_queue(api, desk, sql) -> None:
    sql.execute("UPDATE service.site SET territory = 'north'")
    with api.client("desk_lead") as lead:
        wide = lead.post("/v1/ticket-routes", {"place": 90, "queue": "rest"})
        lead.post("/v1/ticket-routes", {"place": 20, "kind": "repair", "service_mode": "mail_in", "queue": "workshop"})
        lead.post("/v1/ticket-routes", {"place": 10, "priority": "urgent", "territory": "north", "queue": "north"})
        lead.post("/v1/ticket-routes", {"place": 5, "product_kind": "robot", "queue": "robots"})
        lead.post("/v1/ticket-routes", {"place": 1, "queue": "never", "active": False})

        def queue(**fields):
            return desk.open_ticket({**REPAIR, **fields}, now=NOW)["queue"]

        assert queue() == "rest"
        assert queue(service_mode="mail_in") == "workshop"
        assert queue(service_mode="mail_in", priority="urgent") == "north"
        assert queue(serial="BOT-1", priority="urgent") == "robots"
        assert queue(queue="mine") == "mine"
        path = f"/v1/ticket-routes/{wide['route_id']}"
        assert refusal(put, lead, path, {"place": 1, "queue": "x"}, version=7) == (412, "changed-meanwhile")
        assert put(lead, path, {"place": 91, "queue": "others"}, version=1)["queue"] == "others"
        assert queue() == "others"
        delete(lead, path)
        assert queue() is None
        assert refusal(delete, lead, path) == (404, "not-found")
        assert len(list(desk.pages("/v1/ticket-routes"))) == 4


def test_links_and_mergers(api, desk, log_in, sql) -> None:
    anna = log_in("agent")
    owner_id = customer(sql, "Owner", "HD5-1")
    stranger_id = customer(sql, "Stranger", "HD5-2")
    machine = {**REPAIR, "kind": "preventive", "cause": "component:pump", "component": "pump", "evidence": {"p": 0.9}}
    first, second, third = (
        desk.open_ticket(fields, now=NOW) for fields in (machine, REPAIR, {**REPAIR, "tags": ["t"]})
    )
    foreign = desk.open_ticket({**REPAIR, "serial": "HD5-2"}, now=NOW)
    assert (first["customer_id"], foreign["customer_id"]) == (owner_id, stranger_id)

    link = do(desk, second, "links", to_ticket_id=first["ticket_id"], kind="caused_by")
    assert do(desk, second, "links", to_ticket_id=first["ticket_id"], kind="caused_by") == link
    do(desk, second, "links", to_ticket_id=foreign["ticket_id"], kind="related")
    path = f"/v1/tickets/{second['ticket_id']}/links"
    assert len(list(desk.pages(path))) == 2
    partner = sql.execute(
        "INSERT INTO service.provider (code, name, created_at) VALUES ('P', 'Partner', now()) RETURNING provider_id"
    ).fetchone()["provider_id"]
    for ticket in (first, second):
        do(desk, ticket, "assign", provider_id=partner)
    with api.scoped_client("partner_manager", provider_id=partner) as manager:
        assert [one["kind"] for one in manager.pages(path)] == ["caused_by"], "the other one is not theirs to know of"
        assert field_of(do, manager, second, "links", to_ticket_id=foreign["ticket_id"], kind="related") == (
            "body.to_ticket_id"
        )
        assert refusal(manager.get, f"/v1/tickets/{foreign['ticket_id']}") == (404, "not-found")
    assert field_of(do, desk, second, "links", to_ticket_id=second["ticket_id"], kind="related") == "body.to_ticket_id"
    delete(desk, f"/v1/tickets/{first['ticket_id']}/links/{link['link_id']}")
    assert refusal(delete, desk, f"{path}/{link['link_id']}") == (404, "not-found")

    # Into another customer's, into itself, into nothing, with a job.
    assert refusal(do, desk, second, "merge", into=foreign["ticket_id"]) == (409, "other-customer")
    assert field_of(do, desk, second, "merge", into=second["ticket_id"]) == "body.into"
    assert field_of(do, desk, second, "merge", into=999) == "body.into"
    job_id = desk.post("/v1/jobs", {"ticket_id": first["ticket_id"]}, now=NOW)["job_id"]
    assert refusal(do, desk, first, "merge", into=second["ticket_id"]) == (409, "job-open")
    with api.client("dispatcher") as dispatcher:
        dispatcher.post(f"/v1/jobs/{job_id}/cancel", {"reason": "not needed"}, now=NOW)
    do(anna, first, "watchers")
    do(desk, third, "merge", into=first["ticket_id"])
    survivor = do(desk, first, "merge", into=second["ticket_id"], reason="same fault")
    assert (survivor["ticket_id"], survivor["cause"], survivor["tags"]) == (
        second["ticket_id"],
        "component:pump",
        ["t"],
    )
    gone = desk.get(f"/v1/tickets/{first['ticket_id']}")
    assert (gone["state"], gone["merged_into"]) == ("merged", second["ticket_id"])
    assert desk.get(f"/v1/tickets/{third['ticket_id']}")["merged_into"] == second["ticket_id"], "one step to the living"
    assert [w["user_id"] for w in desk.pages(f"/v1/tickets/{second['ticket_id']}/watchers")] == [anna.user_id]
    assert lines(desk, second, "took_over")[-1]["evidence"] == {"p": 0.9}
    assert len(lines(desk, second, "opened")) == 3, "the history of those that went in is read here too"
    # What the machine reports goes on with the survivor.
    again = desk.open_ticket(machine, now=NOW)
    assert (again["created"], again["ticket_id"]) == (False, second["ticket_id"])
    # Final, and never in a circle.
    assert refusal(do, desk, first, "merge", into=second["ticket_id"]) == (409, "ticket-state")
    assert refusal(do, desk, second, "merge", into=first["ticket_id"]) == (409, "merge-target-over")
    assert refusal(do, desk, first, "transitions", to="open") == (409, "ticket-state")


def test_two_mergers_into_one_another_leave_one_alive(api, desk, sql) -> None:
    for _ in range(3):
        a, b = (desk.open_ticket(REPAIR, now=NOW) for _ in range(2))
        gate, answers = Barrier(2), []

        def merge(goes, stays, gate=gate, answers=answers):
            with api.client("agent") as client:
                gate.wait(10)
                try:
                    answers.append(do(client, goes, "merge", into=stays["ticket_id"])["ticket_id"])
                except ProblemError as problem:
                    answers.append(problem.status)

        threads = [Thread(target=merge, args=pair) for pair in ((a, b), (b, a))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert 409 in answers
        states = sorted(desk.get(f"/v1/tickets/{ticket['ticket_id']}")["state"] for ticket in (a, b))
        assert states == ["merged", "open"]


def test_a_customer_opens_sees_confirms_and_reopens(api, desk, sql) -> None:
    mine, theirs = customer(sql, "Mine", "HD5-1"), customer(sql, "Theirs", "HD5-2")
    contact = sql.execute(
        "INSERT INTO service.contact (customer_id, name, created_at) VALUES (%s, 'Eva', now()) RETURNING contact_id",
        (mine,),
    ).fetchone()["contact_id"]
    foreign = desk.open_ticket({**REPAIR, "serial": "HD5-2"}, now=NOW)
    machine = {**REPAIR, "cause": "event:E01", "evidence": {"cost_minor": 5000}, "tags": ["difficult"], "queue": "q"}
    raised = desk.open_ticket(machine, now=NOW)
    with api.scoped_client("customer", customer_id=mine) as me:
        assert field_of(me.open_ticket, {**REPAIR, "serial": "HD5-2"}, now=NOW) == "body.serial"
        assert field_of(me.open_ticket, {**REPAIR, "customer_id": theirs}, now=NOW) == "body.customer_id"
        assert field_of(me.open_ticket, {**REPAIR, "kind": "recall"}, now=NOW) == "body.kind"
        assert field_of(me.open_ticket, {**REPAIR, "cause": "event:E01"}, now=NOW) == "body.cause"
        assert field_of(me.open_ticket, {**REPAIR, "evidence": {"a": 1}}, now=NOW) == "body.evidence"
        asked = me.open_ticket({"kind": "consultation", "title": "Which hose?", "tags": ["x"]}, now=NOW)
        assert (asked["customer_id"], asked["serial"], asked["tags"]) == (mine, None, [])
        ticket = me.open_ticket({**REPAIR, "contact_id": contact, "service_mode": "drop_off"}, now=NOW)
        assert (ticket["customer_id"], ticket["contact_id"]) == (mine, contact)

        shown = me.get(f"/v1/tickets/{raised['ticket_id']}")
        assert (shown["evidence"], shown["cause"], shown["tags"], shown["queue"]) == ({}, "", [], None)
        ids = [raised["ticket_id"], asked["ticket_id"], ticket["ticket_id"]]
        assert [one["ticket_id"] for one in me.pages("/v1/tickets")] == ids
        assert list(me.pages("/v1/tickets", customer_id=theirs)) == []
        assert refusal(me.get, f"/v1/tickets/{foreign['ticket_id']}") == (404, "not-found")
        assert refusal(do, me, foreign, "cancel") == (404, "not-found")
        assert refusal(do, me, ticket, "confirm") == (409, "ticket-state")

        for count in (1, 2):
            do(desk, ticket, "transitions", to="resolved", outcome="other_fault", reason="he is a nuisance")
            reopened = do(me, ticket, "reopen", reason="still leaks")
            assert (reopened["state"], reopened["reopened_count"]) == ("open", count)
        assert field_of(do, me, ticket, "reopen") == "body.reason"
        do(desk, ticket, "transitions", to="resolved")
        assert do(me, ticket, "confirm")["state"] == "closed"
        assert do(me, asked, "cancel")["state"] == "cancelled"
        history = list(me.pages(f"/v1/tickets/{ticket['ticket_id']}/events"))
        assert {line["kind"] for line in history} == {"opened", "state"}
        assert "nuisance" not in str(history)
        assert [one["name"] for one in me.get("/v1/tickets/counts")] == [
            "to_do", "to_claim", "to_review", "overdue", "waiting_customer", "mine",
        ]  # fmt: skip
    assert [one["ticket_id"] for one in desk.pages("/v1/tickets", reopened=True)] == [ticket["ticket_id"]]


def test_work_in_bulk_is_told_line_by_line(desk, log_in) -> None:
    anna = log_in("agent")
    one, two, three = (desk.open_ticket(REPAIR, now=NOW)["ticket_id"] for _ in range(3))
    done = do(desk, {"ticket_id": two}, "cancel")

    def bulk(client=desk, **body):
        report = client.post("/v1/tickets/bulk", body, now=NOW)
        assert report["done"] + report["refused"] == len(report["lines"])
        return [(line["ticket_id"], line["version"] or line["problem"]) for line in report["lines"]]

    over = "/problems/ticket-over"
    assert bulk(ids=[three, two, one, 999], action="assign", arguments={"queue": "q"}) == [
        (three, 2), (two, over), (one, 2), (999, "/problems/not-found"),
    ]  # fmt: skip
    assert bulk(ids=[one, three], action="tag", arguments={"tags": ["a", "b"]}, versions={one: 1, three: 2}) == [
        (one, "/problems/changed-meanwhile"), (three, 3),
    ]  # fmt: skip
    assert bulk(ids=[three], action="untag", arguments={"tags": ["a"]}) == [(three, 4)]
    assert desk.get(f"/v1/tickets/{three}")["tags"] == ["b"]
    assert bulk(anna, ids=[one, two], action="claim") == [(one, 3), (two, over)]
    assert bulk(anna, filter="mine", action="change", arguments={"priority": "urgent"}) == [(one, 4)]
    assert bulk(anna, ids=[one], action="release", arguments={"reason": "lunch"}) == [(one, 5)]
    assert bulk(ids=[one, three], action="transition", arguments={"to": "resolved", "outcome": "confirmed"}) == [
        (one, 6), (three, 5),
    ]  # fmt: skip
    assert desk.get(f"/v1/tickets/{two}")["version"] == done["version"]
    for body, field in (
        ({"ids": [one], "action": "transition", "arguments": {"to": "gone"}}, "body.arguments.to"),
        ({"ids": [one], "action": "claim", "arguments": {"x": 1}}, "body.arguments.x"),
        ({"ids": [], "action": "claim"}, "body.ids"),
        ({"ids": [one], "filter": "mine", "action": "claim"}, "body"),
        ({"filter": "unheard-of", "action": "claim"}, "body.filter"),
    ):
        assert field_of(desk.post, "/v1/tickets/bulk", body, now=NOW) == field, body
