"""`/v1/tickets` as a whole: lists, search, counts and bulk work; saved lists; the routes to queues."""

from typing import Annotated, Any, get_args

from fastapi import APIRouter, Depends, Query, Response
from fastapi.exceptions import RequestValidationError

from api.conventions.answers import json_answer
from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, changed_meanwhile, require_version, tag
from api.conventions.models import Id, Name, Serial
from api.conventions.pages import LARGEST_PAGE, CurrentPage, Page
from api.conventions.problems import RESPONSES, Problem
from api.conventions.roles import FIELD, STAFF
from api.tickets import finding
from api.tickets.bulk import work_in_bulk
from api.tickets.models import (
    BulkReport,
    BulkWork,
    Filter,
    FilterChange,
    FilterCount,
    FoundTicket,
    NewFilter,
    Order,
    Route,
    RouteFields,
    Tag,
    Ticket,
    TicketWish,
)
from api.tickets.repository import SQL, one
from api.tickets.rules import Kind, Priority, ServiceMode, State

router = APIRouter(tags=["tickets"], route_class=CallRoute, responses=RESPONSES)

_EVERYBODY = [allow(*STAFF, *FIELD, "customer")]
# Who works with lists of their own.
_DESK = [allow("agent", "dispatcher", "engineer", "service")]


def _choices(given: str | None, field: str, known: tuple[str, ...]) -> list[Any] | None:
    if given is None:
        return None
    choices = list(dict.fromkeys(given.split(",")))
    unknown = sorted(set(choices) - set(known))
    if unknown:
        message = f"has {', '.join(map(repr, unknown))}; may have, with commas between: {', '.join(known)}"
        raise RequestValidationError([{"loc": ("query", field), "msg": message, "type": "value_error"}])
    return choices


Several = Annotated[str | None, Query(description="several, with commas between them", max_length=200)]


async def _words_of_query(
    state: Several = None, kind: Several = None, service_mode: Several = None, priority: Several = None
) -> dict[str, Any]:
    return {
        "states": _choices(state, "state", get_args(State)),
        "kinds": _choices(kind, "kind", get_args(Kind)),
        "service_modes": _choices(service_mode, "service_mode", get_args(ServiceMode)),
        "priorities": _choices(priority, "priority", get_args(Priority)),
    }


def _owner(owner: str | None) -> str | int | None:
    if owner is None or owner in {"me", "nobody"}:
        return owner
    if owner.isascii() and owner.isdecimal() and 0 < int(owner) < 2**63:
        return int(owner)
    message = "is `me`, `nobody` or a user's number"
    raise RequestValidationError([{"loc": ("query", "owner"), "msg": message, "type": "value_error"}])


async def _wish(  # noqa: PLR0917 - FastAPI gives them by name
    words: Annotated[dict[str, Any], Depends(_words_of_query)],
    serial: Annotated[Serial | None, Query(description="of this asset")] = None,
    component: Annotated[Name | None, Query()] = None,
    customer_id: Annotated[Id | None, Query()] = None,
    provider_id: Annotated[Id | None, Query()] = None,
    owner: Annotated[str | None, Query(description="`me`, `nobody` or a user's number", max_length=20)] = None,
    queue: Annotated[Name | None, Query()] = None,
    with_tag: Annotated[Tag | None, Query(alias="tag")] = None,
    watched: Annotated[bool | None, Query(description="true: by me")] = None,
    overdue: Annotated[bool | None, Query(description="true: due by now and not over")] = None,
    reopened: Annotated[bool | None, Query(description="whether it was opened again")] = None,
    needs_job: Annotated[
        bool | None, Query(description="true: open preventive and repair tickets on site that have no open job")
    ] = None,
    order: Annotated[
        Order | None, Query(description="by number, or by due date (only what has one and is not over)")
    ] = None,
) -> dict[str, Any]:
    """The fields of a wish that a query gives."""
    given = {
        **words, "serial": serial, "component": component, "customer_id": customer_id, "provider_id": provider_id,
        "owner": _owner(owner), "queue": queue, "tag": with_tag, "watched": watched or None,
        "overdue": overdue or None, "reopened": reopened, "needs_job": needs_job, "order": order,
    }  # fmt: skip
    return {name: value for name, value in given.items() if value is not None}


After = Annotated[str | None, Query(description="`next` of the page before", max_length=200)]


@router.get("/v1/tickets", dependencies=_EVERYBODY, response_model=Page[Ticket])
async def list_tickets(
    call: CurrentCall,
    given: Annotated[dict[str, Any], Depends(_wish)],
    saved: Annotated[Name | None, Query(alias="filter", description="name of a built-in or saved list")] = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
) -> Response:
    """Tickets, oldest first unless said otherwise; a page may have fewer than `limit` and still a `next`.

    Fields of the query hold instead of those of the saved list.
    """
    base = TicketWish() if saved is None else await finding.wish_named(call, saved)
    return json_answer(await finding.list_tickets(call, base.model_copy(update=given), after, limit))


@router.get("/v1/tickets/search", dependencies=_EVERYBODY, response_model=Page[FoundTicket])
async def search_tickets(
    call: CurrentCall,
    q: Annotated[str, Query(description="words that all must be there; whole words, in any script", max_length=200)],
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """Tickets by words: title, component, serial number, description, what was said with the customer.

    The customer's name is found by those who work with customers, internal notes by staff. New cases come first, among
    them those that fit best; a page may have fewer than `limit` and still a `next`.
    """
    return json_answer(await finding.search(call, q, after, limit))


@router.get("/v1/tickets/counts", dependencies=_EVERYBODY)
async def count_tickets(call: CurrentCall) -> list[FilterCount]:
    """How many tickets each built-in and saved list has, for the side of the desk."""
    return [FilterCount(**row) for row in await finding.count_filters(call)]


@router.post("/v1/tickets/bulk", dependencies=[allow("agent", "dispatcher")])
async def work_on_tickets(body: BulkWork, call: CurrentCall) -> BulkReport:
    """Do the same to up to 500 tickets; each line tells what became of one, and none keeps another from it."""
    return BulkReport.model_validate(await work_in_bulk(call, body))


# Saved lists ------------------------------------------------------------------------------------


@router.get("/v1/ticket-filters", dependencies=_DESK)
async def list_ticket_filters(page: CurrentPage, call: CurrentCall) -> Page[Filter]:
    """The lists that every desk has (on the first page), the shared ones, and one's own."""
    rows = await finding.list_filters(call, page.parameters)
    answer = page.page(rows, "filter_id")
    if page.after_id == 0:
        answer["items"] = [*finding.built_in(), *answer["items"]]
    return Page[Filter].model_validate(answer)


@router.post("/v1/ticket-filters", status_code=201, dependencies=_DESK)
async def save_ticket_filter(body: NewFilter, call: CurrentCall, response: Response) -> Filter:
    """Keep a list under a name; `GET /v1/tickets?filter=NAME` shows it."""
    row = Filter(**await finding.save_filter(call, body))
    tag(response, row.version)
    return row


@router.patch("/v1/ticket-filters/{filter_id}", dependencies=_DESK)
async def change_ticket_filter(
    filter_id: Id, body: FilterChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Filter:
    """Change one's own list, or as who leads a shared one; needs If-Match."""
    row = Filter(**await finding.change_filter(call, filter_id, body, require_version(if_match)))
    tag(response, row.version)
    return row


@router.delete("/v1/ticket-filters/{filter_id}", status_code=204, dependencies=_DESK)
async def delete_ticket_filter(filter_id: Id, call: CurrentCall) -> None:
    """Forget one's own list, or as who leads a shared one."""
    await finding.delete_filter(call, filter_id)


# Routes to queues -------------------------------------------------------------------------------


@router.get("/v1/ticket-routes", dependencies=_DESK)
async def list_ticket_routes(page: CurrentPage, call: CurrentCall) -> Page[Route]:
    """Which new tickets go to which queue; the active rule of the lowest place that fits wins."""
    rows = await (await call.connection.execute(SQL["list_routes"], page.parameters)).fetchall()
    return Page[Route].model_validate(page.page(rows, "route_id"))


@router.post("/v1/ticket-routes", status_code=201, dependencies=[allow("desk_lead")])
async def create_ticket_route(body: RouteFields, call: CurrentCall, response: Response) -> Route:
    """Add a rule."""
    row = await one(call, "insert_route", body.model_dump())
    if row is None:
        raise LookupError("insert_route returned no row")
    tag(response, row["version"])
    return Route(**row)


@router.put("/v1/ticket-routes/{route_id}", dependencies=[allow("desk_lead")])
async def replace_ticket_route(
    route_id: Id, body: RouteFields, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Route:
    """Put another rule in its place; needs If-Match."""
    values = {**body.model_dump(), "route_id": route_id, "version": require_version(if_match)}
    await _require_route(call, route_id)
    row = await one(call, "change_route", values)
    if row is None:
        raise changed_meanwhile("route", values["version"])
    tag(response, row["version"])
    return Route(**row)


@router.delete("/v1/ticket-routes/{route_id}", status_code=204, dependencies=[allow("desk_lead")])
async def delete_ticket_route(route_id: Id, call: CurrentCall) -> None:
    """Remove a rule; tickets stay in the queues they are in."""
    await _require_route(call, route_id)
    await call.connection.execute(SQL["delete_route"], {"route_id": route_id})


async def _require_route(call: CurrentCall, route_id: int) -> None:
    if await one(call, "get_route", {"route_id": route_id}) is None:
        raise Problem.not_found("route", route_id)
