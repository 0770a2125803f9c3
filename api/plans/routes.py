"""`/v1/plans`."""

from fastapi import APIRouter, Response

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.plans import service
from api.plans.models import NewPlan, Occurrence, Plan, PlanChange

router = APIRouter(prefix="/v1/plans", tags=["plans"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
PLANNERS = [allow("agent", "dispatcher", "service")]


@router.post("", status_code=201, dependencies=PLANNERS)
async def create_plan(body: NewPlan, call: CurrentCall, response: Response) -> Plan:
    """Add a maintenance plan; the scheduler turns it into jobs."""
    plan = Plan(**await service.create_plan(call, body))
    tag(response, plan.version)
    return plan


@router.get("", dependencies=EVERYBODY)
async def list_plans(page: CurrentPage, call: CurrentCall, active: bool | None = None) -> Page[Plan]:
    """Plans, only the active ones if wished."""
    parameters = {**page.parameters, "active": active}
    rows = await (await call.connection.execute(service.SQL["list_plans"], parameters)).fetchall()
    return Page[Plan].model_validate(page.page(rows, "plan_id"))


@router.get("/{plan_id}", dependencies=EVERYBODY)
async def get_plan(plan_id: Id, call: CurrentCall, response: Response) -> Plan:
    """One plan."""
    plan = Plan(**await service.get_plan(call, plan_id))
    tag(response, plan.version)
    return plan


@router.patch("/{plan_id}", dependencies=PLANNERS)
async def change_plan(
    plan_id: Id, body: PlanChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Plan:
    """Change a plan; needs If-Match. Jobs made already keep what they were made with."""
    plan = Plan(**await service.change_plan(call, plan_id, body, require_version(if_match)))
    tag(response, plan.version)
    return plan


@router.get("/{plan_id}/occurrences", dependencies=EVERYBODY)
async def list_occurrences(plan_id: Id, page: CurrentPage, call: CurrentCall) -> Page[Occurrence]:
    """The latest occurrence that has a job, asset by asset; assets without one are left out."""
    await service.get_plan(call, plan_id)
    parameters = {**page.parameters, "plan_id": plan_id}
    rows = await (await call.connection.execute(service.SQL["list_occurrences"], parameters)).fetchall()
    return Page[Occurrence].model_validate(page.page(rows, "asset_id"))
