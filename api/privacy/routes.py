"""`/v1/customers/{customer_id}/export`, `/erase` and `/erasure`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Id
from api.conventions.problems import MEDIA_TYPE, RESPONSES, ProblemDocument
from api.privacy import service
from api.privacy.models import Erase, Erasure, Export

MOVED: dict[int | str, dict[str, Any]] = {
    308: {"model": ProblemDocument, "description": "The customer was merged into another", "content": {MEDIA_TYPE: {}}}
}

router = APIRouter(prefix="/v1/customers", tags=["privacy"], route_class=CallRoute, responses=RESPONSES)


@router.get("/{customer_id}/export", dependencies=[allow("desk_lead")], responses=MOVED)
async def export_customer(
    customer_id: Id, call: CurrentCall, files: Annotated[bool, Query(description="with the bytes of files")] = False
) -> Export:
    """Everything that is kept about a customer, in one document to hand over."""
    return Export.model_validate(await service.export(call, customer_id, with_files=files))


@router.post("/{customer_id}/erase", dependencies=[allow("desk_lead")])
async def erase_customer(customer_id: Id, body: Erase, call: CurrentCall) -> Erasure:
    """Forget a customer, for ever; cases keep their facts without the person."""
    return Erasure(**await service.erase(call, customer_id, body))


@router.get("/{customer_id}/erasure", dependencies=[allow("desk_lead", "engineer")])
async def get_erasure(customer_id: Id, call: CurrentCall) -> Erasure:
    """That a customer was forgotten: when, by whom, why, and how much."""
    return Erasure(**await service.get_erasure(call, customer_id))
