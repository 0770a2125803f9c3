"""The days on which nodes are expected, and other arithmetic of repairs."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader

from api.repairs.label import label_pdf
from api.repairs.rules import (
    DEFAULT_DAYS,
    LATEST_DAY,
    LOAN,
    NODE_OF_STATE,
    NODES,
    REPAIR,
    TICKET_FOLLOWS,
    Node,
    Way,
    add_business_days,
    delayed,
    done,
    label_number,
    labour_cost,
    loaner_cost,
    monday_to_friday,
    needs_quote,
    next_node,
    nodes_ahead,
    replanned,
)
from api.tickets.rules import STATES as TICKET_STATES

MONDAY = date(2026, 7, 6)
AT = datetime(2026, 7, 6, 9, tzinfo=UTC)
DAYS = st.dates(date(2000, 1, 1), date(2100, 1, 1))


def test_business_days_are_counted_over_weekends_and_holidays():
    assert add_business_days(MONDAY, 0, monday_to_friday) == MONDAY
    assert add_business_days(MONDAY, 5, monday_to_friday) == MONDAY + timedelta(days=7)
    saturday = MONDAY + timedelta(days=5)
    assert add_business_days(saturday, 0, monday_to_friday) == MONDAY + timedelta(days=7)
    # Before a business day is over nobody can have worked on it: counted from the next one.
    assert add_business_days(saturday, 1, monday_to_friday) == MONDAY + timedelta(days=8)
    assert add_business_days(MONDAY, 1, lambda day: monday_to_friday(day) and day.day != 7) == MONDAY + timedelta(
        days=2
    )
    # A calendar that is never open, and the end of all days, do not hang.
    assert add_business_days(MONDAY, 3, lambda _: False) > MONDAY
    assert add_business_days(LATEST_DAY - timedelta(days=2), 250, monday_to_friday) == LATEST_DAY


@given(DAYS, st.integers(0, 60), st.integers(0, 60))
def test_business_days_add_up(day, first, second):
    both = add_business_days(day, first + second, monday_to_friday)
    assert add_business_days(add_business_days(day, first, monday_to_friday), second, monday_to_friday) == both
    assert monday_to_friday(both)


def test_what_goes_faster_does_not_move_a_promise_what_takes_longer_does():
    way = Way("label", "mail_in", quoted=False)
    plan = replanned([], nodes_ahead(way), {}, MONDAY, monday_to_friday)
    assert [node.name for node in plan] == [
        "received", "diagnosed", "repaired", "tested", "shipped", "delivered", "closed",
    ]  # fmt: skip
    promised = {node.name: node.expected_on for node in plan}
    assert promised["received"] == add_business_days(MONDAY, DEFAULT_DAYS["received"], monday_to_friday)
    early = replanned(
        done(plan, "received", AT, MONDAY), nodes_ahead(Way("received", "mail_in", quoted=False)), {},
        MONDAY, monday_to_friday,
    )  # fmt: skip
    assert {node.name: node.expected_on for node in early} == promised
    late_day = promised["received"] + timedelta(days=14)
    late = replanned(
        done(plan, "received", AT, late_day), nodes_ahead(Way("received", "mail_in", quoted=False)), {},
        late_day, monday_to_friday,
    )  # fmt: skip
    for node in late[1:]:
        assert node.expected_on > promised[node.name] == node.first_expected_on
    # A part that comes in four weeks moves all that follows it.
    part = date(2026, 8, 31)
    waiting = replanned(
        early, nodes_ahead(Way("waiting_parts", "mail_in", quoted=False)), {}, MONDAY, monday_to_friday,
        not_before={"parts": part},
    )  # fmt: skip
    assert next(node for node in waiting if node.name == "parts").expected_on == part
    assert next(node for node in waiting if node.name == "repaired").expected_on == date(2026, 9, 3)
    # A failed test: it is repaired again, and tested after that.
    tested = done(done(early, "repaired", AT, MONDAY), "tested", AT, MONDAY)
    again = replanned(tested, nodes_ahead(Way("in_repair", "mail_in", quoted=False)), {}, MONDAY, monday_to_friday)
    assert [node.name for node in again if node.done_at is None][:2] == ["repaired", "tested"]


WAYS = st.builds(
    Way,
    st.sampled_from([state for state in REPAIR.states if state not in REPAIR.final]),
    st.sampled_from(["mail_in", "drop_off"]),
    st.booleans(),
)


@given(WAYS, st.dictionaries(st.sampled_from(NODES), st.integers(0, 30)), DAYS, st.integers(1, 40))
def test_days_are_in_order_and_a_delay_moves_every_one_by_the_same(way, days, today, more):
    ahead = nodes_ahead(way)
    assert len(set(ahead)) == len(ahead)
    assert (way.mode == "drop_off") <= ("shipped" not in ahead)
    plan = replanned([], ahead, days, today, monday_to_friday)
    expected = [node.expected_on for node in plan]
    assert expected == sorted(expected)
    later = delayed(plan, more, monday_to_friday)
    for before, after in zip(plan, later, strict=True):
        assert after.expected_on == add_business_days(before.expected_on, more, monday_to_friday)
        assert after.first_expected_on == before.first_expected_on
    # Planning the same again changes nothing.
    assert replanned(plan, ahead, days, today, monday_to_friday) == plan


def test_nodes_that_no_longer_lie_ahead_are_left_out():
    plan = replanned([], nodes_ahead(Way("quoted", "mail_in", quoted=True)), {}, MONDAY, monday_to_friday)
    plan = done(plan, "received", AT, MONDAY)
    declined = replanned(plan, nodes_ahead(Way("declined", "mail_in", quoted=True)), {}, MONDAY, monday_to_friday)
    assert [node.name for node in declined] == ["received", "returned_unrepaired", "closed"]
    assert next_node(declined) == declined[1]
    assert next_node([Node("closed", MONDAY, MONDAY, AT)]) is None


def test_every_state_has_its_ticket_and_its_words():
    from api.repairs import texts

    assert set(TICKET_FOLLOWS) == set(REPAIR.states) - {"quoted"}
    assert set(TICKET_FOLLOWS.values()) <= set(TICKET_STATES)
    assert set(NODE_OF_STATE) <= set(REPAIR.states)
    for state in REPAIR.states:
        repair = {"repair_id": 7, "ticket_id": 3, "serial": "K5", "state": state}
        plan = replanned([], nodes_ahead(Way(state, "mail_in", quoted=True)), {}, MONDAY, monday_to_friday)
        message = texts.moved_message(repair, plan, "Parcel: P-1.")
        assert "Parcel: P-1." in message.body
        assert ("(next)" in message.body) == any(node.name != "closed" for node in plan)
    assert LOAN.next_state("overdue", "extend") == "lent"


@pytest.mark.parametrize(("bearer", "central", "needed"), [
    ("maker", False, False), ("customer", False, True), ("shared", False, True), ("customer", True, False),
])  # fmt: skip
def test_who_pays_nothing_needs_no_quote(bearer, central, needed):
    assert needs_quote(bearer, central=central) is needed


@given(st.integers(1, 99_999_998), st.integers(0, 7), st.integers(1, 9))
def test_a_misread_label_is_no_other_repairs(repair_id, place, change):
    number = label_number(repair_id)
    digits = [int(digit) for digit in f"{repair_id:08d}"]
    digits[place] = (digits[place] + change) % 10
    other = int("".join(map(str, digits)))
    assert label_number(other)[-1] != number[-1]


def test_costs_are_rounded_once():
    assert labour_cost(50, 7_000) == 5_833
    assert labour_cost(1, 30) == 1
    assert loaner_cost(AT, AT + timedelta(hours=1), 500) == 500
    assert loaner_cost(AT, AT + timedelta(days=3, seconds=1), 500) == 2_000


def test_the_label_holds_what_the_carrier_and_we_need(tmp_path):
    repair = {"repair_id": 12, "ticket_id": 4, "serial": "K5-1"}
    content = label_pdf(repair, label_number(12), ["Werkstatt Süd", "Hauptstr. 1", "漢字"])
    assert content == label_pdf(repair, label_number(12), ["Werkstatt Süd", "Hauptstr. 1", "漢字"])
    path = tmp_path / "label.pdf"
    path.write_bytes(content)
    text = PdfReader(path).pages[0].extract_text()
    for said in ("Repair 12", "Werkstatt Süd", "Machine: K5-1", "Case: 4", label_number(12)):
        assert said in text
