"""`/v1/warehouses` with their bins and opening hours, `/v1/lanes`."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id, Name
from api.conventions.pages import CurrentNamePage, CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.parts.models import Code
from api.warehouses import bins, matrix, opening, service
from api.warehouses.models import (
    Arrival,
    Bin,
    BinCode,
    BinContent,
    BinNote,
    LaneMatrix,
    NewOpeningHours,
    NewWarehouse,
    OpeningDay,
    OpeningHours,
    Placed,
    Placings,
    ShownLane,
    ShownOpeningDay,
    TakenLanes,
    Warehouse,
    WarehouseChange,
)
from api.warehouses.rules import ShippingClass, WarehouseKind

# The tag is the scope of keys: whoever may read parts may read where they are.
router = APIRouter(prefix="/v1", tags=["parts"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
CATALOGUE = [allow("agent", "service")]
# A partner keeps its own warehouses.
KEEPERS = [allow("agent", "service", "dispatcher", "partner_manager")]

Day = Annotated[date, Path(description="e.g. 2026-12-24")]


@router.post("/warehouses", status_code=201, dependencies=CATALOGUE)
async def create_warehouse(body: NewWarehouse, call: CurrentCall, response: Response) -> Warehouse:
    """Add a warehouse."""
    warehouse = Warehouse(**await service.create_warehouse(call, body))
    tag(response, warehouse.version)
    return warehouse


@router.get("/warehouses", dependencies=EVERYBODY)
async def list_warehouses(  # noqa: PLR0917 - FastAPI gives them by name
    page: CurrentPage,
    call: CurrentCall,
    kind: WarehouseKind | None = None,
    territory: Annotated[Name | None, Query()] = None,
    provider_id: Annotated[Id | None, Query(description="whose")] = None,
    technician_id: Annotated[Id | None, Query(description="whose van")] = None,
    active: bool | None = None,
) -> Page[Warehouse]:
    """All warehouses that fit."""
    filters = {"kind": kind, "territory": territory, "provider_id": provider_id, "technician_id": technician_id}
    wanted = {**page.parameters, **filters, "active": active}
    rows = await (await call.connection.execute(service.SQL["list_warehouses"], wanted)).fetchall()
    return Page[Warehouse].model_validate(page.page(rows, "warehouse_id"))


@router.get("/warehouses/{warehouse}", dependencies=EVERYBODY)
async def get_warehouse(warehouse: Code, call: CurrentCall, response: Response) -> Warehouse:
    """One warehouse."""
    found = Warehouse(**await service.get_warehouse(call, warehouse))
    tag(response, found.version)
    return found


@router.patch("/warehouses/{warehouse}", dependencies=CATALOGUE)
async def change_warehouse(
    warehouse: Code, body: WarehouseChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Warehouse:
    """Change a warehouse, close it, or give it to another partner; needs If-Match."""
    found = Warehouse(**await service.change_warehouse(call, warehouse, body, require_version(if_match)))
    tag(response, found.version)
    return found


# Bins -------------------------------------------------------------------------------------------


@router.get("/warehouses/{warehouse}/bins", dependencies=EVERYBODY)
async def list_bins(warehouse: Code, page: CurrentNamePage, call: CurrentCall) -> Page[Bin]:
    """Bins of a warehouse, by code."""
    return Page[Bin].model_validate(page.page(await bins.list_bins(call, warehouse, page.parameters), "code"))


@router.put("/warehouses/{warehouse}/bins/{bin_code}", dependencies=KEEPERS)
async def put_bin(warehouse: Code, bin_code: BinCode, body: BinNote, call: CurrentCall) -> Bin:
    """Make a bin, or write down what one should know of it."""
    return Bin(**await bins.put_bin(call, warehouse, bin_code, body))


@router.delete("/warehouses/{warehouse}/bins/{bin_code}", status_code=204, dependencies=KEEPERS)
async def delete_bin(warehouse: Code, bin_code: BinCode, call: CurrentCall) -> None:
    """Take a bin away that no part has."""
    await bins.delete_bin(call, warehouse, bin_code)


@router.put("/warehouses/{warehouse}/bin-contents", dependencies=KEEPERS)
async def place_parts(warehouse: Code, body: Placings, call: CurrentCall) -> Placed:
    """Say which bins parts lie in, up to 5000 at once."""
    return Placed.model_validate(await bins.place(call, warehouse, body))


@router.get("/warehouses/{warehouse}/bin-contents", dependencies=EVERYBODY)
async def list_bin_contents(
    warehouse: Code,
    page: CurrentPage,
    call: CurrentCall,
    sku: Annotated[Code | None, Query(description="where this part lies")] = None,
    bin_code: Annotated[BinCode | None, Query(alias="bin", description="what lies here")] = None,
) -> Page[BinContent]:
    """Parts that have a bin, and how many lie there."""
    wanted = {**page.parameters, "sku": sku, "bin": bin_code}
    return Page[BinContent].model_validate(page.page(await bins.list_contents(call, warehouse, wanted), "part_id"))


# Opening hours ----------------------------------------------------------------------------------


@router.get("/warehouses/{warehouse}/opening-hours", dependencies=EVERYBODY)
async def get_opening_hours(warehouse: Code, call: CurrentCall) -> OpeningHours:
    """When a warehouse is open, and whether it is now."""
    return OpeningHours.model_validate(await opening.shown_hours(call, warehouse))


@router.put("/warehouses/{warehouse}/opening-hours", dependencies=KEEPERS)
async def put_opening_hours(warehouse: Code, body: NewOpeningHours, call: CurrentCall) -> OpeningHours:
    """Say when a warehouse is open; with a calendar, its holidays and make-up days hold, too."""
    return OpeningHours.model_validate(await opening.put_hours(call, warehouse, body))


@router.delete("/warehouses/{warehouse}/opening-hours", status_code=204, dependencies=KEEPERS)
async def delete_opening_hours(warehouse: Code, call: CurrentCall) -> None:
    """Let a warehouse be open at any time again."""
    await opening.delete_hours(call, warehouse)


@router.put("/warehouses/{warehouse}/opening-days/{day}", dependencies=KEEPERS)
async def put_opening_day(warehouse: Code, day: Day, body: OpeningDay, call: CurrentCall) -> ShownOpeningDay:
    """Say what holds on one day instead, e.g. closed for stocktaking."""
    return ShownOpeningDay.model_validate(await opening.put_day(call, warehouse, day, body))


@router.delete("/warehouses/{warehouse}/opening-days/{day}", status_code=204, dependencies=KEEPERS)
async def delete_opening_day(warehouse: Code, day: Day, call: CurrentCall) -> None:
    """Let a day be like its weekday again."""
    await opening.delete_day(call, warehouse, day)


# Lanes ------------------------------------------------------------------------------------------


@router.put("/lanes", dependencies=CATALOGUE)
async def put_lanes(body: LaneMatrix, call: CurrentCall) -> TakenLanes:
    """Enter the matrix of lead times and freight, or a part of it; a whole one of 200 warehouses fits into one call."""
    return TakenLanes.model_validate(await matrix.put_lanes(call, body))


@router.get("/lanes", dependencies=EVERYBODY)
async def list_lanes(
    page: CurrentPage,
    call: CurrentCall,
    origin: Annotated[Code | None, Query(alias="from")] = None,
    to: Annotated[Code | None, Query()] = None,
) -> Page[ShownLane]:
    """Lanes, those from or to a warehouse if wished."""
    wanted = {**page.parameters, "origin": origin, "destination": to}
    return Page[ShownLane].model_validate(page.page(await matrix.list_lanes(call, wanted), "lane_id"))


@router.get("/lanes/arrival", dependencies=EVERYBODY)
async def get_arrival(
    call: CurrentCall,
    origin: Annotated[Code, Query(alias="from")],
    to: Annotated[Code, Query()],
    weight_grams: Annotated[int, Query(ge=0, le=10**9)] = 0,
    shipping_class: ShippingClass = "normal",
) -> Arrival:
    """When something sent now would arrive, by the lane and both houses' hours, and what its freight would be."""
    return Arrival.model_validate(await matrix.arrival(call, origin, to, weight_grams, shipping_class))


@router.delete("/lanes/{origin}/{to}", status_code=204, dependencies=CATALOGUE)
async def delete_lane(origin: Code, to: Code, call: CurrentCall) -> None:
    """Take a lane back."""
    await matrix.delete_lane(call, origin, to)
