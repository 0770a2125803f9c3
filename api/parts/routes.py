"""`/v1/parts`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from api.conventions.call import Call, CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Name
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.parts import catalogue, service
from api.parts.models import Code, NewPart, Part, PartChange, PartState, ShippingClass, Sku

router = APIRouter(prefix="/v1", tags=["parts"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
CATALOGUE = [allow("agent", "service")]


@router.post("/parts", status_code=201, dependencies=CATALOGUE)
async def create_part(body: NewPart, call: CurrentCall, response: Response) -> Part:
    """Add a part to the catalogue."""
    return _shown(call, response, await service.create_part(call, body))


@router.get("/parts", dependencies=EVERYBODY)
async def list_parts(
    page: CurrentPage,
    call: CurrentCall,
    q: Annotated[Name | None, Query(description="words of the SKU or the name; the last may be a beginning")] = None,
    sku_prefix: Annotated[Code | None, Query()] = None,
    state: Annotated[PartState | None, Query()] = None,
    *,
    shipping_class: Annotated[ShippingClass | None, Query()] = None,
    imported: Annotated[bool | None, Query()] = None,
    serialised: Annotated[bool | None, Query()] = None,
    rotable: Annotated[bool | None, Query()] = None,
) -> Page[Part]:
    """All parts, or those that fit."""
    wanted = {
        "q": q,
        "sku_prefix": sku_prefix,
        "state": state,
        "shipping_class": shipping_class,
        "imported": imported,
        "serialised": serialised,
        "rotable": rotable,
    }
    rows = await service.list_parts(call, page.parameters, wanted)
    return Page[Part].model_validate(page.page([_seen(call, row) for row in rows], "part_id"))


@router.get("/parts/{sku}", dependencies=EVERYBODY)
async def get_part(sku: Sku, call: CurrentCall, response: Response) -> Part:
    """One part."""
    return _shown(call, response, await service.get_part(call, sku))


@router.patch("/parts/{sku}", dependencies=CATALOGUE)
async def change_part(
    sku: Sku, body: PartChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Part:
    """Change a part; needs If-Match."""
    return _shown(call, response, await catalogue.change_part(call, sku, body, require_version(if_match)))


@router.post("/parts/{sku}/discontinue", dependencies=CATALOGUE)
async def discontinue_part(sku: Sku, call: CurrentCall, response: Response) -> Part:
    """Note that a part cannot be had any more; what there is may be used up."""
    return _shown(call, response, await catalogue.discontinue(call, sku))


@router.post("/parts/{sku}/reinstate", dependencies=CATALOGUE)
async def reinstate_part(sku: Sku, call: CurrentCall, response: Response) -> Part:
    """Note that a discontinued part can be had again."""
    return _shown(call, response, await catalogue.reinstate(call, sku))


def _shown(call: Call, response: Response, row: dict[str, Any]) -> Part:
    tag(response, row["version"])
    return Part(**_seen(call, row))


def _seen(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    """What the caller may see of a part: what it costs the house is no partner's business."""
    return {**row, "cost_minor": None} if call.principal.scoped else row
