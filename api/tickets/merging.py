"""How cases hang together: links, watchers, and one that goes on in another one."""

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.sla import service as sla
from api.tickets import rules
from api.tickets.models import Merge, NewLink
from api.tickets.repository import SQL, append_event, get_ticket, lock_ticket, one, require_no_work


async def merge(call: Call, ticket_id: int, wish: Merge) -> DictRow:
    """End a case in favour of another one, which takes over its watchers, tags, cause and evidence.

    Its history, messages and files stay where they are and are read from the survivor too; whatever was merged into it
    earlier goes on with it, so `merged_into` always names a case that is not merged itself.

    Returns:
        The survivor.

    Raises:
        Problem: 404; 409 `ticket-state`, `merge-target-over`, `other-customer`, `job-open` or `repair-open`; 422 for a
            target that is unknown or the case itself.
    """
    if wish.into == ticket_id:
        raise Problem.bad_field("body.into", "is the case itself; name the one that goes on")
    # Both are locked in the order of their numbers, so that A into B and B into A at once do not wait in a circle.
    await call.connection.execute(SQL["lock_tickets"], {"ticket_ids": [ticket_id, wish.into]})
    goes = await lock_ticket(call, ticket_id)
    stays = await _target(call, wish.into)
    rules.MACHINE.require(ticket_id, goes["state"], "merge")
    if stays["state"] in rules.OVER:
        message = f"ticket {wish.into} is {stays['state']}; merge into a case that is still open"
        raise Problem.conflict("merge-target-over", message, state=stays["state"])
    if None not in {goes["customer_id"], stays["customer_id"]} and goes["customer_id"] != stays["customer_id"]:
        message = f"tickets {ticket_id} and {wish.into} are of two customers, who would read each other's words"
        raise Problem.conflict("other-customer", message)
    await require_no_work(call, ticket_id)
    key = {"ticket_id": ticket_id, "into": wish.into, "now": call.now}
    await call.connection.execute(SQL["merge_ticket"], key)
    await call.connection.execute(SQL["merge_earlier"], key)
    same_machine = goes["asset_id"] is not None and goes["asset_id"] == stays["asset_id"]
    await call.connection.execute(SQL["take_over"], {**key, "cause": goes["cause"] if same_machine else ""})
    await call.connection.execute(SQL["copy_watchers"], key)
    await call.connection.execute(SQL["copy_tags"], key)
    reason = {"reason": wish.reason} if wish.reason else {}
    await append_event(call, ticket_id, "merged", {"from": goes["state"], "to": "merged", "into": wish.into, **reason})
    taken = {name: goes[name] for name in ("kind", "title", "description", "evidence")}
    await append_event(call, wish.into, "took_over", {"ticket_id": ticket_id, **taken, **reason})
    await sla.on_state(call, ticket_id, goes["state"], "merged")
    return await get_ticket(call, wish.into)


async def _target(call: Call, ticket_id: int, field: str = "body.into") -> DictRow:
    row = await one(call, "lock_ticket", {"ticket_id": ticket_id})
    if row is None:
        raise Problem.bad_field(field, f"there is no ticket {ticket_id}")
    return row


# Links ------------------------------------------------------------------------------------------


async def link(call: Call, ticket_id: int, wish: NewLink) -> tuple[DictRow, bool]:
    """Say how a case hangs together with another one that the caller sees too.

    Returns:
        The link, and whether it was made now.

    Raises:
        Problem: 404; 422 for another ticket that is unknown or the same.
    """
    await get_ticket(call, ticket_id)
    if wish.to_ticket_id == ticket_id:
        raise Problem.bad_field("body.to_ticket_id", "is the case itself; name another one")
    if await one(call, "get_ticket", {"ticket_id": wish.to_ticket_id}) is None:
        raise Problem.bad_field("body.to_ticket_id", f"there is no ticket {wish.to_ticket_id}")
    key = {"from_ticket_id": ticket_id, "to_ticket_id": wish.to_ticket_id, "kind": wish.kind}
    made = await one(call, "insert_link", {**key, "made_by": call.principal.name, "now": call.now})
    if made is None:
        there = await one(call, "find_link", key)
        if there is None:
            raise Problem(503, "busy", "the link was removed at the same time; try again", headers={"Retry-After": "1"})
        return there, False
    for number in (ticket_id, wish.to_ticket_id):
        await append_event(call, number, "linked", key)
    return made, True


async def unlink(call: Call, ticket_id: int, link_id: int) -> None:
    """Remove a link from either side.

    Raises:
        Problem: 404.
    """
    gone = await one(call, "delete_link", {"ticket_id": ticket_id, "link_id": link_id})
    if gone is None:
        raise Problem.not_found("link", link_id)
    key = {name: gone[name] for name in ("from_ticket_id", "to_ticket_id", "kind")}
    for number in (gone["from_ticket_id"], gone["to_ticket_id"]):
        await append_event(call, number, "unlinked", key)


# Watchers ---------------------------------------------------------------------------------------


async def watch(call: Call, ticket_id: int, user_id: int | None) -> DictRow:
    """Let a user who works here watch a case; again changes nothing.

    Returns:
        The ticket.

    Raises:
        Problem: 404; 422 for a user who is unknown, or none where the caller is an API key.
    """
    wanted = user_id or call.principal.user_id
    if wanted is None:
        raise Problem.bad_field("body.user_id", "an API key is nobody; name the user")
    ticket = await get_ticket(call, ticket_id)
    if await one(call, "worker", {"user_id": wanted}) is None:
        raise Problem.bad_field("body.user_id", f"user {wanted} does not work here")
    key = {"ticket_id": ticket_id, "user_id": wanted, "now": call.now}
    await call.connection.execute(SQL["insert_watcher"], key)
    return ticket


async def unwatch(call: Call, ticket_id: int, user_id: int) -> None:
    """End it.

    Raises:
        Problem: 404.
    """
    await get_ticket(call, ticket_id)
    if await one(call, "delete_watcher", {"ticket_id": ticket_id, "user_id": user_id}) is None:
        raise Problem.not_found("watcher", user_id)
