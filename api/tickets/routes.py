"""`/v1/tickets`: one ticket, and what is done with it."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response

from api.conventions.answers import json_answer
from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.tickets import merging, service
from api.tickets.models import (
    Assignment,
    Link,
    Merge,
    NeededReason,
    NewLink,
    NewTicket,
    NewTransition,
    NewWatcher,
    OpenedTicket,
    Reason,
    Ticket,
    TicketChange,
    TicketEvent,
    Watcher,
)
from api.tickets.repository import SQL

router = APIRouter(prefix="/v1/tickets", tags=["tickets"], route_class=CallRoute, responses=RESPONSES)

_STAFF = [allow(*STAFF, *FIELD)]
_EVERYBODY = [allow(*STAFF, *FIELD, "customer")]
_DESK = [allow("agent", "dispatcher")]
_WORKERS = [allow("agent", "dispatcher", "engineer", *FIELD)]
_CUSTOMERS = [allow("agent", "customer")]


def _answer(call: CurrentCall, row: Mapping[str, Any], response: Response) -> Ticket:
    tag(response, row["version"])
    return Ticket(**service.seen(call, row))


def _version(if_match: str | None) -> int | None:
    return None if if_match is None else require_version(if_match)


@router.post(
    "",
    status_code=201,
    response_model=OpenedTicket,
    dependencies=[allow("agent", "service", *FIELD, "customer")],
    responses={200: {"model": OpenedTicket, "description": "The asset has an open case of that cause"}},
)
async def open_ticket(body: NewTicket, call: CurrentCall) -> Response:
    """Open a case, or add the evidence to the open case of that asset and cause.

    Customers open cases of their own machines, or about themselves; queue and tags are the desk's.
    """
    row, created = await service.open_ticket(call, body)
    headers = {"Location": f"/v1/tickets/{row['ticket_id']}", "ETag": f'"{row["version"]}"'}
    return json_answer({**service.seen(call, row), "created": created}, 201 if created else 200, headers)


@router.get("/{ticket_id}", dependencies=_EVERYBODY)
async def get_ticket(ticket_id: Id, call: CurrentCall, response: Response) -> Ticket:
    """One ticket."""
    return _answer(call, await service.get_ticket(call, ticket_id), response)


@router.get("/{ticket_id}/events", dependencies=_EVERYBODY)
async def list_ticket_events(ticket_id: Id, page: CurrentPage, call: CurrentCall) -> Page[TicketEvent]:
    """A ticket's history, oldest first, with that of tickets merged into it. Customers read what concerns them."""
    rows = await service.list_events(call, ticket_id, page.parameters)
    return Page[TicketEvent].model_validate(page.page(rows, "ticket_event_id"))


@router.patch("/{ticket_id}", dependencies=_DESK)
async def change_ticket(
    ticket_id: Id, body: TicketChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Ticket:
    """Change what a ticket says; needs If-Match. Its evidence is frozen."""
    return _answer(call, await service.change_ticket(call, ticket_id, body, require_version(if_match)), response)


@router.post("/{ticket_id}/transitions", dependencies=[allow("agent", "dispatcher", "service")])
async def move_ticket(
    ticket_id: Id, body: NewTransition, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Ticket:
    """Move a ticket to another state; with If-Match only if nobody changed it since."""
    return _answer(call, await service.transition(call, ticket_id, body, _version(if_match)), response)


@router.post("/{ticket_id}/confirm", dependencies=_CUSTOMERS)
async def confirm_ticket(ticket_id: Id, body: Reason, call: CurrentCall, response: Response) -> Ticket:
    """The customer says that it is solved: the ticket is closed."""
    return _answer(call, await service.act(call, ticket_id, "close", body.reason), response)


@router.post("/{ticket_id}/reopen", dependencies=_CUSTOMERS)
async def reopen_ticket(ticket_id: Id, body: NeededReason, call: CurrentCall, response: Response) -> Ticket:
    """It is not solved: the resolved ticket is open again, and counts it."""
    return _answer(call, await service.act(call, ticket_id, "reopen", body.reason), response)


@router.post("/{ticket_id}/cancel", dependencies=_CUSTOMERS)
async def cancel_ticket(ticket_id: Id, body: Reason, call: CurrentCall, response: Response) -> Ticket:
    """Nothing is to be done any more; not while a job or a repair of it is open."""
    return _answer(call, await service.act(call, ticket_id, "cancel", body.reason), response)


# Whose it is ------------------------------------------------------------------------------------


@router.post("/{ticket_id}/claim", dependencies=_WORKERS)
async def claim_ticket(ticket_id: Id, call: CurrentCall, response: Response) -> Ticket:
    """Make a ticket one's own; of two at once one wins, the other gets 409."""
    return _answer(call, await service.claim(call, ticket_id), response)


@router.post("/{ticket_id}/release", dependencies=_WORKERS)
async def release_ticket(ticket_id: Id, body: Reason, call: CurrentCall, response: Response) -> Ticket:
    """Give one's ticket back to its queue; who leads may give back anybody's."""
    return _answer(call, await service.release(call, ticket_id, body.reason), response)


@router.post("/{ticket_id}/assign", dependencies=_DESK)
async def assign_ticket(
    ticket_id: Id, body: Assignment, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Ticket:
    """Say whose a ticket is, where it queues and which service partner does the work."""
    return _answer(call, await service.assign(call, ticket_id, body, _version(if_match)), response)


# What hangs together ----------------------------------------------------------------------------


@router.post("/{ticket_id}/merge", dependencies=_DESK)
async def merge_ticket(ticket_id: Id, body: Merge, call: CurrentCall, response: Response) -> Ticket:
    """End a ticket in favour of another one of the same customer, which is the answer. That is final."""
    return _answer(call, await merging.merge(call, ticket_id, body), response)


@router.get("/{ticket_id}/links", dependencies=_STAFF)
async def list_ticket_links(ticket_id: Id, page: CurrentPage, call: CurrentCall) -> Page[Link]:
    """How it hangs together with other tickets that the caller sees."""
    await service.get_ticket(call, ticket_id)
    values = {**page.parameters, "ticket_id": ticket_id}
    rows = await (await call.connection.execute(SQL["list_links"], values)).fetchall()
    return Page[Link].model_validate(page.page(rows, "link_id"))


@router.post(
    "/{ticket_id}/links",
    status_code=201,
    dependencies=_WORKERS,
    responses={200: {"model": Link, "description": "They are linked like that already"}},
)
async def link_ticket(ticket_id: Id, body: NewLink, call: CurrentCall, response: Response) -> Link:
    """Say how it hangs together with another ticket: this is … of that."""
    row, made = await merging.link(call, ticket_id, body)
    response.status_code = 201 if made else 200
    return Link(**row)


@router.delete("/{ticket_id}/links/{link_id}", status_code=204, dependencies=_WORKERS)
async def unlink_ticket(ticket_id: Id, link_id: Id, call: CurrentCall) -> None:
    """Remove a link, from either of its tickets."""
    await merging.unlink(call, ticket_id, link_id)


@router.get("/{ticket_id}/watchers", dependencies=_STAFF)
async def list_ticket_watchers(ticket_id: Id, page: CurrentPage, call: CurrentCall) -> Page[Watcher]:
    """Who wants to hear of it."""
    await service.get_ticket(call, ticket_id)
    values = {**page.parameters, "ticket_id": ticket_id}
    rows = await (await call.connection.execute(SQL["list_watchers"], values)).fetchall()
    return Page[Watcher].model_validate(page.page(rows, "user_id"))


@router.post("/{ticket_id}/watchers", dependencies=_WORKERS)
async def watch_ticket(ticket_id: Id, body: NewWatcher, call: CurrentCall, response: Response) -> Ticket:
    """Watch a ticket, or let a colleague; `GET /v1/tickets?watched=true` lists them."""
    return _answer(call, await merging.watch(call, ticket_id, body.user_id), response)


@router.delete("/{ticket_id}/watchers/{user_id}", status_code=204, dependencies=_WORKERS)
async def unwatch_ticket(ticket_id: Id, user_id: Id, call: CurrentCall) -> None:
    """Watch it no more."""
    await merging.unwatch(call, ticket_id, user_id)
