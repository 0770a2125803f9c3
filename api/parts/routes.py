"""`/v1/parts`."""

from fastapi import APIRouter

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.parts import service
from api.parts.models import NewPart, Part, Sku

router = APIRouter(prefix="/v1", tags=["parts"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
CATALOGUE = [allow("agent", "service")]


@router.post("/parts", status_code=201, dependencies=CATALOGUE)
async def create_part(body: NewPart, call: CurrentCall) -> Part:
    """Add a part to the catalogue."""
    return Part(**await service.create_part(call, body))


@router.get("/parts", dependencies=EVERYBODY)
async def list_parts(page: CurrentPage, call: CurrentCall) -> Page[Part]:
    """All parts."""
    rows = await (await call.connection.execute(service.SQL["list_parts"], page.parameters)).fetchall()
    return Page[Part].model_validate(page.page(rows, "part_id"))


@router.get("/parts/{sku}", dependencies=EVERYBODY)
async def get_part(sku: Sku, call: CurrentCall) -> Part:
    """One part."""
    return Part(**await service.get_part(call, sku))
