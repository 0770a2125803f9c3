"""Chains, orders of preference and fits: pure."""

from datetime import date

import pytest

from api.assets.rules import Validity
from api.parts.rules import Bounds, Chains, Link, Machine, best, built_in, in_order, worst


def link(sku: str, successor: str, on: str) -> Link:
    return Link(sku, successor, date.fromisoformat(on))


CHAIN = [link("A", "B", "2026-01-01"), link("B", "C", "2026-06-01"), link("X", "B", "2026-02-01")]


@pytest.mark.parametrize(
    ("new", "field"),
    [
        (link("C", "A", "2026-07-01"), "successor"),
        (link("C", "X", "2026-07-01"), "successor"),
        (link("N", "N", "2026-07-01"), "successor"),
        (link("N", "B", "2026-06-02"), "effective_on"),
        (link("C", "N", "2026-05-31"), "effective_on"),
        (link("N", "B", "2026-06-01"), None),
        (link("C", "N", "2026-06-01"), None),
        (link("N", "A", "2025-12-31"), None),
    ],
)
def test_a_link_fits_a_chain_without_a_circle_and_in_time(new: Link, field: str | None) -> None:
    misfit = Chains(CHAIN).misfit(new)
    assert (misfit and misfit[0]) == field


def test_the_part_to_take_is_the_last_that_has_begun() -> None:
    chains = Chains(CHAIN)
    days = ("2025-12-31", "2026-01-01", "2026-05-31", "2026-06-01")
    assert [chains.current("A", date.fromisoformat(day)) for day in days] == ["A", "B", "B", "C"]
    assert chains.successor_of("C") is None


def test_substitutes_stand_in_the_order_to_try_them() -> None:
    def step(number: int, sku: str, how: str, steps: int, rank: int = 0) -> dict[str, object]:
        return {"part_id": number, "sku": sku, "how": how, "steps": steps, "rank": rank}

    steps = [
        step(5, "ALT-2", "alternative", 1, 2),
        step(4, "ALT-1", "alternative", 1, 1),
        step(6, "ALT-1-NEW", "successor", 2, 1),
        step(3, "OLD", "predecessor", 1),
        step(2, "NEWEST", "successor", 2),
        step(1, "NEWER", "successor", 1),
        step(3, "OLD", "alternative", 2, 1),
    ]
    assert [one["sku"] for one in in_order(steps)] == ["NEWER", "NEWEST", "OLD", "ALT-1", "ALT-1-NEW", "ALT-2"]


@pytest.mark.parametrize(
    ("machine", "verdict", "depends"),
    [
        (Machine("B10", date(2026, 3, 1), "2"), "fits", []),
        (Machine("B9", date(2026, 3, 1), "2"), "no", ["batch"]),
        (Machine("B10", date(2025, 3, 1), "2"), "no", ["produced_on"]),
        (Machine("B10", date(2026, 3, 1), "3"), "no", ["revision"]),
        (Machine(), "unsure", ["batch", "produced_on", "revision"]),
        (Machine("B10", None, "1"), "unsure", ["produced_on"]),
    ],
)
def test_a_fit_says_what_it_depends_on(machine: Machine, verdict: str, depends: list[str]) -> None:
    bounds = Bounds(["1", "2"], Validity(from_batch="B10", from_date=date(2026, 1, 1)))
    assert bounds.verdict(machine) == (verdict, depends)
    assert Bounds().verdict(machine) == ("fits", [])


def test_what_is_in_an_assembly_depends_on_it_too() -> None:
    none = {"from_batch": None, "until_batch": None, "from_date": None, "until_date": None}
    rows = [
        {**none, "bom_item_id": 1, "parent_id": None, "component": "pump", "from_batch": "B5"},
        {**none, "bom_item_id": 2, "parent_id": 1, "component": None, "from_date": date(2026, 1, 1)},
        {**none, "bom_item_id": 3, "parent_id": None, "component": None, "until_batch": "B4"},
        {**none, "bom_item_id": 4, "parent_id": 3, "component": None},
    ]

    def shown(machine: Machine) -> list[tuple[int, str, str | None, list[str]]]:
        return [(row["bom_item_id"], verdict, row["component"], by) for row, verdict, by in built_in(rows, machine)]

    assert shown(Machine("B6")) == [(1, "fits", "pump", []), (2, "unsure", "pump", ["produced_on"])]
    assert shown(Machine("B4", date(2026, 2, 1))) == [(3, "fits", None, []), (4, "fits", None, [])]
    assert (best("no", "unsure"), worst("fits", "unsure")) == ("unsure", "unsure")
