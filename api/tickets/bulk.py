"""The same done to many tickets, each on its own: what one refuses does not keep the others from it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from psycopg.rows import DictRow
from pydantic import BaseModel, ValidationError

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.models import Body
from api.conventions.problems import Problem
from api.tickets.finding import list_tickets, wish_named
from api.tickets.models import LARGEST_BULK, Assignment, BulkWork, NewTransition, Reason, Tags, TicketChange
from api.tickets.repository import SQL, get_ticket, lock_ticket
from api.tickets.service import assign, change_ticket, claim, release, transition


class _Nothing(Body):
    """No arguments."""


class _Tags(Body):
    """Which tags."""

    tags: Tags


async def _assign(call: Call, ticket_id: int, given: Any) -> DictRow:
    return await assign(call, ticket_id, given)


async def _change(call: Call, ticket_id: int, given: Any) -> DictRow:
    # Its version was compared, where one was given, and the row is locked.
    return await change_ticket(call, ticket_id, given, (await lock_ticket(call, ticket_id))["version"])


async def _transition(call: Call, ticket_id: int, given: Any) -> DictRow:
    return await transition(call, ticket_id, given)


async def _claim(call: Call, ticket_id: int, _: Any) -> DictRow:
    return await claim(call, ticket_id)


async def _release(call: Call, ticket_id: int, given: Any) -> DictRow:
    return await release(call, ticket_id, given.reason)


async def _tag(call: Call, ticket_id: int, given: Any) -> DictRow:
    there = await get_ticket(call, ticket_id)
    tags = sorted({*there["tags"], *given.tags})
    return await _change(call, ticket_id, TicketChange(tags=tags))


async def _untag(call: Call, ticket_id: int, given: Any) -> DictRow:
    there = await get_ticket(call, ticket_id)
    return await _change(call, ticket_id, TicketChange(tags=sorted(set(there["tags"]) - set(given.tags))))


Work = Callable[[Call, int, Any], Awaitable[DictRow]]
_ACTIONS: Mapping[str, tuple[type[BaseModel], Work]] = {
    "assign": (Assignment, _assign),
    "change": (TicketChange, _change),
    "transition": (NewTransition, _transition),
    "claim": (_Nothing, _claim),
    "release": (Reason, _release),
    "tag": (_Tags, _tag),
    "untag": (_Tags, _untag),
}


async def work_in_bulk(call: Call, body: BulkWork) -> dict[str, Any]:
    """Do the same to many tickets, each in a savepoint of its own, and tell what became of each.

    Raises:
        RequestValidationError: The list is unknown, or the arguments are not those of the action.
    """
    form, work = _ACTIONS[body.action]
    try:
        given = form.model_validate(body.arguments)
    except ValidationError as error:
        places = [{**item, "loc": ("body", "arguments", *item["loc"])} for item in error.errors()]
        raise RequestValidationError(places) from error
    ids = body.ids
    if ids is None:
        wish = await wish_named(call, body.filter or "", ("body", "filter"))
        ids = [row["ticket_id"] for row in (await list_tickets(call, wish, None, LARGEST_BULK))["items"]]
    # All are locked in one order, so that two who work in bulk do not wait for one another in a circle.
    await call.connection.execute(SQL["lock_tickets"], {"ticket_ids": ids})
    lines = [await _one(call, ticket_id, work, given, (body.versions or {}).get(ticket_id)) for ticket_id in ids]
    done = sum(line["done"] for line in lines)
    return {"done": done, "refused": len(lines) - done, "lines": lines}


async def _one(call: Call, ticket_id: int, work: Work, given: BaseModel, version: int | None) -> dict[str, Any]:
    line: dict[str, Any] = {"ticket_id": ticket_id, "done": False, "version": None, "problem": None, "detail": None}
    try:
        async with call.connection.transaction():
            if version is not None and (await lock_ticket(call, ticket_id))["version"] != version:
                raise changed_meanwhile("ticket", version)
            ticket = await work(call, ticket_id, given)
    except Problem as problem:
        return line | {"problem": f"/problems/{problem.slug}", "detail": problem.detail}
    except ValidationError as error:
        return line | {"problem": "/problems/bad-field", "detail": error.errors()[0]["msg"]}
    return line | {"done": True, "version": ticket["version"]}
