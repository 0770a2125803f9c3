"""`/v1/kits`: what is done with kits; what is in them stands under `/v1/parts/{sku}/kit`."""

from fastapi import APIRouter

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.problems import RESPONSES
from api.kits import service
from api.kits.models import Conversion, Converted
from api.parts.models import Sku

router = APIRouter(prefix="/v1/kits", tags=["parts"], route_class=CallRoute, responses=RESPONSES)

STORES = [allow("agent", "dispatcher", "partner_manager", "service")]


@router.post("/{sku}/take-apart", dependencies=STORES)
async def take_apart(sku: Sku, body: Conversion, call: CurrentCall) -> Converted:
    """Take kits apart: what was in them lies free on the same shelves."""
    return Converted.model_validate(await service.convert(call, sku, body, "taken_apart"))


@router.post("/{sku}/put-together", dependencies=STORES)
async def put_together(sku: Sku, body: Conversion, call: CurrentCall) -> Converted:
    """Put kits together from what lies free."""
    return Converted.model_validate(await service.convert(call, sku, body, "put_together"))
