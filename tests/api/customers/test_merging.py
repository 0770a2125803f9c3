"""Two records of one customer become one, with everything that is theirs, whoever writes meanwhile."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from careloop.client import ProblemError
from careloop.database.engine import connect

MARTA = {"name": "Marta Beispiel", "country": "DE", "contacts": [{"name": "Marta", "phone": "0151 23456789"}]}
AGAIN = {
    "name": "M. Beispiel",
    "country": "DE",
    "channel": "retailer",
    "note": "bought at the fair",
    "contacts": [{"name": "Marta", "phone": "0151 23456789"}, {"name": "Marta", "email": "marta@example.com"}],
    "sites": [{"name": "Garden"}],
}


def _consent(agent, customer_id, channel, state):
    body = {"channel": channel, "purpose": "marketing", "state": state, "source": "form"}
    agent.post(f"/v1/customers/{customer_id}/consents", body)


def test_doubles_are_found_with_their_reasons(agent) -> None:
    one = agent.post("/v1/customers", MARTA)["customer_id"]
    two = agent.post("/v1/customers", AGAIN)["customer_id"]
    firm = {"name": "Firm", "kind": "business", "tax_number": "DE 1"}
    three, four = (agent.post("/v1/customers", firm)["customer_id"] for _ in range(2))
    agent.post("/v1/customers", {"name": "Marta Beispiel"})
    phone = {"reason": "phone", "value": "+4915123456789"}
    assert agent.get(f"/v1/customers/{one}/duplicates")["items"] == [
        {"customer_id": two, "name": "M. Beispiel", "kind": "consumer", "reasons": [phone]}
    ]
    groups = list(agent.pages("/v1/customers/duplicates"))
    assert [(group["customer_id"], [d["customer_id"] for d in group["duplicates"]]) for group in groups] == [
        (one, [two]), (three, [four])
    ]  # fmt: skip
    assert groups[1]["duplicates"][0]["reasons"] == [{"reason": "tax_number", "value": "DE1"}]
    first = agent.get("/v1/customers/duplicates", limit=1)
    assert agent.get("/v1/customers/duplicates", after=first["next"])["items"] == groups[1:]


def test_a_double_is_merged_with_everything_that_is_theirs(agent, machine, send, api) -> None:
    one = agent.post("/v1/customers", MARTA)["customer_id"]
    two = agent.post("/v1/customers", AGAIN)["customer_id"]
    stranger = agent.post("/v1/customers", {"name": "Marta Beispiel"})["customer_id"]
    machine("HD5-1", {"customer_id": two})
    ticket = agent.post("/v1/tickets", {"kind": "repair", "serial": "HD5-1", "title": "leaks"})
    assert ticket["customer_id"] == two
    _consent(agent, one, "email", "given")
    _consent(agent, two, "email", "withdrawn")
    _consent(agent, one, "email", "given")
    _consent(agent, two, "sms", "given")

    path = f"/v1/customers/{two}/merge"
    wish = {"into": one, "into_version": 1}
    assert send(path, wish).status_code == 428
    assert send(path, wish, version=9).status_code == 412
    assert send(path, {**wish, "into_version": 9}, version=1).status_code == 412
    assert send(path, {**wish, "into": two}, version=1).status_code == 422
    assert send(path, {**wish, "into": 99}, version=1).json()["errors"][0]["field"] == "body.into"
    assert send(path, wish, version=1, role="service").status_code == 403
    done = send(path, wish, version=1)
    assert done.status_code == 200, done.text
    assert done.json()["consents_withdrawn"] == ["email:marketing"]
    moved = done.json()["moved"]
    assert {"service.contact", "service.site", "service.asset", "service.ticket", "service.consent",
            "service.asset_owner"} <= set(moved)  # fmt: skip
    # Done once, however often one asks; what a merged customer was is at the survivor.
    assert send(path, wish, version=1).json() == done.json()
    assert [merge["from_customer"] for merge in agent.pages(f"/v1/customers/{one}/merges")] == [two]
    card = agent.get(f"/v1/customers/{one}")
    assert (card["channel"], card["note"], card["version"]) == ("retailer", "bought at the fair", 2)
    assert [contact["email"] for contact in card["contacts"]] == [None, "marta@example.com"]
    assert [site["name"] for site in card["sites"]] == ["Garden", "site of HD5-1"]
    assert agent.get(f"/v1/tickets/{ticket['ticket_id']}")["customer_id"] == one
    marketing = {c["channel"]: c["state"] for c in agent.get(f"/v1/customers/{one}/consents")["consents"]
                 if c["purpose"] == "marketing"}  # fmt: skip
    assert (marketing["email"], marketing["sms"], marketing["post"]) == ("withdrawn", "given", None)
    with pytest.raises(ProblemError) as refused:
        agent.get(f"/v1/customers/{two}")
    assert (refused.value.status, refused.value.type) == (308, "/problems/merged-into")
    assert refused.value.problem["customer_id"] == one
    headers = {"Authorization": f"Bearer {api.keys['agent']}"}
    there = httpx.get(f"{api.url}/v1/customers/{two}", headers=headers, follow_redirects=True)
    assert there.json()["customer_id"] == one
    with pytest.raises(ProblemError) as refused:
        agent.patch(f"/v1/customers/{two}", {"note": ""}, version=2)
    assert (refused.value.status, refused.value.type) == (409, "/problems/merged-into")
    assert [c["customer_id"] for c in agent.pages("/v1/customers", name="beispiel")] == [one, stranger]
    # A survivor may be merged itself; the older signpost then shows the way to the end.
    assert send(f"/v1/customers/{one}/merge", {"into": stranger, "into_version": 1}, version=2).status_code == 200
    with pytest.raises(ProblemError) as refused:
        agent.get(f"/v1/customers/{two}")
    assert refused.value.problem["customer_id"] == stranger


def test_whoever_writes_during_a_merge_loses_nothing(agent, api) -> None:
    """Contacts are added to both while they are merged, in both directions: one merge wins, nothing is left behind."""
    one = agent.post("/v1/customers", MARTA)["customer_id"]
    two = agent.post("/v1/customers", MARTA)["customer_id"]
    headers = {"Authorization": f"Bearer {api.keys['agent']}"}

    def call(number):
        if number in {7, 8}:
            gone, into = (one, two) if number == 7 else (two, one)
            url = f"{api.url}/v1/customers/{gone}/merge"
            body = {"into": into, "into_version": 1}
            return httpx.post(url, json=body, headers={**headers, "If-Match": '"1"'}, timeout=30).status_code
        to = (one, two)[number % 2]
        # Straight into the table, as a room would that does not ask whether the customer is still there.
        with connect(api.database_url) as connection:
            connection.execute(
                "INSERT INTO service.contact (customer_id, name, created_at) VALUES (%s, %s, now())", (to, f"c{number}")
            )
        return 201

    with ThreadPoolExecutor(16) as threads:
        codes = list(threads.map(call, range(16)))
    assert sorted(codes) == [200, *14 * [201], 409], codes
    with api.client("admin") as admin:
        admin.post("/v1/duties/run", {})
    survivor = one if codes[8] == 200 else two
    assert len(list(agent.pages(f"/v1/customers/{survivor}/contacts"))) == 16


def test_no_table_allows_but_one_row_per_customer(database_url) -> None:
    """Such a row could not be moved to a survivor that has one, too; what was decided otherwise stands here."""
    with connect(database_url) as connection:
        rows = connection.execute(
            "SELECT DISTINCT c.relname || '.' || a.attname AS name FROM pg_constraint k"
            " JOIN pg_class c ON c.oid = k.conrelid"
            " JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]"
            " JOIN pg_index i ON i.indrelid = k.conrelid AND i.indisunique AND a.attnum = ANY (i.indkey::smallint[])"
            " WHERE k.contype = 'f' AND k.confrelid = 'service.customer'::regclass"
        ).fetchall()
    # Who was erased is not merged.
    assert {row["name"] for row in rows} == {"erasure.customer_id"}
