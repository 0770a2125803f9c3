"""The plan of all demand: what it may never do, and that it finds what one answer after the other misses."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from careloop.allocation.exchange import Snapshot
from careloop.allocation.greedy import greedy_plan
from careloop.allocation.model import (
    Demand,
    Lane,
    Option,
    OptionKind,
    Shelf,
    ShelfKey,
    Take,
    plan_cost_minor,
    shelves_by_key,
)
from scheduler.allocation.reasons import choices
from scheduler.allocation.solver import solve

NOW = datetime(2026, 7, 1, tzinfo=UTC)
PART = 7
REFUSAL = 100_000


def shelf(warehouse: int, available: int, *risk: int, part: int = PART) -> Shelf:
    return Shelf(ShelfKey(warehouse, part), available, risk)


def on_hand(warehouse: int, *, pieces: int = 1, cost: int = 0, part: int = PART) -> Option:
    takes = (Take(ShelfKey(warehouse, part), pieces),)
    return Option(OptionKind.ON_HAND, part, warehouse, pieces, NOW, takes=takes, lateness_minor=cost)


def transfer(start: int, end: int, *, base: int, cost: int = 0, pieces: int = 1, part: int = PART) -> Option:
    return Option(
        OptionKind.TRANSFER,
        part,
        start,
        pieces,
        NOW + timedelta(days=1),
        takes=(Take(ShelfKey(start, part), pieces),),
        lane=Lane(start, end),
        freight_base_minor=base,
        freight_minor=cost,
    )


def purchase(cost: int) -> Option:
    return Option(OptionKind.PURCHASE, PART, 9, 1, NOW + timedelta(days=30), lateness_minor=cost)


def demand(number: int, *options: Option, day: int = 1, refusal: int = REFUSAL) -> Demand:
    return Demand(number, NOW + timedelta(days=day), options, refusal)


def snapshot(demands: list[Demand], shelves: list[Shelf], lanes: tuple[Lane, ...] = ()) -> Snapshot:
    return Snapshot(NOW, "CNY", tuple(demands), tuple(shelves), lanes)


def best(given_: Snapshot):
    return solve(given_, time_limit_s=20, gap=0.0)


def test_the_last_piece_goes_to_whoever_has_no_other_way() -> None:
    first = demand(1, on_hand(1, cost=0), on_hand(2, cost=10), day=1)
    second = demand(2, on_hand(1, cost=0), purchase(5_000), day=2)
    given_ = snapshot([first, second], [shelf(1, 1), shelf(2, 1)])
    greedy = greedy_plan(given_.demands, shelves_by_key(given_.shelves))
    assert greedy == {1: 0, 2: 1}

    solved = best(given_)

    assert solved.plan == {1: 1, 2: 0}
    assert (solved.cost_minor, solved.greedy_cost_minor, solved.bound_minor) == (10, 5_000, 10)
    assert solved.gap == 0
    reasons = {choice.demand_id: choice.reason for choice in choices(given_, solved.plan)}
    assert reasons[1].endswith("instead of on hand at warehouse 1, whose pieces serve demand 2 at less cost in all")
    assert reasons[2].endswith("the cheapest there is for it")


def test_shipments_along_one_lane_share_its_freight() -> None:
    # Each alone would come from its neighbour for 60; together they come along one lane for 100.
    demands = [demand(n, transfer(10 + n, 5, base=60), transfer(1, 5, base=100)) for n in (1, 2, 3)]
    given_ = snapshot(demands, [shelf(1, 9), shelf(11, 1), shelf(12, 1), shelf(13, 1)])

    solved = best(given_)

    assert solved.greedy_cost_minor == 180
    assert solved.cost_minor == 100
    assert solved.plan == {1: 1, 2: 1, 3: 1}
    assert "because all demands together cost less this way" in choices(given_, solved.plan)[0].reason


def test_a_lane_that_is_used_anyway_costs_nothing_more() -> None:
    given_ = snapshot([demand(1, transfer(1, 5, base=100), on_hand(2, cost=50))], [shelf(1, 1), shelf(2, 1)])
    assert best(given_).plan == {1: 1}
    assert best(snapshot(list(given_.demands), list(given_.shelves), (Lane(1, 5),))).plan == {1: 0}


def test_each_further_piece_of_a_shelf_risks_more() -> None:
    demands = [demand(n, on_hand(1), on_hand(2, cost=30)) for n in (1, 2, 3)]
    solved = best(snapshot(demands, [shelf(1, 3, 0, 20, 90), shelf(2, 3)]))
    assert sorted(solved.plan.values()) == [0, 0, 1]
    assert solved.cost_minor == 50


def test_pieces_are_never_split_between_warehouses() -> None:
    solved = best(snapshot([demand(1, on_hand(1, pieces=2), on_hand(2, pieces=2, cost=5))], [shelf(1, 1), shelf(2, 2)]))
    assert solved.plan == {1: 1}


def test_what_costs_more_than_going_without_is_refused_and_says_so() -> None:
    given_ = snapshot([demand(1, purchase(500), refusal=400), demand(2)], [])
    solved = best(given_)
    assert solved.plan == {1: None, 2: None}
    dear, none = choices(given_, solved.plan)
    assert dear.kind is None
    assert dear.reason == "every way costs more than going without it (400 minor units)"
    assert none.reason == "no warehouse, kit, alternative or supplier has it"


def test_no_demand_needs_no_solver() -> None:
    assert best(snapshot([], [])).plan == {}


def test_risk_that_falls_is_refused() -> None:
    with pytest.raises(ValueError, match="each further piece must cost at least as much"):
        shelf(1, 2, 20, 10)


@st.composite
def worlds(draw: st.DrawFn) -> Snapshot:
    warehouses = range(1, 4)
    shelves = [
        shelf(warehouse, draw(st.integers(0, 3)), *sorted(draw(st.lists(st.integers(0, 50), max_size=3))))
        for warehouse in warehouses
    ]
    bases = {(a, b): draw(st.integers(0, 80)) for a in warehouses for b in warehouses}
    demands = []
    for number in range(1, draw(st.integers(1, 5)) + 1):
        home, pieces = draw(st.sampled_from(warehouses)), draw(st.integers(1, 2))
        options = [on_hand(home, pieces=pieces, cost=draw(st.integers(0, 40)))]
        options += [
            transfer(start, home, base=bases[start, home], cost=draw(st.integers(-10, 40)), pieces=pieces)
            for start in warehouses
            if start != home
        ]
        if draw(st.booleans()):
            options.append(purchase(draw(st.integers(0, 200))))
        demands.append(demand(number, *options, day=draw(st.integers(0, 5)), refusal=draw(st.integers(50, 300))))
    lanes = draw(st.lists(st.sampled_from([Lane(*key) for key in bases]), max_size=2))
    return snapshot(demands, shelves, tuple(lanes))


def every_plan(given_: Snapshot):
    places = [[*range(len(demand.options)), None] for demand in given_.demands]
    for chosen in itertools.product(*places):
        yield {demand.demand_id: place for demand, place in zip(given_.demands, chosen, strict=True)}


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_it_is_the_best_of_all_plans_and_never_worse_than_the_greedy_one(given_: Snapshot) -> None:
    shelves = shelves_by_key(given_.shelves)

    def cost(plan) -> int | None:
        try:
            return plan_cost_minor(given_.demands, shelves, plan, open_lanes=given_.open_lanes)
        except ValueError:
            return None

    solved = best(given_)

    assert cost(solved.plan) == solved.cost_minor
    assert solved.cost_minor == min(found for plan in every_plan(given_) if (found := cost(plan)) is not None)
    assert solved.bound_minor <= solved.cost_minor <= solved.greedy_cost_minor
    assert [choice.demand_id for choice in choices(given_, solved.plan)] == [d.demand_id for d in given_.demands]
