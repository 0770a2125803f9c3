"""`/v1/parts/stock` and `/v1/parts/movements`: balances, and the ledger behind them."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.parts.models import Code
from api.stock import service
from api.stock.models import Movement, NewMovement, Stock

router = APIRouter(prefix="/v1/parts", tags=["parts"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
STORES = [allow("agent", "dispatcher", "service")]

SkuFilter = Annotated[Code | None, Query()]
WarehouseFilter = Annotated[Code | None, Query()]


@router.post("/movements", status_code=201, dependencies=STORES)
async def create_movement(body: NewMovement, call: CurrentCall) -> Movement:
    """Receive pieces, or correct a count."""
    return Movement.of(await service.move_by_hand(call, body))


@router.get("/movements", dependencies=EVERYBODY)
async def list_movements(
    page: CurrentPage, call: CurrentCall, sku: SkuFilter = None, warehouse: WarehouseFilter = None
) -> Page[Movement]:
    """The ledger of stock, oldest first."""
    parameters = {**page.parameters, "sku": sku, "warehouse": warehouse}
    rows = await (await call.connection.execute(service.SQL["list_movements"], parameters)).fetchall()
    found = page.page(rows, "movement_id")
    return Page[Movement](items=[Movement.of(row) for row in found["items"]], next=found["next"])


@router.get("/stock", dependencies=EVERYBODY)
async def list_stock(
    page: CurrentPage, call: CurrentCall, sku: SkuFilter = None, warehouse: WarehouseFilter = None
) -> Page[Stock]:
    """Balances by warehouse and part."""
    parameters = {**page.parameters, "sku": sku, "warehouse": warehouse}
    rows = await (await call.connection.execute(service.SQL["list_stock"], parameters)).fetchall()
    return Page[Stock].model_validate(page.page(rows, "number"))
