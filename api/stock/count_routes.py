"""`/v1/stock/counts`: sheets of what lies in a warehouse according to somebody who looked."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.parts.models import Code
from api.stock import counts
from api.stock.count_models import CountLine, Decision, NewCount, NewLines, StockCount
from api.stock.rules import CountState
from api.stock.service import SQL

router = APIRouter(prefix="/v1/stock/counts", tags=["parts"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
COUNTERS = [allow("agent", "dispatcher", "service", *FIELD)]
JUDGES = [allow("agent", "dispatcher", "service", "partner_manager")]


@router.post("", status_code=201, dependencies=COUNTERS)
async def open_count(body: NewCount, call: CurrentCall) -> StockCount:
    """Make a sheet of what is to be counted."""
    return StockCount(**await counts.open_count(call, body))


@router.get("", dependencies=EVERYBODY)
async def list_counts(
    page: CurrentPage,
    call: CurrentCall,
    warehouse: Annotated[Code | None, Query()] = None,
    state: CountState | None = None,
) -> Page[StockCount]:
    """Counts, of one warehouse or in one state if wished; for what they are worth read one."""
    parameters = {**page.parameters, "warehouse": warehouse, "state": state, "stock_count_id": None}
    rows = await (await call.connection.execute(SQL["list_counts"], parameters)).fetchall()
    return Page[StockCount].model_validate(page.page([{**row, "variances": []} for row in rows], "stock_count_id"))


@router.get("/{stock_count_id}", dependencies=EVERYBODY)
async def get_count(stock_count_id: Id, call: CurrentCall) -> StockCount:
    """One count."""
    return StockCount(**await counts.get_count(call, stock_count_id))


@router.get("/{stock_count_id}/lines", dependencies=EVERYBODY)
async def list_count_lines(
    stock_count_id: Id,
    page: CurrentPage,
    call: CurrentCall,
    differing: Annotated[bool, Query(description="only what differs; of a sheet that is handed in")] = False,
) -> Page[CountLine]:
    """The lines of a sheet; while it is a draft without what the ledger expects."""
    count = await counts.get_count(call, stock_count_id)
    draft = count["state"] == "draft"
    parameters = {**page.parameters, "stock_count_id": stock_count_id, "differing": differing and not draft}
    rows = await (await call.connection.execute(SQL["list_count_lines"], parameters)).fetchall()
    hidden = {"expected": None, "variance": None, "value_minor": None, "currency": None} if draft else {}
    return Page[CountLine].model_validate(page.page([{**row, **hidden} for row in rows], "stock_count_line_id"))


@router.post("/{stock_count_id}/lines", dependencies=COUNTERS)
async def tell_lines(stock_count_id: Id, body: NewLines, call: CurrentCall) -> StockCount:
    """Tell what was counted, in as many calls as one likes."""
    return StockCount(**await counts.tell(call, stock_count_id, body))


@router.post("/{stock_count_id}/finish", dependencies=COUNTERS)
async def finish_count(stock_count_id: Id, call: CurrentCall, request: Request) -> StockCount:
    """Hand a sheet in; differences of little value are posted at once, any other waits for somebody's approval."""
    threshold_minor: int = request.app.state.count_approval_minor
    return StockCount(**await counts.finish(call, stock_count_id, threshold_minor))


@router.post("/{stock_count_id}/approve", dependencies=JUDGES)
async def approve_count(stock_count_id: Id, body: Decision, call: CurrentCall) -> StockCount:
    """Believe a count that somebody else made: its differences become movements."""
    return StockCount(**await counts.approve(call, stock_count_id, body.reason))


@router.post("/{stock_count_id}/reject", dependencies=JUDGES)
async def reject_count(stock_count_id: Id, body: Decision, call: CurrentCall) -> StockCount:
    """Do not believe a count; the answer is a new sheet with what differs."""
    return StockCount(**await counts.reject(call, stock_count_id, body.reason))


@router.post("/{stock_count_id}/cancel", dependencies=COUNTERS)
async def cancel_count(stock_count_id: Id, body: Decision, call: CurrentCall) -> StockCount:
    """Throw a draft away."""
    return StockCount(**await counts.cancel(call, stock_count_id, body.reason))
