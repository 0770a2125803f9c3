"""What the desk and the nightly plan hand each other as JSON: `/v1/allocation/snapshot` and `/v1/allocation/plans`."""

from dataclasses import dataclass
from datetime import datetime

from careloop.allocation.model import Demand, Lane, OptionKind, Shelf


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All demand that may be planned anew, with what there is for it.

    Attributes:
        as_of: When it was taken.
        currency: Of all costs.
        demands: With their options.
        shelves: Every shelf that an option takes from, as if nothing had been kept for these demands yet.
        open_lanes: Along which something is shipped anyway, so that its base freight is paid.
    """

    as_of: datetime
    currency: str
    demands: tuple[Demand, ...]
    shelves: tuple[Shelf, ...]
    open_lanes: tuple[Lane, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """What a plan chose for a demand; the option is named by what it is, for its place may have changed meanwhile.

    Attributes:
        demand_id: Which demand.
        kind: How it is met; None for refused, and the next two with it.
        part_id: With which part.
        warehouse_id: From where; of a purchase to where.
        reason: Why this one, in words for a dispatcher.
    """

    demand_id: int
    kind: OptionKind | None
    part_id: int | None
    warehouse_id: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class PlanOfAll:
    """Choices for all demands of a snapshot, and how good they are together.

    Attributes:
        as_of: Of the snapshot.
        solver: What made it, e.g. `scip` or `greedy`.
        cost_minor: What it costs.
        greedy_cost_minor: What one answer after the other would cost.
        bound_minor: No plan can cost less, as far as was proven.
        choices: One per demand.
    """

    as_of: datetime
    solver: str
    cost_minor: int
    greedy_cost_minor: int
    bound_minor: int
    choices: tuple[Choice, ...]
