"""`/v1/assets/{serial}/warranty`, `/v1/warranty-terms`."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query

from api.assets.models import NewWarrantyTerm
from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Serial
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.warranty import service
from api.warranty.models import Coverage, WarrantyTerm

router = APIRouter(prefix="/v1", tags=["warranty"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]


@router.post("/assets/{serial}/warranty-terms", status_code=201, dependencies=[allow("agent", "service")])
async def create_warranty_term(serial: Serial, body: NewWarrantyTerm, call: CurrentCall) -> WarrantyTerm:
    """Give an asset a warranty."""
    return WarrantyTerm(**await service.create_term(call, serial, body))


@router.get("/assets/{serial}/warranty", dependencies=EVERYBODY)
async def get_coverage(
    serial: Serial,
    call: CurrentCall,
    on: Annotated[date | None, Query(description="a day; without it, today where the asset stands")] = None,
) -> Coverage:
    """Whether an asset is covered on a day, and why."""
    return Coverage.model_validate(await service.coverage(call, serial, on))


@router.get("/warranty-terms", dependencies=EVERYBODY)
async def list_warranty_terms(
    page: CurrentPage,
    call: CurrentCall,
    ends_from: Annotated[date | None, Query(description="last day covered is this day or later")] = None,
    ends_before: Annotated[date | None, Query(description="last day covered is before this day")] = None,
    unticketed: Annotated[bool | None, Query(description="true: no ticket was ever raised for the term")] = None,
) -> Page[WarrantyTerm]:
    """Warranty terms, by their last day and by whether their end was announced."""
    parameters = {**page.parameters, "ends_from": ends_from, "ends_before": ends_before, "unticketed": unticketed}
    # Planned anew each time, so that the filters given decide the index.
    cursor = await call.connection.execute(service.SQL["list_terms"], parameters, prepare=False)
    return Page[WarrantyTerm].model_validate(page.page(await cursor.fetchall(), "term_id"))
