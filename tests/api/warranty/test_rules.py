"""What is covered: the table of decisions, and what must never happen whatever the terms are."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.warranty.rules import HUMAN_DAMAGE, PURCHASE_MACHINE, Case, Conditions, Denial, Term, judge

MAKER = Term(1, "maker", date(2025, 1, 1), date(2025, 12, 31))
EXTENSION = Term(2, "extension", date(2026, 2, 1), date(2027, 1, 31))
PUMP = Term(3, "pump", date(2025, 6, 1), date(2025, 6, 30))


@pytest.mark.parametrize(
    ("on", "covered", "term", "words"),
    [
        ("2024-12-31", False, MAKER, "only starts on 2025-01-01"),
        ("2025-01-01", True, MAKER, "up to and including 2025-12-31"),
        ("2025-06-15", True, MAKER, "maker"),
        ("2025-12-31", True, MAKER, "maker"),
        ("2026-01-01", False, MAKER, "ended on 2025-12-31"),
        ("2026-02-01", True, EXTENSION, "extension"),
        ("2027-02-01", False, EXTENSION, "ended on 2027-01-31"),
    ],
)
def test_each_edge_of_the_terms(on, covered, term, words) -> None:
    judgement = judge([PUMP, EXTENSION, MAKER], Case(date.fromisoformat(on)))
    assert (bool(judgement.covered), judgement.term) == (covered, term)
    assert words in judgement.reasons[0].text


def test_without_terms_nothing_is_covered() -> None:
    judgement = judge([], Case(date(2025, 1, 1)))
    assert (judgement.extent, judgement.term, judgement.until) == ("no", None, None)
    assert [(reason.code, reason.text) for reason in judgement.reasons] == [
        ("no-terms", "the asset has no warranty terms")
    ]


MACHINE = Term(
    1, "HD-5 v1", date(2025, 1, 1), date(2026, 12, 31), source="policy", policy_id=7,
    meter_metric="running_hours", meter_limit=500.0,
    conditions=Conditions(
        excluded_causes=frozenset({"misuse", "unauthorised_repair"}), excluded_components=frozenset({"nozzle"}),
        human_damage="once_free", customer_kinds=frozenset({"consumer"}), countries=frozenset({"DE", "AT"}),
        transferable=False,
    ),
)  # fmt: skip
MOTOR = replace(MACHINE, term_id=2, name="HD-5 v1 motor", component="motor", ends_on=date(2029, 12, 31),
                labour=False, travel=False, meter_metric=None, meter_limit=None)  # fmt: skip
BATTERY = replace(MACHINE, term_id=3, name="HD-5 v1 battery", component="battery", ends_on=date(2025, 6, 30))
PLAN = Term(4, "plan", date(2027, 1, 1), date(2028, 12, 31), source="contract",
            conditions=Conditions(human_damage="free"))  # fmt: skip
TERMS = (MACHINE, MOTOR, BATTERY, PLAN)
FINE = Case(date(2026, 3, 1), meters={"running_hours": 480.0}, customer_kind="consumer", country="DE")


@pytest.mark.parametrize(
    ("change", "extent", "bearer", "codes"),
    [
        ({}, "yes", "maker", ["covered"]),
        ({"meters": {"running_hours": 500.0}}, "yes", "maker", ["covered"]),
        ({"meters": {"running_hours": 500.5}}, "no", "customer", ["meter-exceeded"]),
        ({"meters": {}}, "yes", "maker", ["covered", "meter-unknown"]),
        ({"component": "pump"}, "yes", "maker", ["covered"]),
        ({"component": "nozzle"}, "no", "customer", ["wear-part"]),
        ({"component": "battery"}, "no", "customer", ["ended"]),
        ({"component": "battery", "on": date(2025, 6, 30)}, "yes", "maker", ["covered"]),
        ({"component": "motor"}, "partly", "shared", ["covered"]),
        ({"component": "motor", "meters": {"running_hours": 900.0}}, "partly", "shared", ["covered"]),
        ({"component": "motor", "on": date(2027, 5, 1)}, "yes", "maker", ["covered", "covered"]),
        ({"cause": "misuse"}, "no", "customer", ["excluded-cause"]),
        ({"cause": "wear"}, "yes", "maker", ["covered"]),
        ({"cause": HUMAN_DAMAGE}, "yes", "maker", ["covered", "free-human-damage"]),
        ({"cause": HUMAN_DAMAGE, "human_damage_used": True}, "no", "customer", ["human-damage-used"]),
        ({"cause": HUMAN_DAMAGE, "on": date(2027, 5, 1), "human_damage_used": True}, "yes", "maker", ["covered"]),
        ({"transferred_on": date(2025, 9, 1)}, "no", "customer", ["transferred"]),
        ({"transferred_on": date(2025, 1, 1)}, "yes", "maker", ["covered"]),
        ({"on": date(2027, 5, 1), "transferred_on": date(2027, 2, 1)}, "yes", "maker", ["covered"]),
        ({"customer_kind": "business"}, "no", "customer", ["customer-kind"]),
        ({"customer_kind": None, "country": None}, "yes", "maker", ["covered"]),
        ({"country": "FR"}, "no", "customer", ["country"]),
        ({"country": "FR", "cause": "misuse"}, "no", "customer", ["country", "excluded-cause"]),
        ({"on": date(2024, 12, 31)}, "no", "customer", ["not-started"]),
        ({"denial": Denial(9, "misuse")}, "no", "customer", ["denied"]),
    ],
)
def test_the_table_of_decisions(change, extent, bearer, codes) -> None:
    judgement = judge(TERMS, replace(FINE, **change))
    assert (judgement.extent, judgement.bearer) == (extent, bearer)
    assert [reason.code for reason in judgement.reasons][: len(codes)] == codes
    assert len({reason.term_id for reason in judgement.reasons if reason.code == "covered"}) == codes.count("covered")


def test_cover_goes_on_where_one_term_follows_another_at_once() -> None:
    assert judge(TERMS, FINE).until == PLAN.ends_on
    gap = replace(PLAN, starts_on=PLAN.starts_on + timedelta(days=1))
    assert judge([MACHINE, gap], FINE).until == MACHINE.ends_on
    # A plan that would not bear the case is no continuation of it.
    harsh = replace(PLAN, conditions=Conditions(excluded_causes=frozenset({"wear"})))
    assert judge([MACHINE, harsh], replace(FINE, cause="wear")).until == MACHINE.ends_on


def test_terms_of_other_components_say_nothing_about_the_machine() -> None:
    judgement = judge([MOTOR, BATTERY], FINE)
    assert [reason.code for reason in judgement.reasons] == ["other-component"]
    assert "battery, motor" in judgement.reasons[0].text


DAYS = st.dates(date(2025, 1, 1), date(2027, 12, 31))
COMPONENTS = st.sampled_from([None, "motor", "nozzle"])
CAUSES = st.sampled_from([None, HUMAN_DAMAGE, "misuse", "wear"])


@st.composite
def some_terms(draw) -> list[Term]:
    terms = []
    for number in range(draw(st.integers(1, 4))):
        starts_on = draw(DAYS)
        metered = draw(st.booleans())
        terms.append(
            Term(
                number, f"term {number}", starts_on, starts_on + timedelta(days=draw(st.integers(0, 900))),
                component=draw(COMPONENTS),
                meter_metric="hours" if metered else None,
                meter_limit=draw(st.floats(1, 1000)) if metered else None,
                parts=True, labour=draw(st.booleans()), travel=draw(st.booleans()),
                conditions=Conditions(
                    excluded_causes=frozenset(draw(st.sets(st.sampled_from(["misuse", "wear"])))),
                    excluded_components=frozenset(draw(st.sets(st.just("nozzle")))),
                    human_damage=draw(st.sampled_from(["free", "customer_pays", "once_free"])),
                    transferable=draw(st.booleans()),
                ),
            )
        )  # fmt: skip
    return terms


@st.composite
def some_cases(draw) -> Case:
    return Case(
        draw(DAYS),
        component=draw(COMPONENTS),
        cause=draw(CAUSES),
        meters={"hours": draw(st.none() | st.floats(0, 1200))},
        transferred_on=draw(st.none() | DAYS),
        human_damage_used=draw(st.booleans()),
    )


@settings(max_examples=60)
@given(some_terms(), some_cases(), st.integers(0, 3), st.integers(0, 400))
def test_more_days_never_cover_less(terms, case, which, days) -> None:
    longer = [
        replace(term, ends_on=term.ends_on + timedelta(days=days)) if index == which else term
        for index, term in enumerate(terms)
    ]
    assert judge(terms, case).covered <= judge(longer, case).covered


@settings(max_examples=60)
@given(some_terms(), some_cases(), some_terms())
def test_more_terms_never_cover_less(terms, case, others) -> None:
    assert judge(terms, case).covered <= judge([*terms, *others], case).covered


@settings(max_examples=60)
@given(some_terms(), some_cases(), st.floats(0, 1))
def test_less_use_never_covers_less(terms, case, share) -> None:
    hours = case.meters["hours"]
    less = replace(case, meters={"hours": None if hours is None else hours * share})
    assert judge(terms, case).covered <= judge(terms, less).covered


@settings(max_examples=60)
@given(some_terms(), some_cases(), st.sampled_from(["misuse", "wear"]))
def test_more_exclusions_never_cover_more(terms, case, cause) -> None:
    harsher = [
        replace(term, conditions=replace(term.conditions, excluded_causes=term.conditions.excluded_causes | {cause}))
        for term in terms
    ]
    assert judge(harsher, case).covered <= judge(terms, case).covered
    assert not judge(terms, replace(case, denial=Denial(1, "misuse"))).covered


@settings(max_examples=60)
@given(some_terms(), some_cases())
def test_every_answer_has_its_reasons(terms, case) -> None:
    judgement = judge(terms, case)
    assert (judgement.reasons[0].code == "covered") == bool(judgement.covered)
    assert (judgement.until is not None) == bool(judgement.covered)
    if judgement.covered:
        assert judgement.until >= max(case.on, judgement.term.ends_on)
    # Within an unbroken cover no day is left out, as long as nothing but the day changes.
    if judgement.covered and judgement.until > case.on:
        assert judge(
            terms, replace(case, on=case.on + timedelta(days=1), transferred_on=case.transferred_on)
        ).covered or (case.transferred_on == case.on + timedelta(days=1))


def test_a_purchase_is_decided_by_its_table() -> None:
    assert PURCHASE_MACHINE.actions_of("submitted") == ["accept", "reject"]
    assert PURCHASE_MACHINE.final == {"rejected", "replaced"}
