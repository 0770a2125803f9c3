"""`/v1/cover-products`, `/v1/cover-contracts`, `/v1/warranty-extensions`, `/v1/extension-rights`."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.assets.service import get_asset
from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id, Name, Serial
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.cover import extensions, service
from api.cover.models import (
    Contract,
    ContractState,
    CoverProduct,
    CoverProductChange,
    Extension,
    ExtensionBudget,
    ExtensionDecision,
    ExtensionRefusal,
    ExtensionRight,
    ExtensionRightChange,
    ExtensionState,
    HumanDamageUse,
    NewActivation,
    NewCancellation,
    NewContract,
    NewCoverProduct,
    NewExtension,
    NewHumanDamage,
    NewRedemption,
    Redemption,
    RightRole,
    SoldContract,
)

router = APIRouter(prefix="/v1", tags=["cover"], route_class=CallRoute, responses=RESPONSES)

ANYBODY = [allow(*STAFF, *FIELD, "customer")]
LEAD = [allow("desk_lead")]


# Products ---------------------------------------------------------------------------------------


@router.post("/cover-products", status_code=201, dependencies=LEAD)
async def create_cover_product(body: NewCoverProduct, call: CurrentCall, response: Response) -> CoverProduct:
    """Add an extension card or plan."""
    product = CoverProduct(**await service.create_product(call, body))
    tag(response, product.version)
    return product


@router.get("/cover-products", dependencies=ANYBODY)
async def list_cover_products(
    page: CurrentPage, call: CurrentCall, active: Annotated[bool | None, Query(description="true: sold now")] = None
) -> Page[CoverProduct]:
    """Extension cards and plans."""
    parameters = {**page.parameters, "code": None, "active": active}
    rows = await (await call.connection.execute(service.SQL["list_products"], parameters)).fetchall()
    return Page[CoverProduct].model_validate(page.page(rows, "product_id"))


@router.get("/cover-products/{code}", dependencies=ANYBODY)
async def get_cover_product(code: Name, call: CurrentCall, response: Response) -> CoverProduct:
    """One extension card or plan."""
    product = CoverProduct(**await service.get_product(call, code))
    tag(response, product.version)
    return product


@router.patch("/cover-products/{code}", dependencies=LEAD)
async def change_cover_product(
    code: Name, body: CoverProductChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> CoverProduct:
    """Change its name, its price, or whether it is sold; needs If-Match. Contracts keep their own price."""
    product = CoverProduct(**await service.change_product(call, code, body, require_version(if_match)))
    tag(response, product.version)
    return product


# Contracts --------------------------------------------------------------------------------------


@router.post("/cover-contracts", status_code=201, dependencies=[allow("agent", "service")])
async def sell_cover_contract(body: NewContract, call: CurrentCall, response: Response) -> SoldContract:
    """Sell a card or plan; without an invoice number the answer shows its activation code, once."""
    contract, code = await service.sell(call, body)
    if code is not None:
        response.headers["Cache-Control"] = "no-store"
    return SoldContract(**contract, activation_code=code)


@router.get("/cover-contracts", dependencies=ANYBODY)
async def list_cover_contracts(
    page: CurrentPage,
    call: CurrentCall,
    serial: Annotated[Serial | None, Query(description="of this asset")] = None,
    state: ContractState | None = None,
    customer_id: Annotated[Id | None, Query()] = None,
) -> Page[Contract]:
    """Contracts, with what is left of their entitlements."""
    parameters = {**page.parameters, "serial": serial, "state": state, "customer_id": customer_id}
    cursor = await call.connection.execute(service.SQL["list_contracts"], parameters, prepare=False)
    return Page[Contract].model_validate(page.page(await cursor.fetchall(), "contract_id"))


@router.get("/cover-contracts/{contract_id}", dependencies=ANYBODY)
async def get_cover_contract(contract_id: Id, call: CurrentCall, response: Response) -> Contract:
    """One contract, with what is left of its entitlements."""
    contract = Contract(**await service.get_contract(call, contract_id))
    tag(response, contract.version)
    return contract


@router.post(
    "/assets/{serial}/warranty/contracts", status_code=201, dependencies=[allow("agent", "customer", "service")]
)
async def activate_cover_contract(serial: Serial, body: NewActivation, call: CurrentCall) -> Contract:
    """Activate a sold card or plan for a machine, by its code or its invoice."""
    return Contract(**await service.activate(call, serial, body))


@router.post("/cover-contracts/{contract_id}/cancel", dependencies=[allow("agent")])
async def cancel_cover_contract(contract_id: Id, body: NewCancellation, call: CurrentCall) -> Contract:
    """End a contract from today on; what it covered before stays covered."""
    return Contract(**await service.cancel(call, contract_id, body.reason))


@router.post(
    "/cover-contracts/{contract_id}/redemptions",
    status_code=201,
    dependencies=[allow("agent", "technician", "partner_manager", "service")],
)
async def redeem_entitlement(contract_id: Id, body: NewRedemption, call: CurrentCall) -> Redemption:
    """Use something that the contract entitles to."""
    return Redemption(**await service.redeem(call, contract_id, body.entitlement, body.ticket_id))


@router.post(
    "/assets/{serial}/warranty/human-damage",
    status_code=201,
    dependencies=[allow("agent", "service")],
    responses={200: {"model": HumanDamageUse, "description": "It was used for this case before"}},
)
async def use_free_human_damage(
    serial: Serial, body: NewHumanDamage, call: CurrentCall, response: Response
) -> HumanDamageUse:
    """Use up the one human damage that the machine's warranty bears."""
    used, created = await service.use_human_damage(call, serial, body.ticket_id)
    response.status_code = 201 if created else 200
    return HumanDamageUse(**used)


# Extensions -------------------------------------------------------------------------------------


@router.post("/assets/{serial}/warranty/extensions", status_code=201, dependencies=[allow("agent")])
async def extend_warranty(serial: Serial, body: NewExtension, call: CurrentCall, response: Response) -> Extension:
    """Extend a warranty near its end, within one's right and monthly budget, or ask a desk lead to."""
    extension = Extension(**await extensions.ask(call, serial, body))
    tag(response, extension.version)
    return extension


@router.get("/assets/{serial}/warranty/extensions", dependencies=[allow(*STAFF)])
async def list_extensions_of_asset(serial: Serial, page: CurrentPage, call: CurrentCall) -> Page[Extension]:
    """A machine's extensions."""
    await get_asset(call, serial)
    return await _extensions(page, call, serial, None)


@router.get("/warranty-extensions", dependencies=[allow(*STAFF)])
async def list_warranty_extensions(
    page: CurrentPage, call: CurrentCall, state: ExtensionState | None = None
) -> Page[Extension]:
    """Extensions, e.g. those that wait for a desk lead."""
    return await _extensions(page, call, None, state)


async def _extensions(page: CurrentPage, call: CurrentCall, serial: str | None, state: str | None) -> Page[Extension]:
    parameters = {**page.parameters, "serial": serial, "state": state}
    cursor = await call.connection.execute(service.SQL["list_extensions"], parameters, prepare=False)
    return Page[Extension].model_validate(page.page(await cursor.fetchall(), "extension_id"))


@router.post("/warranty-extensions/{extension_id}/grant", dependencies=LEAD)
async def grant_warranty_extension(extension_id: Id, body: ExtensionDecision, call: CurrentCall) -> Extension:
    """Grant an extension that was asked for, within the lead's own right and budget."""
    return Extension(**await extensions.decide(call, extension_id, "grant", body.reason))


@router.post("/warranty-extensions/{extension_id}/refuse", dependencies=LEAD)
async def refuse_warranty_extension(extension_id: Id, body: ExtensionRefusal, call: CurrentCall) -> Extension:
    """Refuse an extension that was asked for."""
    return Extension(**await extensions.decide(call, extension_id, "refuse", body.reason))


@router.post("/warranty-extensions/{extension_id}/withdraw", dependencies=LEAD)
async def withdraw_warranty_extension(extension_id: Id, body: ExtensionRefusal, call: CurrentCall) -> Extension:
    """Take an extension back from today on; its budget stays spent."""
    return Extension(**await extensions.decide(call, extension_id, "withdraw", body.reason))


@router.get("/extension-rights", dependencies=[allow("agent", "engineer")])
async def list_extension_rights(call: CurrentCall) -> Page[ExtensionRight]:
    """What each role may grant by itself; all on one page."""
    return Page[ExtensionRight].model_validate({"items": await extensions.rights(call), "next": None})


@router.patch("/extension-rights/{role}", dependencies=LEAD)
async def change_extension_right(
    role: RightRole, body: ExtensionRightChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> ExtensionRight:
    """Change what a role may grant by itself; needs If-Match."""
    right = ExtensionRight(**await extensions.change_right(call, role, body, require_version(if_match)))
    tag(response, right.version)
    return right


@router.get("/extension-budget", dependencies=[allow("agent")])
async def get_extension_budget(call: CurrentCall) -> ExtensionBudget:
    """What the caller granted this month, and what is left."""
    return ExtensionBudget.model_validate(await extensions.budget(call))
