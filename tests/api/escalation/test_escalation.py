"""A business customer's repair under a service level that trips: step by step until somebody decides."""

from itertools import product

import pytest

from api.escalation.rules import ESCALATION
from careloop.database.engine import connect
from tests.api.sla.test_sla import Desk, after, refused

LADDER = {
    "name": "repairs",
    "kinds": ["repair"],
    "steps": [
        {"on": "warning", "clock": "solution", "role": "agent"},
        {"on": "breach", "role": "desk_lead", "raise_priority": True, "queue": "second-line"},
        {"on": "breach", "after_minutes": 120, "role": "admin", "tell_provider": True},
        {"on": "reopened", "reopened_count": 1, "role": "engineer"},
    ],
}


@pytest.fixture
def desk(api) -> Desk:
    with connect(api.database_url) as connection:
        connection.execute(
            "INSERT INTO service.alert_target (name, kind, url, topics, created_at) VALUES"
            " ('log', 'apprise', 'careloop-log://', '{sla.warning,sla.breached,ticket.escalated}', now())"
        )
    made = Desk(api)
    made.promise("repairs", kinds=["repair"], first_response_minutes=None)
    made.client.post("/v1/escalation-ladders", LADDER)
    return made


def alerts(desk: Desk) -> list[str]:
    return [row["subject"] for row in desk.rows("SELECT subject FROM service.alert ORDER BY alert_id")]


def test_steps_go_on_until_somebody_decides(desk) -> None:
    case = desk.open()
    assert desk.run(799)["escalations"] == 0
    # 80 % gone: a warning, and the first step; looking again does nothing.
    assert desk.run(801)["escalations"] == 2
    assert desk.run(801)["escalations"] == 0
    (open_one,) = desk.client.get("/v1/escalations", state="open", role="agent")["items"]
    assert (open_one["ticket_id"], open_one["cause"], open_one["steps_gone"]) == (case, "clock:solution", 1)
    assert open_one["next_at"] is None
    # The target has passed: more urgent, in another queue, for the desk lead.
    desk.run(1001)
    ticket = desk.client.get(f"/v1/tickets/{case}")
    assert (ticket["priority"], ticket["queue"]) == ("high", "second-line")
    (open_one,) = desk.client.get("/v1/escalations", state="open", role="desk_lead")["items"]
    assert open_one["steps_gone"] == 2
    path = f"/v1/escalations/{open_one['escalation_id']}"
    decision = {"decision": "compensate", "text": "A free service."}
    with desk.api.client("agent") as agent:
        assert refused(agent.post, f"{path}/decide", decision).type == "/problems/not-named"
    # Two hours later nobody has decided.
    assert desk.run(1119)["escalations"] == 0
    assert desk.run(1121)["escalations"] == 1
    assert desk.client.get(path)["role"] == "admin"
    decided = desk.client.post(f"{path}/decide", decision, now=after(1130))
    assert (decided["state"], decided["decided_by"], decided["next_at"]) == ("decided", "test-desk_lead", None)
    assert [step["done"] for step in decided["gone"]] == [[], ["priority high", "queue second-line"], []]
    assert refused(desk.client.post, f"{path}/decide", decision).type == "/problems/escalation-state"
    assert desk.run(5000)["escalations"] == 0
    assert alerts(desk) == [
        f"Case {case}: solution is due soon",
        f"Case {case} is escalated to agent",
        f"Case {case}: solution is overdue",
        f"Case {case} is escalated to desk_lead",
        f"Case {case} is escalated to admin",
    ]
    history = [event["kind"] for event in desk.client.get(f"/v1/tickets/{case}/events")["items"]]
    kinds = ("sla_warning", "sla_breached", "escalated", "escalation_decided")
    assert [history.count(kind) for kind in kinds] == [1, 1, 3, 1]
    changes = desk.rows("SELECT from_state, to_state FROM service.change WHERE thing = 'escalation' ORDER BY change_id")
    assert [(row["from_state"], row["to_state"]) for row in changes] == [(None, "open"), ("open", "decided")]


def test_what_ends_well_needs_no_decision_and_what_comes_back_does(desk) -> None:
    case = desk.open()
    desk.run(801)
    # While it waits for the customer no step is gone; solved in time, there is nothing to decide.
    desk.move(case, "waiting_customer", 810)
    assert desk.run(3000)["escalations"] == 0
    desk.move(case, "open", 3000)
    desk.move(case, "resolved", 3010)
    assert desk.run(3011)["escalations"] == 1
    (lapsed,) = desk.client.get("/v1/escalations", ticket_id=case)["items"]
    assert lapsed["state"] == "lapsed"
    # It comes back: an escalation of its own, once.
    desk.move(case, "open", 3100)
    assert desk.run(3101)["escalations"] == 2
    assert desk.run(3102)["escalations"] == 0
    (returned,) = desk.client.get("/v1/escalations", role="engineer", state="open")["items"]
    assert (returned["cause"], returned["steps_gone"]) == ("reopened:1", 1)
    with desk.api.client("engineer") as engineer:
        body = {"decision": "other", "text": "Wrong seal; recall the batch."}
        engineer.post(f"/v1/escalations/{returned['escalation_id']}/decide", body, now=after(3110))
    # Solved late: no further step, but somebody must still decide.
    other = desk.open(minute=4000)
    desk.run(5001)
    desk.move(other, "resolved", 5010)
    desk.run(5011)
    assert desk.run(9000)["escalations"] == 0
    (waiting,) = desk.client.get("/v1/escalations", ticket_id=other, state="open")["items"]
    assert (waiting["steps_gone"], waiting["next_at"]) == (2, None)


def test_every_state_allows_over_http_what_the_table_says(desk, at_once) -> None:
    cases = [desk.open(), desk.open(), desk.open()]
    desk.run(801)
    desk.move(cases[2], "resolved", 802)
    desk.run(803)
    numbers = {
        item["ticket_id"]: item["escalation_id"] for item in desk.client.get("/v1/escalations", limit=3)["items"]
    }
    body = {"decision": "accept", "text": "So be it."}
    desk.client.post(f"/v1/escalations/{numbers[cases[1]]}/decide", body)
    for (case, state), action in product(zip(cases, ("open", "decided", "lapsed"), strict=True), ["decide"]):
        assert desk.client.get(f"/v1/escalations/{numbers[case]}")["state"] == state
        if ESCALATION.next_state(state, action) is None:
            problem = refused(desk.client.post, f"/v1/escalations/{numbers[case]}/{action}", body)
            assert (problem.type, problem.problem["state"]) == ("/problems/escalation-state", state)
        else:
            path = f"/v1/escalations/{numbers[case]}/{action}"
            with desk.api.client("desk_lead") as lead:
                answers = at_once(lambda _, at: lead.post(at, body), [path, path])
            assert sorted("state" in answer if isinstance(answer, dict) else False for answer in answers) == [
                False,
                True,
            ]


def test_ladders(desk) -> None:
    (ladder,) = desk.client.get("/v1/escalation-ladders")["items"]
    path = f"/v1/escalation-ladders/{ladder['ladder_id']}"
    changed = desk.client.patch(path, {"active": False}, version=1)
    assert (changed["active"], len(changed["steps"])) == (False, 4)
    assert desk.client.patch(path, {"steps": LADDER["steps"][:1]}, version=2)["steps"][0]["role"] == "agent"
    assert refused(desk.client.patch, path, {"place": 1}, version=1).status == 412
    assert refused(desk.client.post, "/v1/escalation-ladders", LADDER).type == "/problems/name-taken"
    unknown = {**LADDER, "name": "x", "steps": [{"on": "breach", "user_id": 99}]}
    assert (
        refused(desk.client.post, "/v1/escalation-ladders", unknown).problem["errors"][0]["field"]
        == "body.steps.0.user_id"
    )
    desk.open()
    assert desk.run(1001)["escalations"] == 1


def test_the_duty_and_the_desk_at_once_wait_for_one_another_in_no_circle(desk, at_once) -> None:
    """Both lock the case first, then its clocks, then its escalations: nothing is refused for want of a lock."""
    cases = [desk.open() for _ in range(6)]
    desk.run(801)

    def work(client, job) -> dict:
        what, case = job
        if what == "duty":
            return client.post("/v1/duties/run", {}, now=after(1001))
        if what == "say":
            return client.post(f"/v1/tickets/{case}/messages", {"body": "Soon."}, now=after(1001))
        return client.post(f"/v1/tickets/{case}/transitions", {"to": what}, now=after(1001))

    jobs = [("duty", 0), *((what, case) for case in cases for what in ("say", "in_progress"))]
    answers = at_once(work, jobs)
    assert [answer for answer in answers if not isinstance(answer, dict)] == []
    desk.run(1002)
    rows = desk.rows("SELECT count(*) AS steps FROM service.escalation_step")
    assert rows == [{"steps": 2 * len(cases)}]


def test_somebody_opens_one_by_hand_and_it_waits_for_a_decision(desk, at_once) -> None:
    case = desk.open()
    path = f"/v1/tickets/{case}/escalations"
    with desk.api.client("agent") as agent:
        made = agent.post(path, {"reason": "They call the press."}, now=after(10))
        names = ("cause", "state", "role", "ladder", "steps", "next_at", "opened_by", "opened_because")
        assert [made[name] for name in names] == [
            "by_hand:1", "open", "desk_lead", None, [], None, "test-agent", "They call the press.",
        ]  # fmt: skip
        # While it is open there is no other, whoever asks; the reason is kept.
        again = agent.post(path, {"role": "admin", "reason": "They call again."}, now=after(20))
        assert (again["escalation_id"], again["role"]) == (made["escalation_id"], "desk_lead")
        decide = f"/v1/escalations/{made['escalation_id']}/decide"
        decision = {"decision": "compensate", "text": "A free service."}
        assert refused(agent.post, decide, decision).type == "/problems/not-named"
        for wrong in ({"reason": ""}, {"reason": "x", "role": "customer"}):
            assert refused(agent.post, path, wrong).status == 422
        assert refused(agent.post, "/v1/tickets/999/escalations", {"reason": "x"}).status == 404
    # No clock ends it, and it goes no step.
    assert desk.run(799)["escalations"] == 0
    assert desk.client.post(decide, decision, now=after(800))["state"] == "decided"
    # Decided, there may be another; many at once make one.
    answers = at_once(lambda client, at: client.post(at, {"role": "engineer", "reason": "Again."}), [path] * 4)
    assert {(answer["cause"], answer["role"]) for answer in answers} == {("by_hand:2", "engineer")}
    history = [event["kind"] for event in desk.client.get(f"/v1/tickets/{case}/events")["items"]]
    assert [history.count(kind) for kind in ("escalated", "escalation_urged")] == [2, 4]
    assert alerts(desk) == [f"Case {case} is escalated to desk_lead", f"Case {case} is escalated to engineer"]
    desk.move(case, "resolved", 900)
    assert refused(desk.client.post, path, {"reason": "x"}).type == "/problems/ticket-state"
