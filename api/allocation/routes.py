"""`/v1/allocation`: demands for parts, what was decided for each, the policy, and plans of all demands."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from api.allocation import planning, service
from api.allocation.gathering import read_policy
from api.allocation.models import (
    Cancellation,
    DecidedDemand,
    Decision,
    Demand,
    NewDemand,
    PlanGiven,
    PlanResult,
    Policy,
    PolicyChange,
    SnapshotShown,
)
from api.allocation.rules import DEMAND, DemandState
from api.conventions.answers import json_answer
from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.parts.models import Code

router = APIRouter(prefix="/v1/allocation", tags=["allocation"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
STORES = [allow("agent", "dispatcher", "service")]
PLANNERS = [allow("service", "dispatcher")]


class DemandFilter:
    """Which demands are listed: of one ticket, job or part (the first that is given counts), in one state if wished."""

    def __init__(
        self,
        ticket_id: Annotated[Id | None, Query()] = None,
        job_id: Annotated[Id | None, Query()] = None,
        sku: Annotated[Code | None, Query()] = None,
        state: DemandState | None = None,
    ) -> None:
        states = [state] if state else list(DEMAND.states)
        self.wanted: dict[str, Any] = {"ticket_id": ticket_id, "job_id": job_id, "sku": sku, "states": states}


@router.post("/demands", status_code=201, dependencies=STORES)
async def create_demand(body: NewDemand, call: CurrentCall, response: Response) -> DecidedDemand:
    """Ask for a part by a date at a place, and be told where it comes from; 200 when it was asked for already."""
    row, made = await service.create_demand(call, body)
    response.status_code = 201 if made else 200
    return DecidedDemand.model_validate(row)


@router.get("/demands", dependencies=EVERYBODY)
async def list_demands(
    page: CurrentPage, call: CurrentCall, filtered: Annotated[DemandFilter, Depends(DemandFilter)]
) -> Page[Demand]:
    """Demands: of one ticket, job or part (the first that is given counts), in one state if wished."""
    rows = await service.list_demands(call, page.parameters, filtered.wanted)
    return Page[Demand].model_validate(page.page(rows, "part_demand_id"))


@router.get("/demands/{part_demand_id}", dependencies=EVERYBODY)
async def get_demand(part_demand_id: Id, call: CurrentCall) -> DecidedDemand:
    """One demand, with every option that was considered last and why the others were none."""
    return DecidedDemand.model_validate(await service.get_demand(call, part_demand_id))


@router.get("/demands/{part_demand_id}/decisions", dependencies=[allow(*STAFF)])
async def list_decisions(part_demand_id: Id, page: CurrentPage, call: CurrentCall) -> Page[Decision]:
    """Everything that was decided for a demand, oldest first."""
    rows = await service.list_decisions(call, part_demand_id, page.parameters)
    return Page[Decision].model_validate(page.page(rows, "part_decision_id"))


@router.post("/demands/{part_demand_id}/allocate", dependencies=STORES)
async def allocate_again(part_demand_id: Id, call: CurrentCall) -> DecidedDemand:
    """Decide anew where the part comes from; what is still the best stays."""
    return DecidedDemand.model_validate(await service.decide_again(call, part_demand_id))


@router.post("/demands/{part_demand_id}/cancel", dependencies=STORES)
async def cancel_demand(part_demand_id: Id, body: Cancellation, call: CurrentCall) -> DecidedDemand:
    """Give a demand up: its pieces are free again, its transfer is called off, its order is for nobody."""
    return DecidedDemand.model_validate(await service.cancel(call, part_demand_id, body.reason))


@router.get("/policy", dependencies=[allow(*STAFF)])
async def get_policy(call: CurrentCall, response: Response) -> Policy:
    """What counts how much in deciding."""
    row = await read_policy(call)
    tag(response, row["version"])
    return Policy.model_validate(row)


@router.patch("/policy", dependencies=[allow("dispatcher")])
async def change_policy(body: PolicyChange, call: CurrentCall, response: Response, if_match: IfMatch = None) -> Policy:
    """Let something count differently from now on; decisions made stay as they are."""
    row = await service.change_policy(call, body, require_version(if_match))
    tag(response, row["version"])
    return Policy.model_validate(row)


@router.get("/snapshot", response_model=SnapshotShown, dependencies=PLANNERS)
async def get_snapshot(call: CurrentCall, most: Annotated[int, Query(ge=1, le=5000)] = 2000) -> Response:
    """Demands that can be planned anew, the most urgent, with their options and what there is for them."""
    return json_answer(await planning.snapshot(call, most))


@router.post("/plans", dependencies=PLANNERS)
async def apply_plan(body: PlanGiven, call: CurrentCall) -> PlanResult:
    """Take over a plan of all demands: each choice is judged by what is now, and applied or refused by itself."""
    return PlanResult.model_validate(await planning.apply_plan(call, body))
