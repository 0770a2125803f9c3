"""`/v1/old-parts`, `/v1/return-slips`, `/v1/old-part-rules`."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from api.conventions.call import Call, CallRoute, CurrentCall, allow
from api.conventions.etags import tag
from api.conventions.models import Id, Name, Time
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.returns import inspecting, old_part_rules, service, slips
from api.returns.models import (
    Evidence,
    FindingCounts,
    FullReturnSlip,
    NewInspection,
    NewOldPartRule,
    NewReturnSlip,
    OldPart,
    OldPartReceipt,
    OldPartRule,
    ReturnedPart,
    ReturnSlip,
    Shipping,
    SlipContents,
    SlipReceipt,
    StateFilter,
    ToRepair,
    Waiver,
    WriteOff,
)

router = APIRouter(prefix="/v1", tags=["returns"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
RECEIVERS = [allow("agent", "dispatcher", "service")]
INSPECTORS = [allow("agent", "engineer", "service")]
SENDERS = [allow("agent", "dispatcher", "service", *FIELD)]
LEAD = [allow("desk_lead", "service")]
_PAPER = {200: {"content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}}


async def _part(call: Call, old_part_id: int, response: Response) -> OldPart:
    part = OldPart.model_validate(await service.get_old_part(call, old_part_id))
    tag(response, part.version)
    return part


async def _slip(call: Call, return_slip_id: int, response: Response) -> FullReturnSlip:
    slip = FullReturnSlip.model_validate(await slips.get_slip(call, return_slip_id))
    tag(response, slip.version)
    return slip


# Old parts ------------------------------------------------------------------------------------------


@router.get("/old-parts", dependencies=EVERYBODY)
async def show_old_parts(
    page: CurrentPage,
    call: CurrentCall,
    *,
    state: Annotated[StateFilter | None, Query(description="all if left out")] = None,
    provider_id: Annotated[Id | None, Query(description="whose technician took it out")] = None,
    visit_id: Annotated[Id | None, Query()] = None,
    ticket_id: Annotated[Id | None, Query()] = None,
) -> Page[ReturnedPart]:
    """Old parts that are due back or to be scrapped, and those that were; a partner's people see their own."""
    named = {"provider_id": provider_id, "visit_id": visit_id, "ticket_id": ticket_id}
    found = await service.list_old_parts(call, {**page.parameters, **named}, state)
    return Page[ReturnedPart].model_validate(page.page(found, "old_part_id"))


@router.get("/old-parts/findings", dependencies=[allow("agent", "engineer", "service")])
async def show_findings(
    call: CurrentCall,
    since: Annotated[Time, Query()],
    until: Annotated[Time, Query(description="not included")],
    model: Annotated[Name | None, Query(description="only machines of this model")] = None,
) -> FindingCounts:
    """What inspected parts turned out to be, by model, component and part: what the engineers learn from returns."""
    return FindingCounts.model_validate({"items": await inspecting.findings(call, since, until, model)})


@router.get("/old-parts/{old_part_id}", dependencies=EVERYBODY)
async def show_old_part(old_part_id: Id, call: CurrentCall, response: Response) -> OldPart:
    """One old part, with its inspections."""
    return await _part(call, old_part_id, response)


@router.post("/old-parts/{old_part_id}/received", dependencies=RECEIVERS)
async def receive_old_part(old_part_id: Id, body: OldPartReceipt, call: CurrentCall, response: Response) -> OldPart:
    """Take in an old part that has come back by itself, once; some of its pieces, until all have come."""
    part = await service.lock_old_part(call, old_part_id)
    await service.receive(call, part, body.quantity, body.note, "body.quantity")
    return await _part(call, old_part_id, response)


@router.post("/old-parts/{old_part_id}/scrap", dependencies=SENDERS)
async def scrap_old_part(old_part_id: Id, body: Evidence, call: CurrentCall, response: Response) -> OldPart:
    """Show by photos that an old part was scrapped on site, where that is its rule."""
    await service.scrap(call, old_part_id, body.files, body.note)
    return await _part(call, old_part_id, response)


@router.post("/old-parts/{old_part_id}/inspect", dependencies=INSPECTORS)
async def inspect_old_part(old_part_id: Id, body: NewInspection, call: CurrentCall, response: Response) -> OldPart:
    """Keep what a received part turned out to be; of several inspections the last counts."""
    await inspecting.inspect(call, old_part_id, body)
    return await _part(call, old_part_id, response)


@router.post("/old-parts/{old_part_id}/repair", dependencies=INSPECTORS)
async def repair_old_part(old_part_id: Id, body: ToRepair, call: CurrentCall, response: Response) -> OldPart:
    """Send an inspected part to be repaired and used again, if it is such a part."""
    await inspecting.to_repair(call, old_part_id, body)
    return await _part(call, old_part_id, response)


@router.post("/old-parts/{old_part_id}/write-off", dependencies=INSPECTORS)
async def write_off_old_part(old_part_id: Id, body: WriteOff, call: CurrentCall, response: Response) -> OldPart:
    """Write off an inspected part, or one that evidence shows will not come."""
    await service.write_off(call, old_part_id, body.reason, body.files)
    return await _part(call, old_part_id, response)


@router.post("/old-parts/{old_part_id}/waive", dependencies=LEAD)
async def waive_old_part(old_part_id: Id, body: Waiver, call: CurrentCall, response: Response) -> OldPart:
    """Do without an old part; its visit is settled as if it had come."""
    await service.waive(call, old_part_id, body.reason)
    return await _part(call, old_part_id, response)


# Parcels --------------------------------------------------------------------------------------------


@router.post("/return-slips", status_code=201, dependencies=SENDERS)
async def open_return_slip(body: NewReturnSlip, call: CurrentCall, response: Response) -> FullReturnSlip:
    """Pack old parts of one partner into a parcel."""
    return await _slip(call, await slips.open_slip(call, body), response)


@router.get("/return-slips", dependencies=EVERYBODY)
async def list_return_slips(
    page: CurrentPage,
    call: CurrentCall,
    *,
    state: Annotated[Literal["open", "shipped", "received", "cancelled"] | None, Query()] = None,
    provider_id: Annotated[Id | None, Query()] = None,
) -> Page[ReturnSlip]:
    """Parcels with old parts; a partner's people see their own."""
    found = await slips.list_slips(call, {**page.parameters, "state": state, "provider_id": provider_id})
    return Page[ReturnSlip].model_validate(page.page(found, "return_slip_id"))


@router.get("/return-slips/{return_slip_id}", dependencies=EVERYBODY)
async def show_return_slip(return_slip_id: Id, call: CurrentCall, response: Response) -> FullReturnSlip:
    """One parcel with its parts."""
    return await _slip(call, return_slip_id, response)


@router.get(
    "/return-slips/{return_slip_id}/paper",
    dependencies=EVERYBODY,
    response_class=Response,
    responses=_PAPER,  # type: ignore[arg-type] # FastAPI's own form, whose type is wider than what is written here
)
async def get_return_slip_paper(return_slip_id: Id, call: CurrentCall) -> Response:
    """The slip that goes into the parcel, as PDF."""
    headers = {"Content-Disposition": f'inline; filename="return-slip-{return_slip_id}.pdf"'}
    return Response(await slips.paper(call, return_slip_id), media_type="application/pdf", headers=headers)


@router.post("/return-slips/{return_slip_id}/parts", dependencies=SENDERS)
async def change_return_slip(
    return_slip_id: Id, body: SlipContents, call: CurrentCall, response: Response
) -> FullReturnSlip:
    """Put old parts into an open parcel, or take some out."""
    await slips.change_contents(call, return_slip_id, body)
    return await _slip(call, return_slip_id, response)


@router.post("/return-slips/{return_slip_id}/ship", dependencies=SENDERS)
async def ship_return_slip(return_slip_id: Id, body: Shipping, call: CurrentCall, response: Response) -> FullReturnSlip:
    """The parcel was handed to a carrier."""
    await slips.ship(call, return_slip_id, body)
    return await _slip(call, return_slip_id, response)


@router.post("/return-slips/{return_slip_id}/cancel", dependencies=SENDERS)
async def cancel_return_slip(return_slip_id: Id, call: CurrentCall, response: Response) -> FullReturnSlip:
    """The parcel is not sent; its parts are expected as before."""
    await slips.cancel(call, return_slip_id)
    return await _slip(call, return_slip_id, response)


@router.post("/return-slips/{return_slip_id}/receive", dependencies=RECEIVERS)
async def receive_return_slip(
    return_slip_id: Id, body: SlipReceipt, call: CurrentCall, response: Response
) -> FullReturnSlip:
    """The parcel has arrived: what is named was in it, what is not is expected again."""
    await slips.take_in(call, return_slip_id, body)
    return await _slip(call, return_slip_id, response)


# Rules ----------------------------------------------------------------------------------------------


@router.post("/old-part-rules", status_code=201, dependencies=LEAD)
async def create_old_part_rule(body: NewOldPartRule, call: CurrentCall) -> OldPartRule:
    """Say what becomes of old parts; a rule for the very same ones gives way."""
    return OldPartRule.model_validate(await old_part_rules.create_rule(call, body))


@router.get("/old-part-rules", dependencies=EVERYBODY)
async def list_old_part_rules(
    page: CurrentPage, call: CurrentCall, *, with_ended: Annotated[bool, Query()] = False
) -> Page[OldPartRule]:
    """What becomes of old parts, by rule."""
    found = await old_part_rules.list_rules(call, {**page.parameters, "with_ended": with_ended})
    return Page[OldPartRule].model_validate(page.page(found, "old_part_rule_id"))


@router.post("/old-part-rules/{old_part_rule_id}/end", dependencies=LEAD)
async def end_old_part_rule(old_part_rule_id: Id, call: CurrentCall) -> OldPartRule:
    """Take a rule out of force; what it said of visits completed before stays."""
    return OldPartRule.model_validate(await old_part_rules.end_rule(call, old_part_rule_id))
