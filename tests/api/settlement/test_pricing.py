"""What a rate card pays for a visit, and which card, month and text it is: pure."""

from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.settlement.pricing import Facts, Rule, Unpriced, UsedPart, price
from api.settlement.rules import Holding, card_for, is_over, major, month_to_fill, next_month

DAY = date(2026, 10, 5)
FACTS = Facts(
    on_day=DAY,
    job_type="repair",
    skill="hydraulics",
    worked_minutes=50,
    distance_m=34_000,
    parts=(UsedPart("PUMP", 2, 3333),),
    clocks_kept=frozenset({"appointment"}),
    clocks_breached=frozenset({"solution"}),
)
LABOUR = Rule(1, "labour", "any work", "visit", 5000)


def amounts(facts, *rules):
    return {(line.kind, line.code): line.amount_minor for line in price(facts, rules)}


def test_the_rule_that_names_most_of_the_work_pays_the_labour():
    rules = (
        LABOUR,
        Rule(2, "labour", "repairs", "visit", 6000, job_type="repair"),
        Rule(3, "labour", "hydraulics", "visit", 7000, skill="hydraulics"),
        Rule(4, "labour", "plans", "visit", 1, job_type="plan"),
    )
    assert amounts(FACTS, *rules) == {("labour", "repairs"): 6000}
    both = Rule(5, "labour", "hydraulic repairs", "worked_hour", 4567, job_type="repair", skill="hydraulics")
    (line,) = price(FACTS, (*rules, both))
    # 50/60 × 45.67 = 38.0583…
    assert (line.quantity, line.unit, line.price_minor, line.price_per, line.amount_minor) == (
        50,
        "minute",
        4567,
        60,
        3806,
    )
    with pytest.raises(Unpriced, match="no labour for installation") as unpriced:
        price(replace(FACTS, job_type="installation"), rules[1:2])
    assert unpriced.value.reason == "no-labour-rate"
    with pytest.raises(Unpriced, match="none were recorded"):
        price(replace(FACTS, worked_minutes=None), (both,))


@pytest.mark.parametrize(
    ("metres", "band", "paid"),
    [
        (None, "near", 1000),
        (0, "near", 1000),
        (19_999, "near", 1000),
        (20_000, "far", 2500),
        (60_000, "beyond", 4200),
        (60_007, "beyond", 4200),
        (60_008, "beyond", 4201),
    ],
)
def test_travel_is_paid_by_the_band_that_the_distance_lies_in(metres, band, paid):
    bands = (
        Rule(2, "travel", "near", "visit", 1000),
        Rule(3, "travel", "far", "visit", 2500, from_km=20),
        Rule(4, "travel", "beyond", "kilometre", 70, from_km=60),
    )
    far = replace(FACTS, distance_m=metres)
    assert {code: amount for (kind, code), amount in amounts(far, LABOUR, *bands).items() if kind == "travel"} == {
        band: paid
    }
    assert len(price(replace(FACTS, distance_m=5), (LABOUR, *bands[1:]))) == 1


def test_parts_are_handled_by_piece_or_by_share():
    assert amounts(FACTS, LABOUR, Rule(2, "parts", "each", "piece", 150))["parts", "each"] == 300
    share = Rule(2, "parts", "share", "percent_of_parts", percent_bp=1250)
    (line,) = (line for line in price(FACTS, (LABOUR, share)) if line.kind == "parts")
    # 12.5 % of 66.66 is 8.3325; the line says of what.
    assert (line.subject, line.quantity, line.unit, line.price_minor, line.price_per, line.amount_minor) == (
        "PUMP", 6666, "minor", 1250, 10_000, 833,
    )  # fmt: skip
    with pytest.raises(Unpriced, match="POST /v1/parts/PUMP/prices") as unpriced:
        price(replace(FACTS, parts=(UsedPart("PUMP", 1, None),)), (LABOUR, share))
    assert unpriced.value.reason == "no-part-price"


@pytest.mark.parametrize(
    ("change", "paid"),
    [
        ({}, {"first time": 700, "late": -500}),
        ({"solved": False}, {"late": -500}),
        ({"first_visit": False}, {"again": -250, "late": -500}),
        ({"reopened": True}, {"again": -250, "late": -500}),
        ({"in_warranty": True, "clocks_breached": frozenset()}, {"first time": 700, "warranty": 400}),
        ({"clocks_kept": frozenset({"solution"}), "clocks_breached": frozenset()}, {"first time": 700, "in time": 90}),
    ],
)
def test_extras_follow_what_happened(change, paid):
    rules = (
        LABOUR,
        Rule(2, "reward", "first time", "visit", 700, condition="first_time_fix"),
        Rule(3, "penalty", "again", "percent_of_labour", percent_bp=500, condition="repeat_visit"),
        Rule(4, "penalty", "late", "percent_of_labour", percent_bp=1000, condition="sla_breached", clock="solution"),
        Rule(5, "reward", "in time", "visit", 90, condition="sla_kept", clock="solution"),
        Rule(6, "subsidy", "warranty", "visit", 400, in_warranty=True),
        Rule(7, "subsidy", "elsewhere", "visit", 9, territory="island"),
    )
    assert {
        code: amount for (kind, code), amount in amounts(replace(FACTS, **change), *rules).items() if kind != "labour"
    } == paid


@given(st.integers(0, 10**9), st.integers(0, 10**7), st.sampled_from(["worked_hour", "kilometre", "percent_of_parts"]))
def test_each_line_is_the_nearest_minor_unit_and_a_half_goes_up(each, count, basis):
    kind = {"worked_hour": "labour", "kilometre": "travel", "percent_of_parts": "parts"}[basis]
    facts = replace(FACTS, worked_minutes=count, distance_m=count, parts=(UsedPart("P", 1, count),))
    rule = Rule(2, kind, "it", basis, each if basis != "percent_of_parts" else 0, each)
    rules = (rule,) if kind == "labour" else (LABOUR, rule)
    (line,) = (line for line in price(facts, rules) if line.code == "it")
    exact = Fraction(count * each, line.price_per)
    assert Fraction(-1, 2) < exact - line.amount_minor <= Fraction(1, 2) or exact - line.amount_minor == Fraction(-1, 2)
    if exact.denominator == 2:
        assert line.amount_minor == exact + Fraction(1, 2)


def test_the_card_that_names_most_holds_and_of_its_versions_the_latest():
    def card(number, *, provider_id=None, level="", country="", since="2026-01-01", until=None):
        return Holding(number, provider_id, level, country, date.fromisoformat(since), until)

    cards = [
        card(1),
        card(2, since="2026-10-01"),
        card(3, country="DE"),
        card(4, level="gold"),
        card(5, provider_id=7, until=date(2026, 10, 5)),
        card(6, since="2027-01-01"),
    ]

    def chosen(provider_id, level, country, on=DAY):
        found = card_for(cards, provider_id=provider_id, level=level, country=country, on=on)
        return found and found.rate_card_id

    assert chosen(7, "gold", "DE") == 5
    assert chosen(7, "gold", "DE", date(2026, 10, 6)) == 4
    assert chosen(8, "", "DE") == 3
    assert chosen(8, "", "CN") == 2
    assert chosen(8, "", "CN", date(2026, 9, 30)) == 1
    assert chosen(8, "", "CN", date(2025, 12, 31)) is None


def test_months():
    october, november, december = date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 1)
    assert (next_month(december), next_month(date(9999, 12, 1))) == (date(2027, 1, 1), date(9999, 12, 1))
    assert month_to_fill(october, None, ()) == october
    assert month_to_fill(october, october, ()) == november
    assert month_to_fill(october, None, {october, november}) == december
    assert month_to_fill(december, october, {november}) == december
    assert not is_over(october, datetime(2026, 11, 1, 11, 59, tzinfo=UTC))
    assert is_over(october, datetime(2026, 11, 1, 12, tzinfo=UTC))


@given(st.integers(-(10**15), 10**15), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_amounts_are_written_exactly(amount, currency):
    digits = {"EUR": 2, "JPY": 0, "KWD": 3}[currency]
    assert Fraction(major(amount, currency)) == Fraction(amount, 10**digits)
