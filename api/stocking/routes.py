"""`/v1/stocking`: what is foreseen, what is proposed for it, and stock that nobody uses."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES, Problem
from api.conventions.roles import STAFF
from api.parts.models import Code
from api.stocking import forecasts, runs, service
from api.stocking.models import (
    Acceptance,
    Accepted,
    Accuracy,
    Forecast,
    Idle,
    IdleSum,
    Line,
    NewForecast,
    NewLines,
    NewRun,
    Proposal,
    Rejection,
    Run,
    RunInList,
    Taken,
)
from api.stocking.repository import rows
from api.stocking.rules import DEAD_AFTER, SLOW_COVER_MONTHS, USE_SEEN, Idleness, ProposalKind, ProposalState
from api.warehouses.service import get_warehouse

router = APIRouter(prefix="/v1/stocking", tags=["stocking"], route_class=CallRoute, responses=RESPONSES)

HOUSE = [allow(*STAFF)]
FORESEERS = [allow("service")]
PLANNERS = [allow("agent", "dispatcher", "service")]
DECIDERS = [allow("agent", "dispatcher")]

SkuFilter = Annotated[Code | None, Query()]
WarehouseFilter = Annotated[Code | None, Query()]


@router.post("/forecasts", status_code=201, dependencies=FORESEERS)
async def create_forecast(body: NewForecast, call: CurrentCall) -> Forecast:
    """Begin a forecast; its lines follow."""
    return Forecast(**await forecasts.create(call, body))


@router.get("/forecasts", dependencies=HOUSE)
async def list_forecasts(page: CurrentPage, call: CurrentCall) -> Page[Forecast]:
    """All forecasts, oldest first."""
    return Page[Forecast].model_validate(page.page(await rows(call, "list_forecasts", page.parameters), "forecast_id"))


@router.get("/forecasts/{forecast_id}", dependencies=HOUSE)
async def get_forecast(forecast_id: Id, call: CurrentCall) -> Forecast:
    """One forecast."""
    return Forecast(**await forecasts.get(call, forecast_id))


@router.post("/forecasts/{forecast_id}/lines", dependencies=FORESEERS)
async def add_lines(forecast_id: Id, body: NewLines, call: CurrentCall) -> Taken:
    """Add what is foreseen of parts at warehouses."""
    return Taken(**await forecasts.add_lines(call, forecast_id, body))


@router.get("/forecasts/{forecast_id}/lines", dependencies=HOUSE)
async def list_lines(
    forecast_id: Id, page: CurrentPage, call: CurrentCall, sku: SkuFilter = None, warehouse: WarehouseFilter = None
) -> Page[Line]:
    """What is foreseen by part and warehouse, and what came of it."""
    await forecasts.get(call, forecast_id)
    wanted = {**page.parameters, "forecast_id": forecast_id, "sku": sku, "warehouse": warehouse}
    return Page[Line].model_validate(page.page(await rows(call, "list_lines", wanted), "line_id"))


@router.post("/forecasts/{forecast_id}/complete", dependencies=FORESEERS)
async def complete_forecast(forecast_id: Id, call: CurrentCall) -> Forecast:
    """All lines are there; it may be planned by."""
    return Forecast(**await forecasts.complete(call, forecast_id))


@router.get("/accuracy", dependencies=HOUSE)
async def list_accuracy(page: CurrentPage, call: CurrentCall) -> Page[Accuracy]:
    """How good each forecast was, over its lines whose time has passed."""
    return Page[Accuracy].model_validate(page.page(await rows(call, "list_accuracy", page.parameters), "forecast_id"))


@router.post("/runs", status_code=201, dependencies=PLANNERS)
async def create_run(body: NewRun, call: CurrentCall) -> Run:
    """Propose levels, transfers and purchases for a budget and a service level."""
    return Run.of(await runs.create(call, body))


@router.get("/runs", dependencies=HOUSE)
async def list_runs(page: CurrentPage, call: CurrentCall) -> Page[RunInList]:
    """All runs, oldest first."""
    shown = page.page(await rows(call, "list_runs", page.parameters), "run_id")
    return Page[RunInList](items=[RunInList.of(row) for row in shown["items"]], next=shown["next"])


@router.get("/runs/{run_id}", dependencies=HOUSE)
async def get_run(run_id: Id, call: CurrentCall) -> Run:
    """One run, and the service level that money buys."""
    return Run.of(await runs.get(call, run_id))


@router.post("/runs/{run_id}/accept", dependencies=DECIDERS)
async def accept_of_run(run_id: Id, body: Acceptance, call: CurrentCall) -> Accepted:
    """Accept what is still proposed of a run, of some kinds if wished."""
    return Accepted.model_validate(await service.accept_of_run(call, run_id, body))


@router.get("/proposals", dependencies=HOUSE)
async def list_proposals(  # noqa: PLR0917 - FastAPI gives them by name
    page: CurrentPage,
    call: CurrentCall,
    run_id: Annotated[Id | None, Query()] = None,
    state: ProposalState | None = None,
    kind: ProposalKind | None = None,
    sku: SkuFilter = None,
    warehouse: WarehouseFilter = None,
) -> Page[Proposal]:
    """Proposals that fit; of a run the best for their money first."""
    wanted = {"run_id": run_id, "state": state, "kind": kind, "sku": sku, "warehouse": warehouse}
    found = await rows(call, "list_proposals", {**page.parameters, **wanted})
    return Page[Proposal].model_validate(page.page(found, "proposal_id"))


@router.get("/proposals/{proposal_id}", dependencies=HOUSE)
async def get_proposal(proposal_id: Id, call: CurrentCall) -> Proposal:
    """One proposal."""
    return Proposal(**await service.get(call, proposal_id))


@router.post("/proposals/{proposal_id}/accept", dependencies=DECIDERS)
async def accept_proposal(proposal_id: Id, call: CurrentCall) -> Proposal:
    """Do it: set the levels, plan the transfer, add to the draft order."""
    return Proposal(**await service.accept(call, proposal_id))


@router.post("/proposals/{proposal_id}/reject", dependencies=DECIDERS)
async def reject_proposal(proposal_id: Id, body: Rejection, call: CurrentCall) -> Proposal:
    """It won't be done."""
    return Proposal(**await service.reject(call, proposal_id, body.reason))


@router.get("/idle", dependencies=HOUSE)
async def list_idle(
    page: CurrentPage,
    call: CurrentCall,
    kind: Idleness | None = None,
    sku: SkuFilter = None,
    warehouse: WarehouseFilter = None,
) -> Page[Idle]:
    """Slow and dead stock, with its age, last use, cover and value; of one kind only by warehouse."""
    if kind is not None and warehouse is None:
        raise Problem.bad_field("query.warehouse", "name the warehouse: of one kind stock is listed by warehouse only")
    wanted = {**_thresholds(call), "kind": kind, "sku": sku, "warehouse": warehouse}
    shown = page.page(await rows(call, "list_idle", {**page.parameters, **wanted}), "number")
    items = [Idle(**row, age_days=row["stocked_at"] and (call.now - row["stocked_at"]).days) for row in shown["items"]]
    return Page[Idle](items=items, next=shown["next"])


@router.get("/idle/summary", dependencies=HOUSE)
async def get_idle_summary(call: CurrentCall, warehouse: Annotated[Code, Query()]) -> list[IdleSum]:
    """How much money lies dead, slow and moving in a warehouse."""
    found = await get_warehouse(call, warehouse)
    wanted = {**_thresholds(call), "warehouse_id": found["warehouse_id"]}
    return [IdleSum(**row) for row in await rows(call, "idle_summary", wanted)]


def _thresholds(call: CurrentCall) -> dict[str, Any]:
    return {
        "rested_since": call.now - DEAD_AFTER,
        "used_since": call.now - USE_SEEN,
        "slow_months": SLOW_COVER_MONTHS,
    }
