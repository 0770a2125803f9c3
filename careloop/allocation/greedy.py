"""The plan that single answers make one after the other: the measure for any better one."""

from collections.abc import Iterable, Mapping, Sequence

from careloop.allocation.model import Demand, Lane, Shelf, ShelfKey, Tally, cheapest


def greedy_plan(
    demands: Sequence[Demand], shelves: Mapping[ShelfKey, Shelf], *, open_lanes: Iterable[Lane] = ()
) -> dict[int, int | None]:
    """Each demand, the most urgent first, gets what is cheapest for it at that moment.

    Args:
        demands: All demands, in any order.
        shelves: What there is.
        open_lanes: Lanes along which something is shipped anyway.

    Returns:
        The place of the chosen option per demand; None for refused.
    """
    tally = Tally(shelves, lanes=set(open_lanes))
    plan: dict[int, int | None] = {}
    for demand in sorted(demands, key=lambda demand: (demand.priority, demand.needed_by, demand.demand_id)):
        place = cheapest(demand, tally)
        plan[demand.demand_id] = place
        if place is not None:
            tally.choose(demand.options[place])
    return plan
