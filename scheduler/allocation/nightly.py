"""Fetches what is open from the desk, plans it all together, and hands the plan back."""

import logging
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from careloop.allocation.exchange import PlanOfAll, Snapshot
from careloop.client import CareloopClient
from scheduler.allocation.reasons import choices
from scheduler.instant import Instant

SNAPSHOT = TypeAdapter(Snapshot)
PLAN = TypeAdapter(PlanOfAll)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Planned:
    """What a night's plan did.

    Attributes:
        demands: How many were planned.
        applied: How many choices the desk took over.
        refused: How many it did not, because the world had moved on.
        saved_minor: What the plan costs less than one answer after the other.
        gap: How far above the proven bound it is, as a part of it.
    """

    demands: int
    applied: int
    refused: int
    saved_minor: int
    gap: float


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

        snapshot = SNAPSHOT.validate_python(self._client.get("/v1/allocation/snapshot", now=instant.told))
        if not snapshot.demands:
            return Planned(0, 0, 0, 0, 0.0)
        solved = solve(snapshot, time_limit_s=self._time_limit_s, gap=self._gap)
        plan = PlanOfAll(
            as_of=snapshot.as_of,
            solver=solved.solver,
            cost_minor=solved.cost_minor,
            greedy_cost_minor=solved.greedy_cost_minor,
            bound_minor=solved.bound_minor,
            choices=choices(snapshot, solved.plan),
        )
        answer: dict[str, Any] = self._client.post(
            "/v1/allocation/plans", PLAN.dump_python(plan, mode="json"), now=instant.told
        )
        planned = Planned(
            demands=len(snapshot.demands),
            applied=answer["applied"],
            refused=answer["refused"],
            saved_minor=solved.greedy_cost_minor - solved.cost_minor,
            gap=solved.gap,
        )
        log.info("all demand planned: %s", asdict(planned))
        return planned
