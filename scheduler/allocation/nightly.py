"""Fetches what is open from the desk, plans it all together, and hands the plan back."""

import logging
from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from pydantic import TypeAdapter

from careloop.allocation.exchange import PlanOfAll, Snapshot
from careloop.client import CareloopClient
from scheduler.allocation.reasons import choices
from scheduler.instant import Instant

SNAPSHOT = TypeAdapter(Snapshot)
PLAN = TypeAdapter(PlanOfAll)

# Demands planned together at most, the most urgent; the others wait for the next night.
MOST_DEMANDS = 5_000
# Choices handed back in one call: each is a transaction of its own at the desk, which also has others to serve.
HANDED_AT_ONCE = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Planned:
    """What a night's plan did.

    Attributes:
        demands: How many were planned.
        applied: How many choices the desk took over.
        kept: How many were its own answer already.
        refused: How many it did not, because the world had moved on.
        saved_minor: What the plan costs less than one answer after the other.
        gap: How far above the proven bound it is, as a part of it.
    """

    demands: int
    applied: int
    kept: int
    refused: int
    saved_minor: int
    gap: float


def fetch(client: CareloopClient, *, now: datetime | None) -> Snapshot:
    """What is open, with all its options.

    Raises:
        ProblemError: The API refuses.
    """
    return SNAPSHOT.validate_python(client.get("/v1/allocation/snapshot", now=now, most=MOST_DEMANDS))


def hand_over(client: CareloopClient, plan: PlanOfAll, *, now: datetime | None) -> Counter[str]:
    """Give the desk the choices: how many it `applied`, `kept` as they were, and `refused`.

    Choices of one part go together, for they may exchange pieces. What is refused is tried once more at the end, when
    all other pieces have been given free; what is refused then is so because the world has moved on.

    Raises:
        ProblemError: The API refuses the plan as such.
    """
    counts: Counter[str] = Counter()
    ordered = sorted(plan.choices, key=lambda choice: (choice.part_id or 0, choice.demand_id))
    refused = _hand_over(client, replace(plan, choices=tuple(ordered)), now, counts)
    again = tuple(choice for choice in ordered if choice.demand_id in refused)
    counts["refused"] = len(_hand_over(client, replace(plan, choices=again), now, counts))
    return counts


def _hand_over(client: CareloopClient, plan: PlanOfAll, now: datetime | None, counts: Counter[str]) -> set[int]:
    """Which demands' choices were refused."""
    refused: set[int] = set()
    for first in range(0, len(plan.choices), HANDED_AT_ONCE):
        part = replace(plan, choices=plan.choices[first : first + HANDED_AT_ONCE])
        answer = client.post("/v1/allocation/plans", PLAN.dump_python(part, mode="json"), now=now)
        for result in answer["results"]:
            if result["result"] == "refused":
                refused.add(result["demand_id"])
            else:
                counts[result["result"]] += 1
    return refused


class NightlyPlan:
    """Plans all open demand through the API.

    Args:
        client: Of the API.
        time_limit_s: How long may be searched.
        gap: Good enough when no more than this part above the proven bound.
    """

    def __init__(self, client: CareloopClient, *, time_limit_s: float, gap: float) -> None:
        self._client = client
        self._time_limit_s = time_limit_s
        self._gap = gap

    def run(self, instant: Instant) -> Planned:
        """Plan what is open now.

        Raises:
            ProblemError: The API refuses.
            CareloopError: OR-Tools has no such solver.
        """
        # Hundreds of milliseconds and tens of megabytes: only where a plan is made.
        from scheduler.allocation.solver import solve  # noqa: PLC0415

        snapshot = fetch(self._client, now=instant.told)
        if not snapshot.demands:
            return Planned(0, 0, 0, 0, 0, 0.0)
        solved = solve(snapshot, time_limit_s=self._time_limit_s, gap=self._gap)
        plan = PlanOfAll(
            as_of=snapshot.as_of,
            solver=solved.solver,
            cost_minor=solved.cost_minor,
            greedy_cost_minor=solved.greedy_cost_minor,
            bound_minor=solved.bound_minor,
            choices=choices(snapshot, solved.plan),
        )
        counts = hand_over(self._client, plan, now=instant.told)
        planned = Planned(
            demands=len(snapshot.demands),
            applied=counts["applied"],
            kept=counts["kept"],
            refused=counts["refused"],
            saved_minor=solved.greedy_cost_minor - solved.cost_minor,
            gap=solved.gap,
        )
        log.info("all demand planned: %s", asdict(planned))
        return planned
