"""All demands at once as an integer programme; pure.

A binary per option (exactly one per demand, or refused), a variable per lane that is 1 once anything is shipped along
it, and one per piece of a shelf that costs what taking that piece risks. Risk never falls from piece to piece, so the
relaxed piece variables fill up in their order by themselves; and because each option is tied to its lane one by one
(rather than their sum to a multiple of it) the relaxation lies close to the optimum: the uncapacitated facility
location formulation of Balinski (Integer Programming, Management Science 12(3), 1965).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil, isfinite

from ortools.math_opt.python import mathopt

from careloop.allocation.exchange import Snapshot
from careloop.allocation.greedy import greedy_plan
from careloop.allocation.model import Demand, Lane, Plan, Shelf, ShelfKey, plan_cost_minor, shelves_by_key

SOLVER = "highs"
CHOSEN_ABOVE = 0.5


@dataclass(frozen=True, slots=True)
class Solved:
    """A plan, and how good it is.

    Attributes:
        plan: The place of the chosen option per demand; None for refused.
        solver: What made it: `highs`, or `greedy` where nothing better was found in time.
        cost_minor: What it costs.
        greedy_cost_minor: What one answer after the other costs.
        bound_minor: No plan costs less, as far as was proven.
    """

    plan: Plan
    solver: str
    cost_minor: int
    greedy_cost_minor: int
    bound_minor: int

    @property
    def gap(self) -> float:
        """How far above the proven bound it is, as a part of the bound."""
        if self.cost_minor == self.bound_minor:
            return 0.0
        return (self.cost_minor - self.bound_minor) / max(1, abs(self.bound_minor))


class _Programme:
    """The integer programme of one snapshot."""

    def __init__(self, snapshot: Snapshot, shelves: dict[ShelfKey, Shelf]) -> None:
        self._model = mathopt.Model()
        self._demands = snapshot.demands
        self._chosen: list[list[mathopt.Variable]] = []
        takes: dict[ShelfKey, list[tuple[mathopt.Variable, int]]] = defaultdict(list)
        shipped: dict[Lane, list[tuple[mathopt.Variable, int]]] = defaultdict(list)
        paid = set(snapshot.open_lanes)
        for demand in snapshot.demands:
            chosen = self._one_of(demand)
            self._chosen.append(chosen)
            for variable, option in zip(chosen, demand.options, strict=False):
                for take in option.takes:
                    takes[take.shelf].append((variable, take.pieces))
                if option.lane is not None and option.lane not in paid:
                    shipped[option.lane].append((variable, option.freight_base_minor))
        for options in shipped.values():
            self._ship(options)
        for key, uses in takes.items():
            self._take(shelves.get(key), uses)

    def _one_of(self, demand: Demand) -> list[mathopt.Variable]:
        """A variable per option, and one more for refusing."""
        costs = [*(option.own_minor for option in demand.options), demand.refusal_minor]
        exactly_one = self._model.add_linear_constraint(lb=1, ub=1)
        variables = []
        for cost in costs:
            variable = self._model.add_binary_variable()
            exactly_one.set_coefficient(variable, 1)
            self._model.objective.set_linear_coefficient(variable, cost)
            variables.append(variable)
        return variables

    def _ship(self, options: Sequence[tuple[mathopt.Variable, int]]) -> None:
        """The lane's base freight is paid once any of them is chosen."""
        objective = self._model.objective
        base = max(freight for _, freight in options)
        if len(options) == 1:
            variable = options[0][0]
            objective.set_linear_coefficient(variable, objective.get_linear_coefficient(variable) + base)
            return
        lane = self._model.add_variable(lb=0, ub=1)
        objective.set_linear_coefficient(lane, base)
        for variable, _ in options:
            tied = self._model.add_linear_constraint(ub=0)
            tied.set_coefficient(variable, 1)
            tied.set_coefficient(lane, -1)

    def _take(self, shelf: Shelf | None, uses: Sequence[tuple[mathopt.Variable, int]]) -> None:
        """No more than there is, each piece at its risk."""
        pieces = min(shelf.available if shelf else 0, sum(quantity for _, quantity in uses))
        balance = self._model.add_linear_constraint(lb=0, ub=0)
        for variable, quantity in uses:
            balance.set_coefficient(variable, quantity)
        for place in range(pieces):
            piece = self._model.add_variable(lb=0, ub=1)
            balance.set_coefficient(piece, -1)
            if shelf is not None:
                self._model.objective.set_linear_coefficient(piece, shelf.risk_of(place, 1))

    def solve(self, *, time_limit_s: float, gap: float) -> tuple[Plan | None, float]:
        """The best plan found, if any, and the proven bound."""
        parameters = mathopt.SolveParameters(
            time_limit=timedelta(seconds=time_limit_s), relative_gap_tolerance=gap, enable_output=False
        )
        result = mathopt.solve(self._model, mathopt.SolverType.HIGHS, params=parameters)
        bound = result.termination.objective_bounds.dual_bound
        if not result.has_primal_feasible_solution():
            return None, bound
        values = result.variable_values()
        plan: dict[int, int | None] = {}
        for demand, variables in zip(self._demands, self._chosen, strict=True):
            places = (place for place, variable in enumerate(variables) if values[variable] > CHOSEN_ABOVE)
            place = next(places, len(demand.options))
            plan[demand.demand_id] = None if place == len(demand.options) else place
        return plan, bound


def _proven(bound: float, snapshot: Snapshot, greedy_cost: int) -> int:
    """The solver's bound as whole money: it may be rounded up, and a hair is left for the solver's arithmetic.

    Where nothing was proven in time, no plan costs less than the cheapest option of each demand by itself.
    """
    alone = sum(min([*(o.own_minor for o in d.options), d.refusal_minor]) for d in snapshot.demands)
    return min(greedy_cost, max(alone, ceil(bound - 1e-3)) if isfinite(bound) else alone)


def solve(snapshot: Snapshot, *, time_limit_s: float, gap: float) -> Solved:
    """The cheapest plan that can be found in time, and never a dearer one than the greedy plan.

    Args:
        snapshot: Demands, options and shelves.
        time_limit_s: How long may be searched.
        gap: Good enough when no more than this part above the proven bound.
    """
    shelves = shelves_by_key(snapshot.shelves)
    greedy = greedy_plan(snapshot.demands, shelves, open_lanes=snapshot.open_lanes)
    greedy_cost = plan_cost_minor(snapshot.demands, shelves, greedy, open_lanes=snapshot.open_lanes)
    if not snapshot.demands:
        return Solved(greedy, "greedy", greedy_cost, greedy_cost, greedy_cost)
    found, bound = _Programme(snapshot, shelves).solve(time_limit_s=time_limit_s, gap=gap)
    proven = _proven(bound, snapshot, greedy_cost)
    if found is not None:
        cost = plan_cost_minor(snapshot.demands, shelves, found, open_lanes=snapshot.open_lanes)
        if cost < greedy_cost:
            return Solved(found, SOLVER, cost, greedy_cost, min(proven, cost))
    return Solved(greedy, "greedy", greedy_cost, greedy_cost, proven)
