"""A month of a partner: drafted, blocked and freed, disputed, corrected, closed, paid; and what others see of it."""

import io
import json
from datetime import datetime

import psycopg
import pytest
from joserfc import jws
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet
from openpyxl import load_workbook

from careloop.client import ProblemError
from tests.api.settlement.conftest import AFTER_MONTH, COUNTRIES, RULES, Finance

# Visit 3 of the first partner by the rules of conftest.py: 23 min, 23.757 km, 4 pumps, not in warranty, first time.
VISIT_3 = {"labour": 1751, "travel": 1150, "parts": 1667, "reward": 501}


@pytest.fixture
def month(finance: Finance) -> Finance:
    """Fifteen visits, five of each partner; the second partner has no card."""
    finance.card("DE", "EUR")
    finance.card("JP", "JPY")
    finance.visits(1, 15)
    return finance


def test_a_line_tells_its_rule_and_its_quantity(month: Finance):
    assert month.run() == {"settled": 10, "blocked": 5, "entries": 0}
    statement = month.statement(1)
    assert (statement["currency"], statement["state"], statement["month"]) == ("EUR", "draft", "2026-10")
    lines = {line["kind"]: line for line in month.lines(statement["statement_id"]) if line["visit_id"] == 3}
    assert {kind: line["amount_minor"] for kind, line in lines.items()} == VISIT_3
    labour = lines["labour"]
    assert (labour["quantity"], labour["unit"], labour["price_minor"], labour["price_per"]) == (23, "minute", 4567, 60)
    assert (labour["on_day"], labour["code"], labour["ticket_id"]) == ("2026-10-05", "work", 3)
    card = month.get("partner", f"/rate-cards/{labour['rate_card_id']}")
    assert labour["rate_card_line_id"] in {rule["rate_card_line_id"] for rule in card["lines"]}
    assert (lines["parts"]["subject"], lines["parts"]["quantity"]) == ("PUMP", 4 * 3334)
    assert statement["total_minor"] == sum(line["amount_minor"] for line in month.lines(statement["statement_id"]))

    blocked = month.get("desk_lead", "/visits?state=blocked")["items"]
    assert {one["reason"] for one in blocked} == {"no-rate-card"}
    assert {one["provider_id"] for one in blocked} == {2}
    # A card comes: an hour later, or when the month is closed, they are looked at again.
    month.card("CN", "CNY")
    month.now = "2026-10-20T09:00:00Z"
    assert month.run()["settled"] == 5
    assert month.run() == {"settled": 0, "blocked": 0, "entries": 0}


def test_what_stands_in_the_way_is_told_and_comes_with_the_next_month(month: Finance):
    with month.owner() as owner:
        owner.execute("UPDATE service.completion_check SET state = 'manual' WHERE visit_id = 3")
        owner.execute("UPDATE service.completion_check SET state = 'rejected' WHERE visit_id = 6")
        owner.execute(
            "INSERT INTO service.old_part (old_part_id, visit_id, asset_id, part_id, quantity, provider_id, rule,"
            " rule_reason, taken_out_at, due_by)"
            " SELECT visit_part_id, visit_id, 1, 1, 1, 1, 'return', 'test', '2026-10-02Z',"
            " CASE visit_id WHEN 9 THEN timestamptz '2026-10-15Z' ELSE '2026-10-25Z' END"
            " FROM service.visit_part WHERE visit_id IN (9, 12)"
        )
    month.run()
    statement_id = month.statement(1)["statement_id"]
    blocked = {one["visit_id"]: one for one in month.get("partner", "/visits?state=blocked")["items"]}
    assert {number: one["reason"] for number, one in blocked.items()} == {
        3: "audit-manual", 6: "audit-rejected", 9: "old-parts-overdue"
    }  # fmt: skip
    assert blocked[3]["expected_minor"] == sum(VISIT_3.values())
    assert "overdue; send them back" in blocked[9]["detail"]
    assert {line["visit_id"] for line in month.lines(statement_id)} == {12, 15}

    # Somebody accepts visit 3; the old part of visit 12 falls overdue before the month ends.
    month.now = "2026-10-21T08:00:00Z"
    with month.owner() as owner:
        owner.execute(
            "UPDATE service.completion_check SET state = 'accepted', decision = 'accepted', decided_at = now()"
            " WHERE visit_id = 3"
        )
    assert month.run()["settled"] == 1
    month.now = AFTER_MONTH
    period = month.post("service", "/periods/2026-10/close")
    assert period["blocked_visits"] == 3 + 5
    assert {line["visit_id"] for line in month.lines(statement_id)} == {3, 15}
    assert month.statement(1)["state"] == "issued"

    # The parts come back: both visits are paid in November, whose day stays October's.
    with month.owner() as owner:
        owner.execute("UPDATE service.old_part SET state = 'received'")
    assert month.run()["settled"] == 2
    november = month.statement(1, "2026-11")
    assert {(line["visit_id"], line["on_day"][:7]) for line in month.lines(november["statement_id"])} == {
        (9, "2026-10"), (12, "2026-10")
    }  # fmt: skip


def test_a_closed_month_stays_and_is_corrected_in_the_open_one(month: Finance):
    month.run()
    assert month.refused("service", "POST", "/periods/2026-10/close") == (409, "period-not-over")
    month.now = AFTER_MONTH
    month.post("service", "/periods/2026-10/close")
    assert month.refused("service", "POST", "/periods/2026-10/close") == (409, "period-closed")
    before = month.statement(1)
    lines = month.lines(before["statement_id"])
    insert = (
        "INSERT INTO service.statement_line (statement_id, source, kind, on_day, code, description, quantity, unit,"
        " price_minor, price_per, amount_minor, created_at, created_by) VALUES (%s, 'adjustment', 'correction',"
        " '2026-10-01', 'x', 'x', 1, 'flat', 5, 1, 5, now(), 'x')"
    )
    with month.owner() as owner:
        for attempt in (
            "UPDATE service.statement_line SET amount_minor = 1, price_minor = 1, quantity = 1, price_per = 1",
            "DELETE FROM service.statement_line",
            "UPDATE service.statement SET total_minor = 0",
            "UPDATE service.statement SET closed_at = NULL",
            "DELETE FROM service.statement",
        ):
            with pytest.raises(psycopg.errors.CheckViolation):
                owner.execute(attempt)
        with pytest.raises(psycopg.errors.CheckViolation):
            owner.execute(insert, [before["statement_id"]])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            owner.execute("DELETE FROM service.settlement_period")

    labour = next(line for line in lines if line["kind"] == "labour")
    correction = month.post("desk_lead", f"/lines/{labour['statement_line_id']}/correct", {
        "amount_minor": -250, "reason": "ten minutes too many"
    })  # fmt: skip
    assert correction["of_line_id"] == labour["statement_line_id"]
    assert (correction["visit_id"], correction["amount_minor"]) == (labour["visit_id"], -250)
    november = month.statement(1, "2026-11")
    assert (november["statement_id"], november["total_minor"]) == (correction["statement_id"], -250)
    assert month.statement(1) == before
    assert month.lines(before["statement_id"]) == lines
    adjusted = month.post("desk_lead", "/adjustments", {
        "provider_id": 1, "currency": "EUR", "amount_minor": 1000, "reason": "training"
    })  # fmt: skip
    assert (adjusted["statement_id"], adjusted["of_line_id"]) == (november["statement_id"], None)
    assert month.statement(1, "2026-11")["total_minor"] == 750
    visit = month.get("desk_lead", f"/visits/{labour['visit_id']}")
    assert correction["statement_line_id"] in {line["statement_line_id"] for line in visit["lines"]}


def test_a_partner_disputes_agrees_and_is_paid(month: Finance):
    month.run()
    statement_id = month.statement(1)["statement_id"]
    first, second, *_ = month.lines(statement_id)
    path = f"/statements/{statement_id}"
    dispute = {"reason": "It took an hour", "wanted_minor": first["amount_minor"] + 99}
    assert month.refused("partner", "POST", f"/lines/{first['statement_line_id']}/dispute", dispute) == (
        409, "statement-state"
    )  # fmt: skip
    assert month.refused("desk_lead", "POST", f"{path}/pay", {"paid_at": month.now, "reference": "x"})[0] == 409
    issued = month.post("desk_lead", f"{path}/issue")
    assert (
        month.rows("SELECT count(*) AS n FROM service.change WHERE thing = 'statement' AND to_state = 'issued'")[0]["n"]
        == 1
    )

    opened = month.post("partner", f"/lines/{first['statement_line_id']}/dispute", dispute)
    assert month.refused("partner", "POST", f"/lines/{first['statement_line_id']}/dispute", dispute) == (
        409, "line-disputed"
    )  # fmt: skip
    other = month.post("partner", f"/lines/{second['statement_line_id']}/dispute", {"reason": "Further away"})
    assert month.statement(1)["state"] == "disputed"
    assert month.refused("partner", "POST", f"{path}/agree", **{"If-Match": '"1"'}) == (409, "statement-state")
    talk = f"/disputes/{opened['dispute_id']}"
    month.post("desk_lead", f"{talk}/messages", {"body": "Do you have a photo of the clock?"})
    said = month.post("partner", f"{talk}/messages", {"body": "It is with the report."})
    assert [(one["side"], one["body"]) for one in said["messages"]] == [
        ("staff", "Do you have a photo of the clock?"), ("partner", "It is with the report.")
    ]  # fmt: skip

    accepted = month.post("desk_lead", f"{talk}/accept", {"resolution": "The photo shows it"})
    lines = {line["statement_line_id"]: line for line in month.lines(statement_id)}
    made = lines[accepted["correction_line_id"]]
    assert (made["amount_minor"], made["of_line_id"], made["source"]) == (99, first["statement_line_id"], "adjustment")
    assert month.statement(1)["state"] == "disputed"
    assert month.refused("partner", "POST", f"{talk}/messages", {"body": "Thanks"}) == (409, "dispute-state")
    month.post("desk_lead", f"/disputes/{other['dispute_id']}/reject", {"resolution": "By the position it is 24 km"})
    seen = month.statement(1, role="partner")
    assert (seen["state"], seen["total_minor"]) == ("issued", issued["total_minor"] + 99)

    assert month.refused("partner", "POST", f"{path}/agree", **{"If-Match": f'"{issued["version"]}"'})[0] == 412
    agreed = month.post("partner", f"{path}/agree", **{"If-Match": f'"{seen["version"]}"'})
    assert agreed["agreed_by"] == "test-partner_manager"
    late = {"paid_at": "2026-10-21T00:00:00Z", "reference": "SEPA-1"}
    assert month.refused("service", "POST", f"{path}/pay", late) == (422, "bad-field")
    paid = month.post("service", f"{path}/pay", {**late, "paid_at": "2026-10-20T07:00:00Z"})
    assert (paid["state"], paid["payment_reference"], paid["paid_at"]) == ("paid", "SEPA-1", "2026-10-20T07:00:00Z")
    # What is corrected now comes with the next statement, although the month is still open.
    corrected = month.post("desk_lead", f"/lines/{second['statement_line_id']}/correct", {
        "amount_minor": 1, "reason": "a cent"
    })  # fmt: skip
    assert corrected["statement_id"] == month.statement(1, "2026-11")["statement_id"]


def test_the_parts_account_is_netted_and_cleared_by_the_payment(month: Finance):
    with month.owner() as owner:
        account = owner.execute(
            "INSERT INTO service.partner_account (provider_id, currency, opened_at) VALUES (1, 'EUR', '2026-10-01Z')"
            " RETURNING partner_account_id"
        ).fetchone()["partner_account_id"]
        for number, kind, amount in ((1, "charge", 9000), (2, "credit", -2500)):
            owner.execute(
                "INSERT INTO service.partner_entry (partner_account_id, kind, amount_minor, balance_minor, cause_kind,"
                " cause_key, part_id, quantity, at) VALUES (%s, %s, %s, 0, 'transfer', %s, 1, 3, '2026-10-09Z')",
                (account, kind, amount, str(number)),
            )
    assert month.run()["entries"] == 2
    statement = month.statement(1)
    netted = {
        line["kind"]: line for line in month.lines(statement["statement_id"]) if line["source"] == "parts_account"
    }
    assert {kind: line["amount_minor"] for kind, line in netted.items()} == {
        "parts_charge": -9000,
        "parts_credit": 2500,
    }
    assert netted["parts_charge"]["description"] == "Parts account, charge, 3 × PUMP: transfer 1"
    assert month.run() == {"settled": 0, "blocked": 0, "entries": 0}
    path = f"/statements/{statement['statement_id']}"
    month.post("desk_lead", f"{path}/issue")
    version = month.statement(1)["version"]
    month.post("partner", f"{path}/agree", **{"If-Match": f'"{version}"'})
    assert month.rows("SELECT balance_minor FROM service.partner_account")[0]["balance_minor"] == 6500
    month.post("service", f"{path}/pay", {"paid_at": month.now, "reference": "SEPA-2"})
    assert month.rows("SELECT balance_minor FROM service.partner_account")[0]["balance_minor"] == 0
    # What the payment books there is not netted again.
    assert month.run()["entries"] == 0


def test_many_at_once_settle_each_visit_once_and_only_one_of_them_agrees(finance: Finance, at_once):
    for country, currency in COUNTRIES:
        finance.card(country, currency)
    finance.visits(1, 90)
    with finance.owner() as owner:
        owner.execute(
            "INSERT INTO service.completion_step (completion_check_id, action, from_state, to_state, content, actor,"
            " actor_key, at) SELECT completion_check_id, 'correct', 'passed', 'passed', '{\"in_warranty\": true}', 'x',"
            " 'x', '2026-10-19Z' FROM service.completion_check WHERE visit_id = 3"
        )
    now = datetime.fromisoformat(finance.now)
    done = at_once(lambda client, path: client.post(path, {}, now=now), ["/v1/settlement/run"] * 6)
    assert sum(one["settled"] for one in done) == 90
    lines = finance.rows("SELECT visit_id, kind, amount_minor FROM service.statement_line WHERE visit_id IN (3, 90)")
    # Visit 3 was reported out of warranty and corrected; 3.33 % of its labour.
    assert {row["kind"]: row["amount_minor"] for row in lines if row["visit_id"] == 3} == {**VISIT_3, "subsidy": 58}
    assert len({row["kind"] for row in lines if row["visit_id"] == 90}) == len(lines) - 5

    statement_id = finance.statement(1)["statement_id"]
    issued = [finance.send("desk_lead", "POST", f"/statements/{statement_id}/issue").status_code for _ in range(2)]
    assert issued == [200, 409]
    seen = f'"{finance.statement(1)["version"]}"'
    path = f"/v1/settlement/statements/{statement_id}/pay"
    assert finance.send("partner", "POST", f"/statements/{statement_id}/agree", **{"If-Match": seen}).status_code == 200
    body = {"paid_at": finance.now, "reference": "SEPA-3"}
    paid = at_once(lambda client, _: client.post(path, body, now=now), range(4))
    assert [one.status for one in paid if isinstance(one, ProblemError)] == [409, 409, 409]


def test_partners_see_their_own_and_no_margins(month: Finance):
    month.run()
    statement_id = month.statement(1)["statement_id"]
    path = f"/statements/{statement_id}"
    assert [one["statement_id"] for one in month.get("partner", "/statements")["items"]] == [statement_id]
    for nothing in (path, f"{path}/lines", f"{path}/export?format=csv", "/visits/3"):
        assert month.refused("stranger", "GET", nothing) == (404, "not-found")
    assert month.get("stranger", "/statements")["items"] == []
    for closed in (f"{path}/margin", "/visits/3/margin", "/periods/2026-10"):
        assert month.refused("partner", "GET", closed) == (403, "forbidden")
    assert month.refused("fitter", "GET", path) == (403, "forbidden")
    assert "customer_minor" not in json.dumps(month.get("partner", "/visits/3"))
    visit = month.get("agent", "/visits/3/margin")
    assert (visit["customer_minor"], visit["borne_minor"]) == (20000, 500)
    assert visit["margin_minor"] == 20000 - sum(VISIT_3.values())
    whole = month.get("agent", f"{path}/margin")
    assert (whole["visits"], whole["customer_minor"]) == (5, 100_000)
    assert whole["margin_minor"] == 100_000 - month.statement(1)["total_minor"]
    yen = month.get("agent", f"/statements/{month.statement(3)['statement_id']}/margin")
    assert (yen["visits"], yen["incomparable_visits"]) == (0, 5)


def test_finance_gets_sheets_and_signed_json(month: Finance):
    month.run()
    statement = month.statement(3)
    path = f"/statements/{statement['statement_id']}/export"
    sheet = month.send("partner", "GET", f"/statements/{month.statement(1)['statement_id']}/export?format=csv").text
    assert sheet.splitlines()[0].startswith("\ufeffstatement_id,provider,month,currency,line")
    assert ",labour," in sheet
    assert ",17.51,1751," in sheet
    workbook = load_workbook(io.BytesIO(month.send("service", "GET", f"{path}?format=xlsx").content))
    (header, row) = workbook["statements"].iter_rows(values_only=True)
    told = dict(zip(header, row, strict=True))
    # Yen have no hundredths.
    assert (told["currency"], told["total"], told["total_minor"]) == ("JPY", *[statement["total_minor"]] * 2)
    assert workbook["lines"].max_row == 1 + statement["line_count"]

    signed = month.get("service", f"{path}?format=json")
    keys = KeySet.import_key_set(month.get("partner", "/key"))
    document = json.loads(jws.deserialize_json(signed, keys, algorithms=["Ed25519"]).payload)
    assert document["totals"] == [
        {"currency": "JPY", "amount_minor": statement["total_minor"], "amount": str(statement["total_minor"])}
    ]
    forged = {**signed, "payload": signed["payload"][:-4] + "AAAA"}
    with pytest.raises(BadSignatureError):
        jws.deserialize_json(forged, keys, algorithms=["Ed25519"])


def test_cards_are_drafted_tried_and_frozen(month: Finance):
    month.run()
    old = month.statement(1)
    dearer = [{**RULES[0], "amount_minor": 6000, "job_type": "repair"}, *RULES[1:]]
    body = {"name": "2027", "provider_id": 1, "currency": "EUR", "valid_from": "2026-10-10", "lines": dearer}
    card = month.post("desk_lead", "/rate-cards", body)
    path = f"/rate-cards/{card['rate_card_id']}"
    assert month.refused("partner", "GET", path) == (404, "not-found")
    trial = month.post("desk_lead", f"{path}/trial", {"month": "2026-10"})
    # Of the visits on the 3rd, 5th, 8th, 11th and 14th those from the 10th on; today's card pays them less.
    assert (trial["visits"], trial["now_visits"], trial["unpaid"]) == (2, 2, [])
    assert trial["amount_minor"] == trial["then_minor"] > trial["now_minor"]
    assert sum(one["amount_minor"] for one in trial["sums"]) == trial["amount_minor"]
    assert month.statement(1) == old
    for_plans = [*dearer[1:], {**dearer[0], "job_type": "plan"}]
    changed = month.call("desk_lead", "PATCH", path, {"lines": for_plans}, **{"If-Match": '"1"'})
    assert changed["version"] == 2
    unpaid = month.post("desk_lead", f"{path}/trial", {"month": "2026-10"})["unpaid"]
    assert [(one["reason"], one["visits"]) for one in unpaid] == [("no-labour-rate", 2)]
    month.call("desk_lead", "PATCH", path, {"lines": dearer}, **{"If-Match": '"2"'})
    month.post("desk_lead", f"{path}/activate")
    assert month.get("partner", path)["state"] == "active"
    assert month.refused("desk_lead", "PATCH", path, {"currency": "CNY"}, **{"If-Match": '"4"'}) == (
        409, "rate-card-state"
    )  # fmt: skip
    again = month.post("desk_lead", "/rate-cards", body)["rate_card_id"]
    assert month.refused("desk_lead", "POST", f"/rate-cards/{again}/activate") == (409, "rate-card-taken")
    with month.owner() as owner, pytest.raises(psycopg.errors.CheckViolation):
        owner.execute("UPDATE service.rate_card_line SET amount_minor = 1 WHERE amount_minor = 6000")

    # A draft is priced anew when that is asked for, its other visits as before.
    drafted = month.post("desk_lead", f"/statements/{old['statement_id']}/redraft")
    assert drafted["total_minor"] - old["total_minor"] == trial["then_minor"] - trial["now_minor"]
    month.post("desk_lead", f"/statements/{old['statement_id']}/issue")
    assert month.refused("desk_lead", "POST", f"/statements/{old['statement_id']}/redraft") == (409, "statement-state")
