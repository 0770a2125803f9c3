"""Statements of 10,000 visits in three currencies add up to the cent, by an arithmetic of PostgreSQL's own."""

import json

from joserfc import jws
from joserfc.jwk import KeySet

from tests.api.settlement.conftest import AFTER_MONTH, COUNTRIES, Finance

VISITS = 10_000

# What the visits of conftest.py should be paid by its rules, reckoned with numerics instead of integers in Python.
EXPECTED = """
WITH visit AS (
    SELECT i, 1 + i % 3 AS provider_id, round((20 + i % 97) * 4567 / 60.0) AS labour,
           CASE WHEN i % 11 = 0 THEN 0 ELSE i * 7919 % 90000 END AS metres,
           CASE WHEN i % 3 <> 1 THEN round((1 + i % 4) * (3334 + i % 3) * 0.125) ELSE 0 END AS parts
    FROM generate_series(1, {visits}) i
)
SELECT provider_id,
       sum(labour + CASE WHEN metres >= 40000 THEN round(metres * 37 / 1000.0) ELSE 1150 END + parts
           + CASE WHEN i % 2 = 0 THEN round(labour * 0.0333) ELSE 0 END
           + CASE WHEN i % 7 <> 0 THEN 501 ELSE 0 END
           - CASE WHEN i % 5 = 0 THEN round(labour * 0.1) ELSE 0 END)::bigint AS amount_minor
FROM visit GROUP BY provider_id
"""


def test_totals_are_the_sums_of_their_lines_for_ten_thousand_visits(finance: Finance):
    for country, currency in COUNTRIES:
        finance.card(country, currency)
    finance.visits(1, VISITS)
    assert finance.run() == {"settled": VISITS, "blocked": 0, "entries": 0}

    statements = finance.get("desk_lead", "/statements?month=2026-10")["items"]
    assert {(one["provider_id"], one["currency"]) for one in statements} == {(1, "EUR"), (2, "CNY"), (3, "JPY")}
    sums = finance.rows(
        "SELECT statement_id, sum(amount_minor)::bigint AS total_minor, count(*) AS line_count"
        " FROM service.statement_line GROUP BY 1"
    )
    assert {(one["statement_id"], one["total_minor"], one["line_count"]) for one in statements} == {
        tuple(row.values()) for row in sums
    }
    expected = finance.rows(EXPECTED.format(visits=VISITS))
    assert {one["provider_id"]: one["total_minor"] for one in statements} == {
        row["provider_id"]: row["amount_minor"] for row in expected
    }
    assert sum(one["line_count"] for one in statements) > 4 * VISITS

    # Once more: nothing new, whether by the duty or by being told that all is to be looked at again.
    assert finance.run() == {"settled": 0, "blocked": 0, "entries": 0}
    finance.now = AFTER_MONTH
    closed = finance.post("service", "/periods/2026-10/close")
    assert {one["currency"]: one["total_minor"] for one in closed["sums"]} == {
        one["currency"]: one["total_minor"] for one in statements
    }
    assert finance.rows("SELECT count(*) AS n FROM service.statement_line")[0]["n"] == sum(
        one["line_count"] for one in statements
    )

    # Finance gets the same, signed.
    signed = finance.get("service", "/periods/2026-10/export?format=json")
    keys = KeySet.import_key_set(finance.get("service", "/key"))
    registry = jws.JWSRegistry(algorithms=["Ed25519"])
    # joserfc's own limit is for tokens; this is a document.
    registry.max_payload_length = 10**8
    told = json.loads(jws.deserialize_json(signed, keys, registry=registry).payload)
    assert {one["currency"]: one["amount_minor"] for one in told["totals"]} == {
        one["currency"]: one["total_minor"] for one in statements
    }
    for one in told["statements"]:
        assert sum(line["amount_minor"] for line in one["lines"]) == one["total_minor"]
        assert len(one["lines"]) == one["line_count"]
