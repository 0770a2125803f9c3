"""`/v1/tickets`."""

from typing import Annotated, Any, get_args

from fastapi import APIRouter, Depends, Query, Response
from fastapi.exceptions import RequestValidationError

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id, Name, Serial
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.tickets import service
from api.tickets.models import NewTicket, NewTransition, OpenedTicket, Ticket, TicketChange, TicketEvent
from api.tickets.rules import Kind, State

router = APIRouter(prefix="/v1/tickets", tags=["tickets"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]


def _states(
    state: Annotated[str | None, Query(description="states, with commas between them", max_length=200)] = None,
) -> list[str] | None:
    if state is None:
        return None
    states = state.split(",")
    unknown = sorted(set(states) - set(get_args(State)))
    if unknown:
        message = f"has {', '.join(map(repr, unknown))}; may have, with commas between: {', '.join(get_args(State))}"
        raise RequestValidationError([{"loc": ("query", "state"), "msg": message, "type": "value_error"}])
    return states


class TicketFilter:
    """Which tickets a caller wants; what is left out does not matter."""

    def __init__(
        self,
        states: Annotated[list[str] | None, Depends(_states)],
        kind: Kind | None = None,
        serial: Annotated[Serial | None, Query(description="of this asset")] = None,
        component: Annotated[Name | None, Query()] = None,
        needs_job: Annotated[
            bool | None, Query(description="true: open preventive and repair tickets that have no open job")
        ] = None,
    ) -> None:
        self.parameters: dict[str, Any] = {
            "states": states,
            "kind": kind,
            "serial": serial,
            "component": component,
            "needs_job": needs_job,
        }


@router.post(
    "",
    status_code=201,
    dependencies=[allow("agent", "technician", "service")],
    responses={200: {"model": OpenedTicket, "description": "The asset has an open case of that cause"}},
)
async def open_ticket(body: NewTicket, call: CurrentCall, response: Response) -> OpenedTicket:
    """Open a case, or add the evidence to the open case of that asset and cause."""
    row, created = await service.open_ticket(call, body)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/tickets/{row['ticket_id']}"
    tag(response, row["version"])
    return OpenedTicket(**row, created=created)


@router.get("", dependencies=EVERYBODY)
async def list_tickets(
    page: CurrentPage, call: CurrentCall, wanted: Annotated[TicketFilter, Depends(TicketFilter)]
) -> Page[Ticket]:
    """Tickets, oldest first."""
    rows = await service.list_tickets(call, {**page.parameters, **wanted.parameters})
    return Page[Ticket].model_validate(page.page(rows, "ticket_id"))


@router.get("/{ticket_id}", dependencies=EVERYBODY)
async def get_ticket(ticket_id: Id, call: CurrentCall, response: Response) -> Ticket:
    """One ticket."""
    ticket = Ticket(**await service.get_ticket(call, ticket_id))
    tag(response, ticket.version)
    return ticket


@router.get("/{ticket_id}/events", dependencies=EVERYBODY)
async def list_ticket_events(ticket_id: Id, page: CurrentPage, call: CurrentCall) -> Page[TicketEvent]:
    """A ticket's history, oldest first."""
    await service.get_ticket(call, ticket_id)
    parameters = {**page.parameters, "ticket_id": ticket_id}
    rows = await (await call.connection.execute(service.SQL["list_events"], parameters)).fetchall()
    return Page[TicketEvent].model_validate(page.page(rows, "ticket_event_id"))


@router.patch("/{ticket_id}", dependencies=[allow("agent", "dispatcher")])
async def change_ticket(
    ticket_id: Id, body: TicketChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Ticket:
    """Change what a ticket says; needs If-Match. Its evidence is frozen."""
    ticket = Ticket(**await service.change_ticket(call, ticket_id, body, require_version(if_match)))
    tag(response, ticket.version)
    return ticket


@router.post("/{ticket_id}/transitions", dependencies=[allow("agent", "dispatcher", "service")])
async def move_ticket(ticket_id: Id, body: NewTransition, call: CurrentCall, response: Response) -> Ticket:
    """Move a ticket to another state."""
    ticket = Ticket(**await service.transition(call, ticket_id, body))
    tag(response, ticket.version)
    return ticket
