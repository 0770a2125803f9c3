"""`/v1/warranty-denials`, `/v1/assets/{serial}/warranty/denials`."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from api.assets.service import get_asset
from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Id, Serial
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.denials import service
from api.denials.models import Denial, DenialWithEvidence, NewDenial, NewOverturning

router = APIRouter(prefix="/v1", tags=["denials"], route_class=CallRoute, responses=RESPONSES)

ANYBODY = [allow(*STAFF, *FIELD, "customer")]


@router.post("/assets/{serial}/warranty/denials", status_code=201, dependencies=[allow("agent", "service")])
async def deny_warranty(serial: Serial, body: NewDenial, call: CurrentCall) -> DenialWithEvidence:
    """Refuse the warranty, with the reasons and what the machine itself recorded, frozen."""
    return DenialWithEvidence(**await service.deny(call, serial, body))


@router.get("/assets/{serial}/warranty/denials", dependencies=ANYBODY)
async def list_denials_of_asset(serial: Serial, page: CurrentPage, call: CurrentCall) -> Page[Denial]:
    """A machine's denials, oldest first."""
    await get_asset(call, serial)
    wanted = {**page.parameters, "serial": serial, "ticket_id": None, "state": None}
    return Page[Denial].model_validate(page.page(await service.list_denials(call, wanted), "denial_id"))


@router.get("/warranty-denials", dependencies=[allow(*STAFF)])
async def list_warranty_denials(
    page: CurrentPage,
    call: CurrentCall,
    ticket_id: Annotated[Id | None, Query(description="of this case")] = None,
    state: Literal["standing", "overturned"] | None = None,
) -> Page[Denial]:
    """Denials, oldest first."""
    wanted = {**page.parameters, "serial": None, "ticket_id": ticket_id, "state": state}
    return Page[Denial].model_validate(page.page(await service.list_denials(call, wanted), "denial_id"))


@router.get("/warranty-denials/{denial_id}", dependencies=ANYBODY)
async def get_warranty_denial(denial_id: Id, call: CurrentCall) -> DenialWithEvidence:
    """One denial with its evidence."""
    return DenialWithEvidence(**await service.get_denial(call, denial_id))


@router.post("/warranty-denials/{denial_id}/overturn", dependencies=[allow("desk_lead")])
async def overturn_warranty_denial(denial_id: Id, body: NewOverturning, call: CurrentCall) -> DenialWithEvidence:
    """Take a denial back; its evidence stays."""
    return DenialWithEvidence(**await service.overturn(call, denial_id, body.reason))
