"""Which piece to get next, and what may become of a proposal."""

import itertools
import random

import pytest

from api.stocking import marginal
from api.stocking.marginal import Freight, Market, Shelf, Terms
from api.stocking.planning import Place, plan
from api.stocking.rules import PROPOSAL, PROPOSAL_STATES, enough, exceeding


def _shelf(part, warehouse, gains, position=0, owner=None, **more):
    return Shelf(part, warehouse, owner, tuple(gains), position, position, **more)


def _no_way(_part, _origin, _destination):
    return None


def test_money_goes_where_it_avoids_most():
    cheap, dear = _shelf(1, 1, (0.9, 0.4, 0.1)), _shelf(2, 1, (0.99, 0.8, 0.5))
    market = Market([cheap, dear], {1: Terms(100), 2: Terms(1000)}, _no_way)
    steps = list(market.buy(1300, 1.0))
    assert [(step.part_id, step.cost_minor) for step in steps] == [(1, 100), (1, 100), (1, 100), (2, 1000)]
    assert market.spent_minor == 1300
    assert market.service_level == pytest.approx(1 - 1.3 / 3.69)
    ratios = [step.ratio for step in steps]
    assert ratios == sorted(ratios, reverse=True)


def test_no_other_way_to_spend_the_same_money_is_better():
    """Against every combination that costs no more: here, what the first pieces of an endless budget cost."""
    draw = random.Random(5)
    for _ in range(30):
        gains = [sorted((draw.uniform(0.01, 1) for _ in range(3)), reverse=True) for _ in range(3)]
        prices = [draw.randint(1, 5) for _ in range(3)]
        shelves = [_shelf(part, 1, gains[part]) for part in range(3)]
        market = Market(shelves, {part: Terms(price) for part, price in enumerate(prices)}, _no_way)
        steps = list(market.buy(1000, 1.0))[: draw.randint(1, 8)]
        money, got = sum(step.cost_minor for step in steps), sum(step.gain for step in steps)
        for counts in itertools.product(range(4), repeat=3):
            if sum(n * price for n, price in zip(counts, prices, strict=True)) <= money:
                assert sum(sum(gains[part][:n]) for part, n in enumerate(counts)) <= got + 1e-9


def test_pieces_come_from_where_they_are_not_wanted():
    def way(_part, _origin, _destination):
        return Freight(50, 10)

    needy, idle = _shelf(1, 1, (0.9, 0.5, 0.2)), _shelf(1, 2, (), position=2, planned=False)
    wanted_there = _shelf(1, 3, (0.9, 0.9), position=2)
    market = Market([needy, idle, wanted_there], {1: Terms(1000)}, way)
    steps = list(market.buy(10_000, 1.0))
    # Freight has its base once; the third piece is bought, for the other shelf needs its own.
    assert [(step.origin_id, step.cost_minor) for step in steps] == [(2, 60), (2, 10), (None, 1000)]
    assert (idle.position, wanted_there.position, needy.position) == (0, 2, 3)


def test_what_is_a_partners_own_stays_with_it():
    def way(_part, _origin, _destination):
        return Freight(0, 1)

    shelves = [_shelf(1, 1, (0.9,), owner=7), _shelf(1, 2, (), position=3, owner=8, planned=False)]
    assert not list(Market(shelves, {}, way).buy(1000, 1.0))
    shelves[1].owner = 7
    assert [step.origin_id for step in Market(shelves, {}, way).buy(1000, 1.0)] == [2]


def test_minimum_and_packs_are_bought_whole():
    market = Market([_shelf(1, 1, (0.9, 0.8, 0.7, 0.6, 0.5, 0.4))], {1: Terms(10, minimum=3, pack=2)}, _no_way)
    steps = list(market.buy(1000, 1.0))
    assert [(step.pieces, step.cost_minor) for step in steps] == [(4, 40), (2, 20)]
    assert steps[0].gain == pytest.approx(3.0)


def test_a_plan_says_why_and_what_money_buys():
    place = Place(_shelf(1, 1, (0.9, 0.5, 0.1)), covered_days=44, look_days=30, min_before=None, max_before=None)
    outcome = plan([place], [], {1: Terms(1000)}, _no_way, budget_minor=2000, service_level=0.99)
    purchase, levels = outcome.proposals
    assert (purchase.kind, purchase.quantity, purchase.cost_minor) == ("purchase", 2, 2000)
    assert purchase.avoided == pytest.approx(1.4)
    assert "avoids 1.40 of the pieces that would be short in 44 days" in purchase.reason
    assert (levels.kind, levels.min_quantity, levels.max_quantity) == ("levels", 1, 2)
    assert outcome.short_before == pytest.approx(1.5)
    assert outcome.short_after == pytest.approx(0.1)
    # The curve goes on beyond the budget.
    assert outcome.curve == [(money, pytest.approx(level, abs=1e-3)) for money, level in
                             [(0, 0), (1000, 0.6), (2000, 0.933), (3000, 1)]]  # fmt: skip
    nothing = plan([place], [], {}, _no_way, budget_minor=0, service_level=0.9)
    assert [one.kind for one in nothing.proposals] == ["levels"]


def test_long_curves_are_thinned_and_keep_their_ends():
    curve = [(money, money / 1000) for money in range(1000)]
    thin = marginal.thinned(curve)
    assert len(thin) == marginal.CURVE_POINTS
    assert (thin[0], thin[-1]) == (curve[0], curve[-1])


def test_states_and_chances():
    assert PROPOSAL.states == PROPOSAL_STATES
    assert PROPOSAL.final == {"accepted", "rejected", "superseded"}
    assert exceeding([0.5, 0.3, 0.2]) == pytest.approx((0.5, 0.2))
    assert exceeding([1.0]) == ()
    assert [enough([0.5, 0.3, 0.2], level) for level in (0.5, 0.8, 0.95)] == [0, 1, 2]
