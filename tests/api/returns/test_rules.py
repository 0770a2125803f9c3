"""What becomes of old parts by rule: pure."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api.returns.rules import Rule, Used, claim_stands, due_of_parcel, expectation_of

PLAIN = Used(1, 1, "Kiriko", "maker", rotable=False, old_part_rule="scrap_on_site", told="none")
NOW = datetime(2026, 7, 1, tzinfo=UTC)


def rule(number, fate="return", **named):
    given = {"part_id": None, "model_id": None, "manufacturer": None, "bearer": None, **named}
    return Rule(number, **given, fate=fate, due_days=number, evidence=False, reason=f"rule {number}")


@pytest.mark.parametrize(
    ("changes", "fate", "reason"),
    [
        ({}, "scrap_on_site", "by the catalogue of parts"),
        ({"bearer": "partner"}, "scrap_on_site", "by the catalogue of parts"),
        ({"bearer": "customer"}, "none", "the customer paid for it and keeps the old one"),
        ({"bearer": "customer", "rotable": True}, "return", "the part is repaired and used again"),
        ({"told": "scrap"}, "scrap_on_site", "by the catalogue of parts"),
        ({"told": "return_to_maker"}, "return", "the technician said that it goes back to its maker"),
    ],
)
def test_without_a_rule_the_catalogue_says_what_the_customer_has_not_paid_for(changes, fate, reason) -> None:
    found = expectation_of(replace(PLAIN, **changes), [])
    assert (found.fate, found.reason, found.due_days) == (fate, reason, 30)


def test_the_rule_that_says_most_decides() -> None:
    rules = [
        rule(1), rule(2, bearer="maker"), rule(3, manufacturer="Kiriko"), rule(4, model_id=1, fate="none"),
        rule(5, part_id=2), rule(6, part_id=1, bearer="customer"), rule(7, manufacturer="Kiriko", bearer="maker"),
    ]  # fmt: skip
    assert expectation_of(PLAIN, rules).reason == "rule 4"
    assert expectation_of(replace(PLAIN, model_id=2), rules).reason == "rule 7"
    assert expectation_of(replace(PLAIN, model_id=2, manufacturer=None), rules).reason == "rule 2"
    assert expectation_of(replace(PLAIN, bearer="customer"), rules).reason == "rule 6"
    assert expectation_of(replace(PLAIN, told="return_to_maker"), rules).fate == "return"
    assert (
        expectation_of(replace(PLAIN, part_id=3, bearer="partner", model_id=9, manufacturer=None), rules).due_days == 1
    )


def test_a_parcels_way_is_not_counted_and_only_misuse_and_wrong_parts_lose_the_claim() -> None:
    assert due_of_parcel(NOW + timedelta(days=20), NOW) == NOW + timedelta(days=20)
    assert due_of_parcel(NOW + timedelta(days=2), NOW) == due_of_parcel(None, NOW) == NOW + timedelta(days=14)
    findings = ("confirmed", "no_fault_found", "misuse", "transport_damage", "wrong_part")
    assert [finding for finding in findings if not claim_stands(finding)] == ["misuse", "wrong_part"]
