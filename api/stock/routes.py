"""`/v1/parts/stock` and `/v1/parts/movements`: balances, and the ledger behind them."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.parts.models import Code
from api.stock import service
from api.stock.models import Movement, NewMovement, Stock
from api.stock.service import SQL

router = APIRouter(prefix="/v1/parts", tags=["parts"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
STORES = [allow("agent", "dispatcher", "service")]

SkuFilter = Annotated[Code | None, Query()]
WarehouseFilter = Annotated[Code | None, Query()]


@router.post("/movements", status_code=201, dependencies=STORES)
async def create_movement(body: NewMovement, call: CurrentCall) -> Movement:
    """Receive, correct, issue, use, bring back or scrap pieces by hand, and say why."""
    return Movement.of(await service.move_by_hand(call, body))


@router.get("/movements", dependencies=EVERYBODY)
async def list_movements(  # noqa: PLR0917 - the filters of a query
    page: CurrentPage,
    call: CurrentCall,
    sku: SkuFilter = None,
    warehouse: WarehouseFilter = None,
    ticket_id: Annotated[Id | None, Query(description="what was moved for a case")] = None,
    cause: Annotated[str | None, Query(pattern="^[a-z_]{1,20}:.{1,128}$", description="e.g. transfer:12")] = None,
) -> Page[Movement]:
    """The ledger of stock, oldest first."""
    cause_kind, _, cause_key = cause.partition(":") if cause else (None, "", None)
    wanted = {"sku": sku, "ticket_id": ticket_id, "cause_kind": cause_kind, "cause_key": cause_key}
    parameters = {**page.parameters, **wanted, "warehouse": warehouse}
    query = SQL["list_movements"] if warehouse is None else SQL["list_movements_of_warehouse"]
    rows = await (await call.connection.execute(query, parameters)).fetchall()
    found = page.page(rows, "movement_id")
    return Page[Movement](items=[Movement.of(row) for row in found["items"]], next=found["next"])


@router.get("/stock", dependencies=EVERYBODY)
async def list_stock(
    page: CurrentPage, call: CurrentCall, sku: SkuFilter = None, warehouse: WarehouseFilter = None
) -> Page[Stock]:
    """Balances by warehouse and part."""
    parameters = {**page.parameters, "sku": sku, "warehouse": warehouse}
    rows = await (await call.connection.execute(SQL["list_stock"], parameters)).fetchall()
    return Page[Stock].model_validate(page.page(rows, "number"))
