"""From what is foreseen and what is there to proposals, each with its reason. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from api.stocking.marginal import Freight, Market, Shelf, Step, Terms, level_for, order_point, thinned, worth_keeping
from api.stocking.rules import ProposalKind

BEYOND_BUDGET = 3
"""The curve shows what up to so many times the budget would buy."""
MOST_SERVICE = 0.999


@dataclass(frozen=True)
class Place:
    """A part at a warehouse that something may be proposed for.

    Attributes:
        shelf: What is foreseen and what is there.
        covered_days: For how long the shelf must last.
        look_days: Of them, between two looks.
        min_before: Level to order at that holds now; None for none.
        max_before: Level to order up to that holds now.
    """

    shelf: Shelf
    covered_days: int
    look_days: int
    min_before: int | None
    max_before: int | None


@dataclass(frozen=True)
class Proposal:
    """What is proposed; of levels only `min_quantity` and `max_quantity`, of the others `quantity`."""

    kind: ProposalKind
    part_id: int
    warehouse_id: int
    from_warehouse_id: int | None
    quantity: int | None
    min_quantity: int | None
    max_quantity: int | None
    min_before: int | None
    max_before: int | None
    cost_minor: int
    avoided: float
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What came of planning.

    Attributes:
        proposals: The best for their money first; then levels.
        spent_minor: By all of them.
        wanted: Expected pieces wanted.
        short_before: Expected pieces short without them.
        short_after: And with them.
        curve: (Money, service level) from nothing spent to beyond the budget.
    """

    proposals: list[Proposal]
    spent_minor: int
    wanted: float
    short_before: float
    short_after: float
    curve: list[tuple[int, float]]


def plan(
    places: list[Place],
    givers: list[Shelf],
    terms: Mapping[int, Terms],
    way: Callable[[int, int, int], Freight | None],
    *,
    budget_minor: int,
    service_level: float,
) -> Outcome:
    """Spend a budget where it avoids most shortage, until a service level is reached.

    Args:
        places: What may get something.
        givers: Shelves that only give.
        terms: By part, how it is bought.
        way: Freight of (part, from, to).
        budget_minor: Most money.
        service_level: Share of the wanted pieces that is enough.
    """
    market = Market([place.shelf for place in places] + givers, terms, way)
    short_before = market.shortage
    curve = [(0, market.service_level)]
    steps = []
    for step in market.buy(budget_minor, service_level):
        steps.append(step)
        curve.append((market.spent_minor, market.service_level))
    spent, short_after = market.spent_minor, market.shortage
    bought = [step.ratio for step in steps if step.origin_id is None]
    proposals = [*_movements(steps, places), *_levels(places, terms, min(bought, default=None), service_level)]
    further = market.buy(max(spent, budget_minor) * BEYOND_BUDGET, MOST_SERVICE)
    curve.extend((market.spent_minor, market.service_level) for _ in further)
    return Outcome(proposals, spent, market.wanted, short_before, short_after, thinned(curve))


def _movements(steps: Iterable[Step], places: Iterable[Place]) -> list[Proposal]:
    """Steps of one part and way are one proposal, in the order of their first."""
    days = {(place.shelf.part_id, place.shelf.warehouse_id): place.covered_days for place in places}
    together: dict[tuple[int, int, int | None], list[Step]] = defaultdict(list)
    for step in steps:
        together[step.part_id, step.warehouse_id, step.origin_id].append(step)
    found = []
    for (part_id, warehouse_id, origin_id), same in together.items():
        pieces, cost = sum(step.pieces for step in same), sum(step.cost_minor for step in same)
        avoided = sum(step.gain for step in same)
        what = "moving it there" if origin_id is not None else "buying"
        reason = (
            f"{what} avoids {avoided:.2f} of the pieces that would be short in {days[part_id, warehouse_id]} days, "
            f"{_rate(avoided, cost)}"
        )
        kind: ProposalKind = "purchase" if origin_id is None else "transfer"
        found.append(
            Proposal(
                kind, part_id, warehouse_id, origin_id, pieces, None, None, None, None, cost, max(avoided, 0.0), reason
            )
        )
    return found


def _rate(avoided: float, cost_minor: int) -> str:
    return f"{avoided * 100_000 / cost_minor:.3f} for every 1000 of money" if cost_minor else "for nothing"


def _levels(
    places: Iterable[Place], terms: Mapping[int, Terms], least_ratio: float | None, service_level: float
) -> list[Proposal]:
    """Levels that are not what holds already.

    Where money was spent its last use says what a piece must be worth; where none was, each shelf by itself reaches
    the service level.
    """
    found = []
    for place in places:
        shelf = place.shelf
        price = terms.get(shelf.part_id)
        wanted = sum(shelf.exceeding)
        if least_ratio is None or price is None:
            most = level_for(shelf, service_level)
        else:
            most = worth_keeping(shelf, price.price_minor, least_ratio)
        least = order_point(most, wanted, place.look_days / place.covered_days)
        if (least, most) == (place.min_before or 0, place.max_before or 0):
            continue
        before, after = sum(shelf.exceeding[place.max_before or 0 :]), sum(shelf.exceeding[most:])
        reason = (
            f"{wanted:.2f} wanted in {place.covered_days} days; full at {most}, {after:.2f} of them would be short; "
            f"ordered at {least}, since {wanted * place.look_days / place.covered_days:.2f} go between two looks"
        )
        found.append(
            Proposal(
                "levels", shelf.part_id, shelf.warehouse_id, None, None, least, most, place.min_before,
                place.max_before, 0, max(before - after, 0.0), reason,
            )
        )  # fmt: skip
    return found
