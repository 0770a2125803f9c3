"""`/v1/partner-accounts`, `/v1/part-bearers`."""

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from api.accounts import bearing, journal, statements
from api.accounts.models import (
    Account,
    AccountChange,
    Entry,
    NewAccount,
    NewBearer,
    NewEntry,
    PartBearer,
    Reversal,
    Statement,
)
from api.accounts.rules import Bearer
from api.assets.bulk.exporting import pieces
from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES

router = APIRouter(prefix="/v1", tags=["accounts"], route_class=CallRoute, responses=RESPONSES)

MONEY = [allow("desk_lead", "service")]
READERS = [allow("agent", "dispatcher", "service", "partner_manager")]

From = Annotated[date, Query(alias="from", description="the first day, in UTC")]
To = Annotated[date, Query(alias="to", description="the last day, included")]
_CSV = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "As JSON, or whole as CSV"}}


@router.post("/partner-accounts", status_code=201, dependencies=MONEY)
async def open_partner_account(body: NewAccount, call: CurrentCall, response: Response) -> Account:
    """Open a partner's account in a currency, with its limit; a charge opens one without limit by itself."""
    account = Account.model_validate(await journal.open_account(call, body))
    tag(response, account.version)
    return account


@router.get("/partner-accounts", dependencies=READERS)
async def list_partner_accounts(
    page: CurrentPage, call: CurrentCall, provider_id: Annotated[Id | None, Query()] = None
) -> Page[Account]:
    """Partners' accounts; a partner sees its own."""
    found = await journal.list_accounts(call, {**page.parameters, "provider_id": provider_id})
    return Page[Account].model_validate(page.page(found, "partner_account_id"))


@router.get("/partner-accounts/{partner_account_id}", dependencies=READERS)
async def show_partner_account(partner_account_id: Id, call: CurrentCall, response: Response) -> Account:
    """One account."""
    account = Account.model_validate(await journal.get_account(call, partner_account_id))
    tag(response, account.version)
    return account


@router.patch("/partner-accounts/{partner_account_id}", dependencies=MONEY)
async def change_partner_account(
    partner_account_id: Id, body: AccountChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Account:
    """Change the limit, or what handling earns; needs If-Match. What was booked stays."""
    changed = await journal.change_account(call, partner_account_id, body, require_version(if_match))
    account = Account.model_validate(changed)
    tag(response, account.version)
    return account


@router.get("/partner-accounts/{partner_account_id}/entries", dependencies=READERS)
async def list_partner_entries(partner_account_id: Id, page: CurrentPage, call: CurrentCall) -> Page[Entry]:
    """The journal, in the order booked."""
    found = await statements.list_entries(call, partner_account_id, page)
    return Page[Entry].model_validate(page.page(found, "partner_entry_id"))


@router.post(
    "/partner-accounts/{partner_account_id}/entries",
    status_code=201,
    dependencies=MONEY,
    responses={200: {"model": Entry, "description": "It was booked before"}},
)
async def book_partner_entry(partner_account_id: Id, body: NewEntry, call: CurrentCall, response: Response) -> Entry:
    """Book a payment or a correction by its paper; 200 when it was booked before."""
    entry, made = await journal.book(call, partner_account_id, body)
    response.status_code = 201 if made else 200
    return Entry.model_validate(entry)


@router.post("/partner-entries/{partner_entry_id}/reverse", status_code=201, dependencies=MONEY)
async def reverse_partner_entry(partner_entry_id: Id, body: Reversal, call: CurrentCall) -> Entry:
    """Take an entry back by another one."""
    return Entry.model_validate(await journal.reverse(call, partner_entry_id, body.reason))


@router.get(
    "/partner-accounts/{partner_account_id}/statement",
    dependencies=READERS,
    response_model=Statement,
    responses=_CSV,  # type: ignore[arg-type] # FastAPI's own form, whose type is wider than what is written here
)
async def show_statement(
    partner_account_id: Id,
    page: CurrentPage,
    call: CurrentCall,
    *,
    first: From,
    last: To,
    file_format: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
) -> Statement | StreamingResponse:
    """A statement of some days: what the account opened with, its entries, what it closed with."""
    if file_format == "csv":
        spool = await statements.statement_sheet(call, partner_account_id, first, last)
        name = f"statement-{partner_account_id}-{first}-{last}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(pieces(spool), media_type="text/csv", headers=headers)
    return Statement.model_validate(await statements.statement(call, partner_account_id, first, last, page))


@router.get("/part-bearers", dependencies=READERS)
async def list_part_bearers(
    page: CurrentPage,
    call: CurrentCall,
    *,
    visit_id: Annotated[Id | None, Query()] = None,
    ticket_id: Annotated[Id | None, Query()] = None,
    provider_id: Annotated[Id | None, Query(description="whose technician used it")] = None,
    bearer: Annotated[Bearer | None, Query()] = None,
) -> Page[PartBearer]:
    """Who bears the parts that were used, with reasons; decisions replaced by others too."""
    named = {"visit_id": visit_id, "ticket_id": ticket_id, "provider_id": provider_id, "bearer": bearer}
    found = await bearing.list_bearers(call, {**page.parameters, **named})
    return Page[PartBearer].model_validate(page.page(found, "part_bearer_id"))


@router.post("/part-bearers/{part_bearer_id}/decide", status_code=201, dependencies=MONEY)
async def decide_part_bearer(part_bearer_id: Id, body: NewBearer, call: CurrentCall) -> PartBearer:
    """Decide otherwise, with the reason: what was booked is taken back, and booked anew where it is due."""
    return PartBearer.model_validate(await bearing.decide(call, part_bearer_id, body))
