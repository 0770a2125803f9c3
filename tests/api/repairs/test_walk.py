"""The table of repairs walked pair by pair over HTTP, in one database."""

from api.repairs.rules import REPAIR

TO_DIAGNOSED = ("receive", "diagnose")
TO_ACCEPTED = (*TO_DIAGNOSED, "quote", "accept")
TO_DECLINED = (*TO_DIAGNOSED, "quote", "decline")
# Together they make every move that the table has; the first is a repair as most are.
WALKS = (
    (*TO_ACCEPTED, "order_parts", "order_parts", "start", "finish", "fail_test", "finish", "pass_test", "ship",
     "deliver", "close"),
    (*TO_DECLINED, "quote", "decline", "return_unrepaired", "close"),
    (*TO_DECLINED, "scrap", "close"),
    ("cancel",),
    ("receive", "return_unrepaired"),
    ("receive", "scrap"),
    (*TO_DIAGNOSED, "return_unrepaired"),
    (*TO_DIAGNOSED, "scrap"),
    (*TO_ACCEPTED, "exchange", "ship"),
    (*TO_ACCEPTED, "return_unrepaired"),
    (*TO_ACCEPTED, "scrap"),
    (*TO_ACCEPTED, "start", "order_parts", "exchange", "hand_over"),
    (*TO_ACCEPTED, "order_parts", "return_unrepaired"),
    (*TO_ACCEPTED, "order_parts", "scrap"),
    (*TO_ACCEPTED, "start", "exchange"),
    (*TO_ACCEPTED, "start", "return_unrepaired"),
    (*TO_ACCEPTED, "start", "scrap"),
    (*TO_ACCEPTED, "start", "finish", "pass_test", "hand_over"),
)  # fmt: skip
# Without a quote only where the customer pays nothing.
IN_WARRANTY = ((*TO_DIAGNOSED, "order_parts"), (*TO_DIAGNOSED, "start"), (*TO_DIAGNOSED, "exchange"))
# Under which path an action is called, where it has another name.
PATHS = {"order_parts": "parts", "return_unrepaired": "return", "hand_over": "hand-over"}


def _do(bench, repair, action):
    if action in {"accept", "decline"}:
        return bench.decide(repair, action)
    if action in {"pass_test", "fail_test"}:
        return bench.test(repair, passed=action == "pass_test")
    return bench.act(repair, PATHS.get(action, action))


def _refused_in(bench, refusal, repair):
    """Whatever the table does not have is refused and changes nothing."""
    state = repair["state"]
    # The customer's answer is given to the quote, which has a table of its own.
    actions = [action for action in REPAIR.actions if action not in {"accept", "decline"}]
    for action in actions:
        if REPAIR.next_state(state, action) is None:
            refused = refusal(_do, bench, repair, action)
            assert (state, action, refused.status, refused.type) == (state, action, 409, "/problems/repair-state")
            assert refused.problem["allowed"] == REPAIR.actions_of(state)
    if state == "diagnosed":
        for action in ("order_parts", "start", "exchange"):
            assert refusal(_do, bench, repair, action).type == "/problems/quote-needed"
    assert bench.get(repair) == repair


def test_every_action_in_every_state(bench, refusal):
    seen, made = set(), set()
    for walk in (*WALKS, *IN_WARRANTY):
        repair = bench.repair("K5-NEW" if walk in IN_WARRANTY else bench.machine())
        for action in (*walk, None):
            if repair["state"] not in seen:
                seen.add(repair["state"])
                _refused_in(bench, refusal, repair)
            if action is None:
                continue
            made.add((repair["state"], action))
            to = REPAIR.next_state(repair["state"], action)
            repair = _do(bench, repair, action)
            assert repair["state"] == to
    assert seen == set(REPAIR.states)
    assert made == {(state, action) for state in REPAIR.states for action in REPAIR.actions_of(state)}


def test_the_answer_to_a_newer_quote_of_the_desk_counts(bench, now):
    for action, state in (("accept", "accepted"), ("decline", "declined")):
        repair = bench.act(bench.act(bench.act(bench.repair(bench.machine()), "receive"), "diagnose"), "quote")
        body = {"lines": [{"kind": "fee", "code": "less", "amount_minor": 100}]}
        draft = bench.agent.post(f"/v1/tickets/{repair['ticket_id']}/quotes", body, now=now)
        bench.agent.post(f"/v1/quotes/{draft['quote_id']}/send", {}, now=now)
        assert bench.get(repair)["state"] == "quoted"
        decided = bench.decide({**repair, "quote_id": draft["quote_id"]}, action)
        assert (decided["state"], decided["quote_id"]) == (state, draft["quote_id"])
        assert bench.agent.get(f"/v1/tickets/{repair['ticket_id']}")["state"] == "in_progress"
