"""`/v1/suppliers`, `/v1/supplier-claims`."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id, Name, Serial
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.recovery import service
from api.recovery.models import (
    Claim,
    ClaimChange,
    ClaimMove,
    ClaimState,
    NewClaim,
    NewSupplier,
    NewSupply,
    RecoveryTotal,
    Supplier,
    SupplierChange,
    Supply,
)

router = APIRouter(prefix="/v1", tags=["recovery"], route_class=CallRoute, responses=RESPONSES)

LEAD = [allow("desk_lead")]
DESK = [allow("agent", "service")]
READERS = [allow("agent", "engineer", "service")]


@router.post("/suppliers", status_code=201, dependencies=LEAD)
async def create_supplier(body: NewSupplier, call: CurrentCall, response: Response) -> Supplier:
    """Add a supplier."""
    supplier = Supplier(**await service.create_supplier(call, body))
    tag(response, supplier.version)
    return supplier


@router.get("/suppliers", dependencies=READERS)
async def list_suppliers(page: CurrentPage, call: CurrentCall) -> Page[Supplier]:
    """All suppliers."""
    parameters = {**page.parameters, "code": None}
    rows = await (await call.connection.execute(service.SQL["list_suppliers"], parameters)).fetchall()
    return Page[Supplier].model_validate(page.page(rows, "supplier_id"))


@router.get("/suppliers/{code}", dependencies=READERS)
async def get_supplier(code: Name, call: CurrentCall, response: Response) -> Supplier:
    """One supplier."""
    supplier = Supplier(**await service.get_supplier(call, code))
    tag(response, supplier.version)
    return supplier


@router.patch("/suppliers/{code}", dependencies=LEAD)
async def change_supplier(
    code: Name, body: SupplierChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Supplier:
    """Change a supplier; needs If-Match."""
    supplier = Supplier(**await service.change_supplier(call, code, body, require_version(if_match)))
    tag(response, supplier.version)
    return supplier


@router.post("/suppliers/{code}/supplies", status_code=201, dependencies=LEAD)
async def add_supply(code: Name, body: NewSupply, call: CurrentCall) -> Supply:
    """Say which component or part a supplier answers for, and how long."""
    return Supply(**await service.add_supply(call, code, body))


@router.get("/suppliers/{code}/supplies", dependencies=READERS)
async def list_supplies(code: Name, page: CurrentPage, call: CurrentCall) -> Page[Supply]:
    """What a supplier answers for."""
    supplier = await service.get_supplier(call, code)
    parameters = {**page.parameters, "supplier_id": supplier["supplier_id"]}
    rows = await (await call.connection.execute(service.SQL["list_supplies"], parameters)).fetchall()
    return Page[Supply].model_validate(page.page(rows, "supply_id"))


@router.delete("/suppliers/{code}/supplies/{supply_id}", status_code=204, dependencies=LEAD)
async def remove_supply(code: Name, supply_id: Id, call: CurrentCall) -> None:
    """A supplier answers for it no more; claims stay."""
    await service.remove_supply(call, code, supply_id)


@router.get("/suppliers/{code}/recovery", dependencies=READERS)
async def get_recovery(code: Name, call: CurrentCall) -> Page[RecoveryTotal]:
    """A supplier's claims by state: how many, and how much was claimed, accepted and settled; all on one page."""
    return Page[RecoveryTotal].model_validate({"items": await service.totals(call, code), "next": None})


@router.post("/supplier-claims", status_code=201, dependencies=DESK)
async def draft_supplier_claim(body: NewClaim, call: CurrentCall, response: Response) -> Claim:
    """Draft a claim for a failure or a replacement; a replaced failure drafts its own by itself."""
    claim = Claim(**await service.draft(call, body))
    tag(response, claim.version)
    return claim


@router.get("/supplier-claims", dependencies=READERS)
async def list_supplier_claims(
    page: CurrentPage,
    call: CurrentCall,
    supplier: Annotated[Name | None, Query(description="its code")] = None,
    state: ClaimState | None = None,
    serial: Annotated[Serial | None, Query(description="of this asset")] = None,
) -> Page[Claim]:
    """Claims, oldest first."""
    parameters = {**page.parameters, "supplier": supplier, "state": state, "serial": serial}
    # Planned anew each time, so that the filters given decide the index.
    cursor = await call.connection.execute(service.SQL["list_claims"], parameters, prepare=False)
    return Page[Claim].model_validate(page.page(await cursor.fetchall(), "claim_id"))


@router.get("/supplier-claims/{claim_id}", dependencies=READERS)
async def get_supplier_claim(claim_id: Id, call: CurrentCall, response: Response) -> Claim:
    """One claim."""
    claim = Claim(**await service.get_claim(call, claim_id))
    tag(response, claim.version)
    return claim


@router.patch("/supplier-claims/{claim_id}", dependencies=DESK)
async def change_supplier_claim(
    claim_id: Id, body: ClaimChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Claim:
    """Change what a draft claims; needs If-Match."""
    claim = Claim(**await service.change_claim(call, claim_id, body, require_version(if_match)))
    tag(response, claim.version)
    return claim


@router.post("/supplier-claims/{claim_id}/transitions", dependencies=DESK)
async def move_supplier_claim(claim_id: Id, body: ClaimMove, call: CurrentCall, response: Response) -> Claim:
    """Write down what happened to a claim, e.g. that it was submitted, accepted or settled."""
    claim = Claim(**await service.move_claim(call, claim_id, body))
    tag(response, claim.version)
    return claim
