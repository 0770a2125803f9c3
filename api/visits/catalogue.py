"""`/v1/sops`, `/v1/fault-codes`."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id, Name
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.visits import procedures
from api.visits.repository import get_fault_code, get_sop, list_fault_codes, list_sops
from api.visits.sop_models import FaultCode, FaultCodeChange, ItemCode, Level, NewFaultCode, NewSop, Sop

router = APIRouter(prefix="/v1", tags=["visits"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
AUTHORS = [allow("engineer", "service")]

WithOld = Annotated[bool, Query(description="also those out of use")]


@router.post("/sops", status_code=201, dependencies=AUTHORS)
async def create_sop(body: NewSop, call: CurrentCall) -> Sop:
    """Make a procedure, or the next version of the one with that code; visits keep the version they were made with."""
    return Sop.model_validate(await procedures.create_sop(call, body))


@router.get("/sops", dependencies=EVERYBODY)
async def show_sops(
    page: CurrentPage, call: CurrentCall, code: Annotated[ItemCode | None, Query()] = None, *, with_old: WithOld = False
) -> Page[Sop]:
    """Procedures."""
    found = await list_sops(call, {**page.parameters, "code": code, "with_old": with_old})
    return Page[Sop].model_validate(page.page(found, "sop_id"))


@router.get("/sops/{sop_id}", dependencies=EVERYBODY)
async def show_sop(sop_id: Id, call: CurrentCall) -> Sop:
    """One version of a procedure."""
    return Sop.model_validate(await get_sop(call, sop_id))


@router.post("/sops/{sop_id}/withdraw", dependencies=AUTHORS)
async def withdraw_sop(sop_id: Id, call: CurrentCall) -> Sop:
    """Take a procedure out of use; visits that have it keep it."""
    return Sop.model_validate(await procedures.withdraw_sop(call, sop_id))


@router.post("/fault-codes", status_code=201, dependencies=AUTHORS)
async def create_fault_code(body: NewFaultCode, call: CurrentCall, response: Response) -> FaultCode:
    """Add an entry to the fault catalogue of a product kind."""
    made = FaultCode.model_validate(await procedures.create_fault_code(call, body))
    tag(response, made.version)
    return made


@router.get("/fault-codes", dependencies=EVERYBODY)
async def show_fault_codes(
    page: CurrentPage,
    call: CurrentCall,
    product_kind: Annotated[Name, Query()],
    level: Annotated[Level | None, Query()] = None,
    *,
    with_old: WithOld = False,
) -> Page[FaultCode]:
    """The fault catalogue of a product kind."""
    wanted = {**page.parameters, "product_kind": product_kind, "level": level, "with_old": with_old}
    return Page[FaultCode].model_validate(page.page(await list_fault_codes(call, wanted), "fault_code_id"))


@router.get("/fault-codes/{fault_code_id}", dependencies=EVERYBODY)
async def show_fault_code(fault_code_id: Id, call: CurrentCall, response: Response) -> FaultCode:
    """One entry of the fault catalogue."""
    found = FaultCode.model_validate(await get_fault_code(call, fault_code_id))
    tag(response, found.version)
    return found


@router.patch("/fault-codes/{fault_code_id}", dependencies=AUTHORS)
async def change_fault_code(
    fault_code_id: Id, body: FaultCodeChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> FaultCode:
    """Change an entry; needs If-Match. Old reports keep what they said."""
    row = await procedures.change_fault_code(call, fault_code_id, body, require_version(if_match))
    changed = FaultCode.model_validate(row)
    tag(response, changed.version)
    return changed
