"""`/v1/price-lists`, quotes of tickets, `/v1/quotes`, and the customer's link to one."""

from typing import Annotated, get_args

from fastapi import APIRouter, Path, Query, Request, Response
from psycopg.rows import DictRow

from api.conventions.call import (
    Call,
    CallRoute,
    CurrentCall,
    CurrentOpenCall,
    OpenCall,
    OpenRoute,
    allow,
    begin_as,
)
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES, Problem
from api.conventions.roles import FIELD, STAFF, Principal
from api.quotes import price_lists, service
from api.quotes.models import (
    Acceptance,
    LinkAcceptance,
    LinkRefusal,
    NewPriceList,
    NewQuote,
    PriceList,
    PriceListChange,
    PriceListHead,
    Quote,
    QuoteLink,
    Refusal,
    ShownQuote,
    Withdrawal,
)
from api.quotes.rules import QUOTE_STATES, Channel, QuoteState

router = APIRouter(prefix="/v1", tags=["quotes"], route_class=CallRoute, responses=RESPONSES)
open_router = APIRouter(prefix="/v1", tags=["quotes"], route_class=OpenRoute, responses=RESPONSES)

TRADE = [allow(*STAFF, *FIELD)]
QUOTERS = [allow("agent", "service", *FIELD)]
DECIDERS = [allow("agent", "service", "customer", *FIELD)]
PARTIES = [allow(*STAFF, *FIELD, "customer")]

Token = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{43}$")]


def _tagged(response: Response, row: DictRow) -> Quote:
    tag(response, row["version"])
    return Quote(**row)


def _ip(request: Request) -> str:
    return request.client.host if request.client else ""


# Price lists ----------------------------------------------------------------------------------------


@router.post("/price-lists", status_code=201, dependencies=[allow("desk_lead")])
async def create_price_list(body: NewPriceList, call: CurrentCall, response: Response) -> PriceList:
    """Add a version of the prices for some customers; from its first day on it takes the place of the one before."""
    made = PriceList(**await price_lists.create_price_list(call, body))
    tag(response, made.version)
    return made


@router.get("/price-lists", dependencies=TRADE)
async def list_price_lists(page: CurrentPage, call: CurrentCall) -> Page[PriceListHead]:
    """All price lists, without their items."""
    rows = await (await call.connection.execute(price_lists.SQL["list_price_lists"], page.parameters)).fetchall()
    return Page[PriceListHead].model_validate(page.page(rows, "price_list_id"))


@router.get("/price-lists/{price_list_id}", dependencies=TRADE)
async def get_price_list(price_list_id: Id, call: CurrentCall, response: Response) -> PriceList:
    """One price list with its items."""
    found = PriceList(**await price_lists.get_price_list(call, price_list_id))
    tag(response, found.version)
    return found


@router.patch("/price-lists/{price_list_id}", dependencies=[allow("desk_lead")])
async def end_price_list(
    price_list_id: Id, body: PriceListChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> PriceList:
    """Say which day is its last; needs If-Match. Prices never change: add a version."""
    version = require_version(if_match)
    changed = PriceList(**await price_lists.end_price_list(call, price_list_id, body.valid_until, version))
    tag(response, changed.version)
    return changed


# Quotes ---------------------------------------------------------------------------------------------


@router.post("/tickets/{ticket_id}/quotes", status_code=201, dependencies=QUOTERS)
async def create_quote(ticket_id: Id, body: NewQuote, call: CurrentCall, response: Response) -> Quote:
    """Price lines for a case as a draft; the warranty's share is taken off, the answer kept with it."""
    return _tagged(response, await service.create_quote(call, ticket_id, body))


@router.get("/tickets/{ticket_id}/quotes", dependencies=PARTIES)
async def list_quotes_of_ticket(ticket_id: Id, page: CurrentPage, call: CurrentCall) -> Page[Quote]:
    """A case's quotes, oldest first; a customer sees those that were sent."""
    await service.ticket_to_quote(call, ticket_id)
    parameters = {**page.parameters, "ticket_id": ticket_id}
    rows = await (await call.connection.execute(service.SQL["list_quotes_of_ticket"], parameters)).fetchall()
    return Page[Quote].model_validate(page.page(rows, "quote_id"))


@router.get("/quotes", dependencies=PARTIES)
async def list_quotes(
    page: CurrentPage,
    call: CurrentCall,
    state: Annotated[str, Query(description="states, with commas between them", max_length=200)] = "sent",
) -> Page[Quote]:
    """Quotes in some states, oldest first."""
    states = list(dict.fromkeys(state.split(",")))
    known: tuple[QuoteState, ...] = get_args(QuoteState)
    for wanted in states:
        if wanted not in known:
            raise Problem.bad_field("query.state", f"{wanted!r} is none of: {', '.join(QUOTE_STATES)}")
    rows = await (
        await call.connection.execute(service.SQL["list_quotes"], {**page.parameters, "states": states})
    ).fetchall()
    return Page[Quote].model_validate(page.page(rows, "quote_id"))


@router.get("/quotes/{quote_id}", dependencies=PARTIES)
async def get_quote(quote_id: Id, call: CurrentCall, response: Response) -> Quote:
    """One quote with its lines, its exact text and the consent to it."""
    return _tagged(response, await service.get_quote(call, quote_id))


@router.post("/quotes/{quote_id}/send", dependencies=QUOTERS)
async def send_quote(quote_id: Id, call: CurrentCall, response: Response) -> Quote:
    """Freeze a draft and send it to the customer with a link to decide."""
    return _tagged(response, await service.send(call, quote_id))


@router.post("/quotes/{quote_id}/accept", dependencies=DECIDERS)
async def accept_quote(
    quote_id: Id, body: Acceptance, call: CurrentCall, request: Request, response: Response
) -> Quote:
    """Record the customer's yes: their own, or told to an agent, who says how."""
    channel = _channel(call, body.channel, body.how_obtained)
    said = {"given_by": body.given_by, "how_obtained": body.how_obtained, "ip": _ip(request)}
    row = await service.accept(call, quote_id, text_sha256=body.text_sha256, channel=channel, **said)
    return _tagged(response, row)


@router.post("/quotes/{quote_id}/decline", dependencies=DECIDERS)
async def decline_quote(quote_id: Id, body: Refusal, call: CurrentCall, request: Request, response: Response) -> Quote:
    """Record the customer's no, with the reason."""
    channel = _channel(call, body.channel, body.how_obtained)
    said = {"given_by": body.given_by, "how_obtained": body.how_obtained, "ip": _ip(request)}
    return _tagged(response, await service.decline(call, quote_id, reason=body.reason, channel=channel, **said))


@router.post("/quotes/{quote_id}/withdraw", dependencies=QUOTERS)
async def withdraw_quote(quote_id: Id, body: Withdrawal, call: CurrentCall, response: Response) -> Quote:
    """Take a quote back before the customer has decided."""
    return _tagged(response, await service.withdraw(call, quote_id, body.reason))


@router.post("/quotes/{quote_id}/link", dependencies=QUOTERS)
async def make_quote_link(quote_id: Id, call: CurrentCall, response: Response) -> QuoteLink:
    """Make another link for the customer; it is shown once, and the one before no longer works."""
    response.headers["Cache-Control"] = "no-store"
    return QuoteLink(**await service.new_link(call, quote_id))


def _channel(call: Call, channel: Channel | None, how_obtained: str) -> Channel:
    """By which channel a customer said it; of others than the customer we must know how it came to them.

    Raises:
        Problem: 422.
    """
    if call.principal.role == "customer":
        return "portal"
    if channel is None:
        raise Problem.bad_field("body.channel", service.ON_BEHALF_NEEDS)
    if not how_obtained:
        raise Problem.bad_field("body.how_obtained", service.ON_BEHALF_NEEDS)
    return channel


# The customer's link, without a login -----------------------------------------------------------------


async def _by_link(open_call: OpenCall, token: str) -> tuple[Call, DictRow]:
    """The call of a link's holder, and the quote it is for.

    Raises:
        Problem: 404.
    """
    call = Call(open_call.connection, open_call.now, Principal("link", "customer's link", "service"))
    quote = await service.quote_of_token(call, token)
    await begin_as(call.connection, f"link of quote {quote['quote_id']}", call.now)
    return call, quote


@open_router.get("/quotes/by-token/{token}")
async def show_linked_quote(token: Token, call: CurrentOpenCall) -> ShownQuote:
    """The quote of a customer's link."""
    return ShownQuote(**(await _by_link(call, token))[1])


@open_router.post("/quotes/by-token/{token}/accept")
async def accept_linked_quote(
    token: Token, body: LinkAcceptance, open_call: CurrentOpenCall, request: Request
) -> ShownQuote:
    """Say yes."""
    call, quote = await _by_link(open_call, token)
    said = {"given_by": body.given_by, "how_obtained": "", "ip": _ip(request)}
    row = await service.accept(call, quote["quote_id"], text_sha256=body.text_sha256, channel="link", **said)
    return ShownQuote(**row)


@open_router.post("/quotes/by-token/{token}/decline")
async def decline_linked_quote(
    token: Token, body: LinkRefusal, open_call: CurrentOpenCall, request: Request
) -> ShownQuote:
    """Say no, with the reason."""
    call, quote = await _by_link(open_call, token)
    said = {"given_by": body.given_by, "how_obtained": "", "ip": _ip(request)}
    row = await service.decline(call, quote["quote_id"], reason=body.reason, channel="link", **said)
    return ShownQuote(**row)
