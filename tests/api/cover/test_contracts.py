"""Extension cards and plans over HTTP: sold, activated, used, cancelled, over."""

from datetime import UTC, datetime

import pytest

from careloop.client import ProblemError
from careloop.database.engine import connect
from tests.api.cover.conftest import NOW

CARD = {"code": "EXT12", "name": "One year more", "kind": "extension_card", "model": "HD-5", "price_minor": 4900,
        "months": 12, "activate_within_days": 100}  # fmt: skip
PLAN = {"code": "CARE", "name": "Care plan", "kind": "plan", "price_minor": 9900, "months": 24, "starts": "activation",
        "components": ["pump", "motor"], "travel": False, "entitlements": {"maintenance_visit": 2}}  # fmt: skip


def refused(call):
    with pytest.raises(ProblemError) as problem:
        call()
    return problem.value.status, problem.value.type.rpartition("/")[2]


def test_a_card_is_sold_activated_once_and_cancelled(api, desk, lead, at_once) -> None:
    lead.post("/v1/cover-products", CARD)
    assert refused(lambda: lead.post("/v1/cover-products", CARD)) == (409, "code-taken")
    assert refused(lambda: desk.post("/v1/cover-products", CARD)) == (403, "forbidden")
    assert refused(lambda: lead.post("/v1/cover-products", {**CARD, "code": "X", "components": ["wing"]}))[0] == 422
    sold = desk.post("/v1/cover-contracts", {"product": "EXT12"}, now=NOW)
    code = sold["activation_code"]
    assert (sold["state"], sold["price_minor"], sold["activate_by"]) == ("sold", 4900, "2026-06-28")
    # The code is nowhere: not in the row, not in the audit.
    with connect(api.database_url) as connection:
        rows = connection.execute("SELECT to_jsonb(c)::text AS text FROM service.cover_contract c").fetchall()
        rows += connection.execute("SELECT to_jsonb(a)::text AS text FROM service.audit a").fetchall()
    assert "EXT12" in str(rows)
    assert not any(code in row["text"] for row in rows)

    assert refused(lambda: desk.post("/v1/assets/HD5-1/warranty/contracts", {"code": "WRONG"}, now=NOW))[0] == 422
    assert refused(lambda: desk.post("/v1/assets/HD5-1/warranty/contracts", {}, now=NOW))[0] == 422
    late = datetime(2026, 7, 1, tzinfo=UTC)
    assert refused(lambda: desk.post("/v1/assets/HD5-1/warranty/contracts", {"code": code}, now=late)) == (
        409,
        "cover-lapsed",
    )
    # Two at once: one gets it.
    answers = at_once(
        lambda client, serial: client.post(f"/v1/assets/{serial}/warranty/contracts", {"code": code}, now=NOW),
        ["HD5-1", "HD5-2"],
    )
    (won,) = (one for one in answers if isinstance(one, dict))
    (lost,) = (one for one in answers if isinstance(one, ProblemError))
    assert (lost.status, lost.type) == (409, "/problems/cover-contract-state")
    assert (won["state"], won["starts_on"], won["ends_on"]) == ("active", "2026-04-01", "2027-03-31")
    answer = desk.get(f"/v1/assets/{won['serial']}/warranty", on="2026-05-01", now=NOW)
    assert (answer["covered"], answer["until"], answer["term"]["source"]) == (True, "2027-03-31", "contract")
    assert desk.get(f"/v1/assets/{won['serial']}/warranty", now=NOW)["until"] == "2027-03-31"
    # What goes on needs no ticket: of the bought machine only the card's own end is to be announced.
    ends = [term["ends_on"] for term in desk.pages("/v1/warranty-terms", serial=won["serial"], unticketed=True)]
    assert ends == ["2027-03-31"]

    path = f"/v1/cover-contracts/{won['contract_id']}/cancel"
    assert refused(lambda: desk.post(path, {"reason": ""}))[0] == 422
    later = datetime(2026, 6, 1, 12, tzinfo=UTC)
    assert desk.post(path, {"reason": "paid back"}, now=later)["state"] == "cancelled"
    assert refused(lambda: desk.post(path, {"reason": "again"}, now=later)) == (409, "cover-contract-state")
    ask = lambda day: desk.get(f"/v1/assets/{won['serial']}/warranty", on=day, now=later)["covered"]  # noqa: E731
    assert (ask("2026-05-31"), ask("2026-06-01")) == (True, False)


def test_a_plan_entitles_to_so_much_and_no_more(api, desk, lead, at_once) -> None:
    plan = lead.post("/v1/cover-products", PLAN)
    desk.post("/v1/product-models", {"code": "OTHER", "name": "Other", "kind": "robot"})
    desk.post("/v1/assets", {"serial": "R-1", "model": "OTHER", "installed_at": "2026-01-01T00:00:00Z"})
    lead.post("/v1/cover-products", {**CARD, "model": None, "asset_kind": "washer"})
    wrong = desk.post("/v1/cover-contracts", {"product": "EXT12"}, now=NOW)["activation_code"]
    assert refused(lambda: desk.post("/v1/assets/R-1/warranty/contracts", {"code": wrong}, now=NOW)) == (
        409,
        "cover-misfit",
    )
    sale = {"product": "CARE", "invoice_number": "R-2026-17"}
    sold = desk.post("/v1/cover-contracts", sale, now=NOW)
    assert sold["activation_code"] is None
    assert refused(lambda: desk.post("/v1/cover-contracts", sale, now=NOW)) == (409, "invoice-taken")
    active = desk.post("/v1/assets/HD5-1/warranty/contracts", sale, now=NOW)
    assert (active["starts_on"], active["ends_on"]) == ("2026-03-20", "2028-03-19")
    pump = desk.get("/v1/assets/HD5-1/warranty", on="2026-04-05", component="pump", now=NOW)
    assert (pump["extent"], pump["travel"], pump["bearer"]) == ("partly", False, "shared")
    assert desk.get("/v1/assets/HD5-1/warranty", on="2026-04-05", now=NOW)["covered"] is False

    ticket = desk.open_ticket({"kind": "repair", "serial": "HD5-1", "title": "Service"}, now=NOW)
    stranger = desk.open_ticket({"kind": "repair", "serial": "HD5-2", "title": "Other"}, now=NOW)
    path = f"/v1/cover-contracts/{active['contract_id']}/redemptions"
    wish = {"entitlement": "maintenance_visit", "ticket_id": ticket["ticket_id"]}
    assert refused(lambda: desk.post(path, {**wish, "ticket_id": stranger["ticket_id"]}, now=NOW))[0] == 422
    assert refused(lambda: desk.post(path, {"entitlement": "cake"}, now=NOW))[0] == 422
    # Four at once of two.
    answers = at_once(lambda client, _: client.post(path, wish, now=NOW), [1, 2, 3, 4])
    used = [one for one in answers if isinstance(one, dict)]
    assert sorted(one["left"] for one in used) == [0, 1]
    assert {one.type for one in answers if isinstance(one, ProblemError)} == {"/problems/entitlement-used-up"}
    history = [one["kind"] for one in desk.pages(f"/v1/tickets/{ticket['ticket_id']}/events")]
    assert history.count("entitlement_redeemed") == 2
    (entitlement,) = desk.get(f"/v1/cover-contracts/{active['contract_id']}")["entitlements"]
    assert entitlement == {"name": "maintenance_visit", "granted": 2, "redeemed": 2, "left": 0}

    # Prices change for new sales only.
    changed = lead.patch("/v1/cover-products/CARE", {"price_minor": 12000, "active": False}, version=plan["version"])
    assert changed["version"] == 2
    assert refused(lambda: lead.patch("/v1/cover-products/CARE", {}, version=1))[0] == 412
    assert refused(lambda: desk.post("/v1/cover-contracts", {"product": "CARE"}, now=NOW)) == (409, "product-inactive")
    assert desk.get(f"/v1/cover-contracts/{active['contract_id']}")["price_minor"] == 9900

    # Time goes by: the unused card lapses, the plan ends.
    with api.client("service") as client:
        client.post("/v1/duties/run", {}, now=datetime(2028, 3, 21, tzinfo=UTC))
    states = {one["product"]: one["state"] for one in desk.pages("/v1/cover-contracts")}
    assert states == {"EXT12": "lapsed", "CARE": "ended"}
    assert refused(lambda: desk.post(path, wish, now=NOW)) == (409, "cover-not-active")
    assert [one["product"] for one in desk.pages("/v1/cover-contracts", serial="HD5-1", state="ended")] == ["CARE"]


def test_customers_activate_their_own_and_human_damage_is_free_once(api, desk, lead, at_once) -> None:
    lead.post("/v1/cover-products", {**CARD, "starts": "activation", "human_damage": "once_free"})
    mine, other = (desk.post("/v1/customers", {"name": name})["customer_id"] for name in ("Ann", "Bob"))
    with connect(api.database_url) as connection:
        connection.execute("UPDATE service.asset SET customer_id = %s WHERE serial = 'HD5-1'", (mine,))
    code = desk.post("/v1/cover-contracts", {"product": "EXT12"}, now=NOW)["activation_code"]
    with api.scoped_client("customer", customer_id=other) as bob:
        assert refused(lambda: bob.post("/v1/assets/HD5-1/warranty/contracts", {"code": code}, now=NOW))[0] == 404
    with api.scoped_client("customer", customer_id=mine) as ann:
        active = ann.post("/v1/assets/HD5-1/warranty/contracts", {"code": code.lower()}, now=NOW)
        assert (active["state"], active["customer_id"]) == ("active", mine)
        assert [one["contract_id"] for one in ann.pages("/v1/cover-contracts")] == [active["contract_id"]]
        assert refused(lambda: ann.get("/v1/extension-budget"))[0] == 403
    with api.scoped_client("customer", customer_id=other) as bob:
        assert list(bob.pages("/v1/cover-contracts")) == []
        assert refused(lambda: bob.get(f"/v1/cover-contracts/{active['contract_id']}"))[0] == 404

    tickets = [
        desk.open_ticket({"kind": "repair", "serial": "HD5-1", "title": title}, now=NOW)["ticket_id"]
        for title in ("Dropped", "Dropped again")
    ]
    path = "/v1/assets/HD5-1/warranty/human-damage"
    answers = at_once(lambda client, ticket_id: client.post(path, {"ticket_id": ticket_id}, now=NOW), tickets)
    (won,) = (one for one in answers if isinstance(one, dict))
    (lost,) = (one for one in answers if isinstance(one, ProblemError))
    assert (lost.status, lost.type) == (409, "/problems/human-damage-not-borne")
    assert desk.post(path, {"ticket_id": won["ticket_id"]}, now=NOW) == won
    ask = lambda ticket_id: desk.get(  # noqa: E731 - said twice
        "/v1/assets/HD5-1/warranty", cause="human_damage", ticket_id=ticket_id, now=NOW
    )
    (loser,) = set(tickets) - {won["ticket_id"]}
    assert (ask(won["ticket_id"])["covered"], ask(loser)["covered"]) == (True, False)
    assert refused(lambda: desk.post(path.replace("HD5-1", "HD5-2"), {"ticket_id": tickets[0]}, now=NOW))[0] == 422
