"""Why the plan chose what it chose, in words; pure."""

from collections import defaultdict
from collections.abc import Mapping

from careloop.allocation.exchange import Choice, Snapshot
from careloop.allocation.model import Demand, Option, Plan, Shelf, ShelfKey, Tally, cheapest, shelves_by_key

# Others named in a reason; a dispatcher reads it in one line.
MOST_NAMED = 3


def choices(snapshot: Snapshot, plan: Plan) -> tuple[Choice, ...]:
    """A choice per demand, each with its reason.

    What a demand would get if it were alone is the measure: where it gets something else, the reason says who gets it.
    """
    shelves = shelves_by_key(snapshot.shelves)
    takers: dict[ShelfKey, list[int]] = defaultdict(list)
    for demand in snapshot.demands:
        place = plan.get(demand.demand_id)
        if place is not None:
            for take in demand.options[place].takes:
                takers[take.shelf].append(demand.demand_id)
    return tuple(_choice(demand, plan.get(demand.demand_id), snapshot, shelves, takers) for demand in snapshot.demands)


def _choice(
    demand: Demand,
    place: int | None,
    snapshot: Snapshot,
    shelves: Mapping[ShelfKey, Shelf],
    takers: Mapping[ShelfKey, list[int]],
) -> Choice:
    alone = cheapest(demand, Tally(shelves, lanes=set(snapshot.open_lanes)))
    if place is None:
        return Choice(demand.demand_id, None, None, None, _refused(demand, alone, shelves, takers))
    option = demand.options[place]
    if place == alone:
        why = "the cheapest there is for it"
    elif alone is None:
        why = "worth it together with the other demands, by freight that they share"
    else:
        why = (
            f"instead of {_name(demand.options[alone])}, {_given_away(demand, demand.options[alone], shelves, takers)}"
        )
    return Choice(
        demand.demand_id, option.kind, option.part_id, option.warehouse_id, f"{option.reason or _name(option)}: {why}"
    )


def _refused(
    demand: Demand, alone: int | None, shelves: Mapping[ShelfKey, Shelf], takers: Mapping[ShelfKey, list[int]]
) -> str:
    if not demand.options:
        return "no warehouse, kit, alternative or supplier has it"
    if alone is None:
        return f"every way costs more than going without it ({demand.refusal_minor} minor units)"
    return f"{_name(demand.options[alone])} would do, {_given_away(demand, demand.options[alone], shelves, takers)}"


def _given_away(
    demand: Demand, option: Option, shelves: Mapping[ShelfKey, Shelf], takers: Mapping[ShelfKey, list[int]]
) -> str:
    for take in option.takes:
        others = [number for number in takers[take.shelf] if number != demand.demand_id]
        if others and len(others) + take.pieces > shelves[take.shelf].available:
            named = ", ".join(str(number) for number in sorted(others)[:MOST_NAMED])
            more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
            return f"whose pieces serve demand {named}{more} at less cost in all"
    return "because all demands together cost less this way"


def _name(option: Option) -> str:
    return f"{option.kind.value.replace('_', ' ')} at warehouse {option.warehouse_id}"
