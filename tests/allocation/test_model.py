"""What plans cost, and what one answer after the other chooses."""

from datetime import UTC, datetime, timedelta

import pytest

from careloop.allocation.greedy import greedy_plan
from careloop.allocation.model import (
    Demand,
    Lane,
    Option,
    OptionKind,
    Shelf,
    ShelfKey,
    Take,
    Tally,
    cheapest,
    plan_cost_minor,
    shelves_by_key,
)

NOW = datetime(2026, 7, 1, tzinfo=UTC)
KEY = ShelfKey(1, 7)


def option(cost: int, *, warehouse: int = 1, pieces: int = 1, lane: Lane | None = None, hours: int = 0) -> Option:
    return Option(
        OptionKind.TRANSFER if lane else OptionKind.ON_HAND,
        7,
        warehouse,
        pieces,
        NOW + timedelta(hours=hours),
        takes=(Take(ShelfKey(warehouse, 7), pieces),),
        lane=lane,
        freight_base_minor=100 if lane else 0,
        freight_minor=cost,
    )


def test_an_option_costs_its_terms_and_the_age_of_its_stock_counts_against_them() -> None:
    assert (
        Option(
            OptionKind.ALTERNATIVE, 7, 1, 1, NOW, freight_minor=5, lateness_minor=7, age_credit_minor=3, extra_minor=11
        ).own_minor
        == 5 + 7 - 3 + 11
    )


def test_risk_is_of_the_pieces_that_go_next_and_the_last_one_counts_for_all_beyond() -> None:
    shelf = Shelf(KEY, 9, (0, 10, 40))
    assert [shelf.risk_of(0, 1), shelf.risk_of(0, 3), shelf.risk_of(2, 1), shelf.risk_of(5, 2)] == [0, 50, 40, 80]
    assert Shelf(KEY, 9).risk_of(0, 9) == 0


def test_a_plan_pays_a_lane_once_and_refusals_too() -> None:
    lane = Lane(1, 2)
    demands = [Demand(n, NOW, (option(5, lane=lane),), 1_000) for n in (1, 2, 3)]
    shelves = shelves_by_key([Shelf(KEY, 3)])
    assert plan_cost_minor(demands, shelves, {1: 0, 2: 0, 3: None}) == 100 + 5 + 5 + 1_000
    assert plan_cost_minor(demands, shelves, {1: 0, 2: 0}, open_lanes=[lane]) == 5 + 5 + 1_000


def test_a_plan_that_takes_more_than_there_is_is_refused_by_name() -> None:
    demands = [Demand(n, NOW, (option(0, pieces=2),), 10) for n in (1, 2)]
    with pytest.raises(ValueError, match="demand 2: the plan takes more than there is"):
        plan_cost_minor(demands, shelves_by_key([Shelf(KEY, 3)]), {1: 0, 2: 0})
    with pytest.raises(ValueError, match="demand 1"):
        plan_cost_minor(demands, {}, {1: 0})


def test_equal_costs_go_to_the_earlier_arrival_then_to_the_first() -> None:
    tally = Tally(shelves_by_key([Shelf(KEY, 9)]))
    assert cheapest(Demand(1, NOW, (option(5, hours=9), option(5, hours=2), option(5, hours=2)), 10), tally) == 1


def test_the_most_urgent_is_served_first_then_the_earliest() -> None:
    late = Demand(1, NOW + timedelta(days=9), (option(0),), 50, priority=1)
    soon = Demand(2, NOW, (option(0),), 50, priority=3)
    assert greedy_plan([soon, late], shelves_by_key([Shelf(KEY, 1)])) == {1: 0, 2: None}
    assert greedy_plan([late, Demand(3, NOW, (option(0),), 50, priority=1)], shelves_by_key([Shelf(KEY, 1)])) == {
        3: 0,
        1: None,
    }
