"""`/v1/parts`, `/v1/warehouses`, stock, its movements and reservations."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.parts import service
from api.parts.models import (
    Code,
    Movement,
    NewMovement,
    NewPart,
    NewReservation,
    NewWarehouse,
    Part,
    Reservation,
    ReservationState,
    Sku,
    Stock,
    Warehouse,
)

router = APIRouter(prefix="/v1", tags=["parts"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
CATALOGUE = [allow("agent", "service")]
STORES = [allow("agent", "dispatcher", "service")]
USERS_OF_PARTS = [allow("dispatcher", "technician", "service")]

ALL_STATES: list[ReservationState] = ["reserved", "consumed", "released"]

SkuFilter = Annotated[Code | None, Query()]
WarehouseFilter = Annotated[Code | None, Query()]


@router.post("/parts", status_code=201, dependencies=CATALOGUE)
async def create_part(body: NewPart, call: CurrentCall) -> Part:
    """Add a part to the catalogue."""
    return Part(**await service.create_part(call, body))


@router.get("/parts", dependencies=EVERYBODY)
async def list_parts(page: CurrentPage, call: CurrentCall) -> Page[Part]:
    """All parts."""
    rows = await (await call.connection.execute(service.SQL["list_parts"], page.parameters)).fetchall()
    return Page[Part].model_validate(page.page(rows, "part_id"))


@router.post("/warehouses", status_code=201, dependencies=CATALOGUE)
async def create_warehouse(body: NewWarehouse, call: CurrentCall) -> Warehouse:
    """Add a warehouse."""
    return Warehouse(**await service.create_warehouse(call, body))


@router.get("/warehouses", dependencies=EVERYBODY)
async def list_warehouses(page: CurrentPage, call: CurrentCall) -> Page[Warehouse]:
    """All warehouses."""
    rows = await (await call.connection.execute(service.SQL["list_warehouses"], page.parameters)).fetchall()
    return Page[Warehouse].model_validate(page.page(rows, "warehouse_id"))


@router.post("/parts/movements", status_code=201, dependencies=STORES)
async def create_movement(body: NewMovement, call: CurrentCall) -> Movement:
    """Receive pieces, or correct a count."""
    return Movement(**await service.move(call, body))


@router.get("/parts/movements", dependencies=EVERYBODY)
async def list_movements(
    page: CurrentPage, call: CurrentCall, sku: SkuFilter = None, warehouse: WarehouseFilter = None
) -> Page[Movement]:
    """The ledger of stock, oldest first."""
    parameters = {**page.parameters, "sku": sku, "warehouse": warehouse}
    rows = await (await call.connection.execute(service.SQL["list_movements"], parameters)).fetchall()
    return Page[Movement].model_validate(page.page(rows, "movement_id"))


@router.get("/parts/stock", dependencies=EVERYBODY)
async def list_stock(
    page: CurrentPage, call: CurrentCall, sku: SkuFilter = None, warehouse: WarehouseFilter = None
) -> Page[Stock]:
    """Balances by warehouse and part."""
    parameters = {**page.parameters, "sku": sku, "warehouse": warehouse}
    rows = await (await call.connection.execute(service.SQL["list_stock"], parameters)).fetchall()
    return Page[Stock].model_validate(page.page(rows, "number"))


@router.post("/parts/reservations", status_code=201, dependencies=STORES)
async def create_reservation(body: NewReservation, call: CurrentCall, response: Response) -> Reservation:
    """Keep a part for a job at the best warehouse; 200 with the open reservation when there is one already."""
    row, made = await service.reserve(call, body)
    response.status_code = 201 if made else 200
    return Reservation(**row)


@router.get("/parts/reservations", dependencies=EVERYBODY)
async def list_reservations(
    page: CurrentPage,
    call: CurrentCall,
    job_id: Annotated[Id | None, Query()] = None,
    state: ReservationState | None = None,
) -> Page[Reservation]:
    """Reservations, of one job or in one state if wished."""
    parameters = {**page.parameters, "job_id": job_id, "states": [state] if state else ALL_STATES}
    query = service.SQL["list_reservations" if job_id is None else "list_reservations_of_job"]
    rows = await (await call.connection.execute(query, parameters)).fetchall()
    return Page[Reservation].model_validate(page.page(rows, "reservation_id"))


@router.get("/parts/reservations/{reservation_id}", dependencies=EVERYBODY)
async def get_reservation(reservation_id: Id, call: CurrentCall) -> Reservation:
    """One reservation."""
    return Reservation(**await service.get_reservation(call, reservation_id))


@router.post("/parts/reservations/{reservation_id}/release", dependencies=STORES)
async def release_reservation(reservation_id: Id, call: CurrentCall) -> Reservation:
    """Give a part back to what is available."""
    return Reservation(**await service.settle(call, reservation_id, "released"))


@router.post("/parts/reservations/{reservation_id}/consume", dependencies=USERS_OF_PARTS)
async def consume_reservation(reservation_id: Id, call: CurrentCall) -> Reservation:
    """Record that a part was used; it leaves the stock."""
    return Reservation(**await service.settle(call, reservation_id, "consumed"))


@router.get("/parts/{sku}", dependencies=EVERYBODY)
async def get_part(sku: Sku, call: CurrentCall) -> Part:
    """One part."""
    return Part(**await service.get_part(call, sku))
