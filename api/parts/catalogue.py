"""Changes parts: what each is, what takes its place, what may be taken instead, what is in a kit."""

from collections.abc import Iterable
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.parts import rules
from api.parts.catalogue_models import NewAlternative, NewKit, NewSupersession
from api.parts.models import PartChange
from api.parts.rules import PART
from api.parts.service import SQL, get_part, part_of_field, parts_by_sku, rows_of, unknown_part

BATCH = 500


async def change_part(call: Call, sku: str, change: PartChange, version: int) -> DictRow:
    """Change a part that is still at the version seen.

    Raises:
        Problem: 404; 412 when it changed meanwhile; 422 for a rotable part that is not serialised.
    """
    part = await _lock(call, sku, version)
    values = {**part, **change.model_dump(exclude_unset=True)}
    if values["rotable"] and not values["serialised"]:
        if "serialised" in change.model_fields_set:
            raise Problem.bad_field("body.serialised", "a rotable part is serialised; set rotable to false as well")
        values["serialised"] = True
    await call.connection.execute(SQL["change_part"], values)
    return await get_part(call, sku)


async def discontinue(call: Call, sku: str) -> DictRow:
    """Note that a part cannot be had any more; what there is may be used up.

    Raises:
        Problem: 404; 409 when it is not active.
    """
    return await _move(call, await _lock(call, sku), "discontinue")


async def reinstate(call: Call, sku: str) -> DictRow:
    """Note that a part can be had again.

    Raises:
        Problem: 404; 409 when it was not discontinued.
    """
    return await _move(call, await _lock(call, sku), "reinstate")


async def _lock(call: Call, sku: str, version: int | None = None) -> DictRow:
    part = await (await call.connection.execute(SQL["lock_part"], {"sku": sku})).fetchone()
    if part is None:
        raise Problem.not_found("part", sku)
    if version is not None and part["version"] != version:
        raise changed_meanwhile("part", version)
    return part


async def _move(call: Call, part: DictRow, action: str) -> DictRow:
    state = PART.require(part["sku"], part["state"], action)
    await call.connection.execute(SQL["set_part_state"], {"part_id": part["part_id"], "state": state})
    return await get_part(call, part["sku"])


# What takes its place -----------------------------------------------------------------------------


async def supersede(call: Call, sku: str, body: NewSupersession) -> dict[str, Any]:
    """Let another part take a part's place from a day on.

    Raises:
        Problem: 404; 409 when another one does already; 422 for an unknown part, one that is discontinued, a circle, or
            a day that does not follow the chain's others.
    """
    await call.connection.execute(SQL["lock_chains"])
    part = await _lock(call, sku)
    successor = await part_of_field(call, body.successor, "body.successor")
    if successor["part_id"] == part["part_id"]:
        raise Problem.bad_field("body.successor", "no part takes its own place")
    if successor["state"] == "discontinued":
        raise Problem.bad_field("body.successor", f"{body.successor} is discontinued; reinstate it or name another")
    links = await _links(call, [part["part_id"], successor["part_id"]])
    there = next((link for link in links if link["sku"] == sku), None)
    if there is not None:
        detail = f"{there['successor']} takes the place of {sku} already; DELETE /v1/parts/{sku}/successor first"
        raise Problem.conflict("part-superseded", detail, successor=there["successor"])
    misfit = _chains(links).misfit(rules.Link(sku, body.successor, body.effective_on))
    if misfit is not None:
        raise Problem.bad_field(f"body.{misfit[0]}", misfit[1])
    begun = body.effective_on <= call.now.date()
    keys = {"part_id": part["part_id"], "successor_id": successor["part_id"], "applied": begun}
    values = {**body.model_dump(), **keys, "actor": call.principal.name, "now": call.now}
    await call.connection.execute(SQL["insert_supersession"], values)
    if begun:
        await _move(call, part, "supersede")
    return await chain(call, sku)


async def withdraw(call: Call, sku: str) -> None:
    """Take back that another part takes a part's place.

    Raises:
        Problem: 404 when none does.
    """
    await call.connection.execute(SQL["lock_chains"])
    part = await _lock(call, sku)
    key = {"part_id": part["part_id"]}
    gone = await (await call.connection.execute(SQL["delete_supersession"], key)).fetchone()
    if gone is None:
        raise Problem.not_found("successor of part", sku)
    if gone["applied"]:
        await _move(call, part, "withdraw")


async def chain(call: Call, sku: str) -> dict[str, Any]:
    """All links that a part's chain consists of, and the part to take today.

    Raises:
        Problem: 404.
    """
    part = await get_part(call, sku)
    links = await _links(call, [part["part_id"]])
    return {"sku": sku, "current": _chains(links).current(sku, call.now.date()), "links": links}


async def _links(call: Call, part_ids: list[int]) -> list[DictRow]:
    return await rows_of(call, "links_of_parts", {"part_ids": part_ids})


def _chains(links: Iterable[DictRow]) -> rules.Chains:
    return rules.Chains(rules.Link(link["sku"], link["successor"], link["effective_on"]) for link in links)


async def run_due(call: Call) -> int:
    """Mark parts whose successors' day has come."""
    due = await rows_of(call, "due_supersessions", {"today": call.now.date(), "limit": BATCH})
    for part in due:
        await call.connection.execute(SQL["apply_supersession"], part)
        await _move(call, await _lock(call, part["sku"]), "supersede")
    return len(due)


# What may be taken instead ------------------------------------------------------------------------


async def put_alternative(call: Call, sku: str, body: NewAlternative) -> list[DictRow]:
    """Say that a part may be built in instead of another, or say it anew.

    Raises:
        Problem: 404; 422 for an unknown alternative, or the part itself.
    """
    part = await get_part(call, sku)
    other = await part_of_field(call, body.alternative, "body.alternative")
    if other["part_id"] == part["part_id"]:
        raise Problem.bad_field("body.alternative", "no part is an alternative to itself")
    keys = {"part_id": part["part_id"], "alternative_id": other["part_id"]}
    values = {**body.model_dump(), **keys, "actor": call.principal.name, "now": call.now}
    await call.connection.execute(SQL["put_alternative"], values)
    return await alternatives(call, sku)


async def alternatives(call: Call, sku: str) -> list[DictRow]:
    """What is said to be alternatives to a part, also before and after the days that they are for.

    Raises:
        Problem: 404.
    """
    part = await get_part(call, sku)
    return await rows_of(call, "alternatives_of_part", part)


async def drop_alternative(call: Call, sku: str, alternative: str) -> None:
    """Take back that a part may be built in instead of another.

    Raises:
        Problem: 404.
    """
    part = await get_part(call, sku)
    other = await get_part(call, alternative)
    keys = {"part_id": part["part_id"], "alternative_id": other["part_id"]}
    if await (await call.connection.execute(SQL["delete_alternative"], keys)).fetchone() is None:
        raise Problem.not_found(f"alternative to part {sku}:", alternative)


# Kits ---------------------------------------------------------------------------------------------


async def put_kit(call: Call, sku: str, body: NewKit, version: int) -> dict[str, Any]:
    """Say what is in a kit, in the place of what was said before.

    Raises:
        Problem: 404; 412 when the part changed meanwhile; 422 for an unknown part, the kit itself, or a kit in a kit.
    """
    # Two kits that are put into one another at once would not see that.
    await call.connection.execute(SQL["lock_chains"])
    part = await _lock(call, sku, version)
    numbers = await parts_by_sku(call, (item.sku for item in body.items))
    inner = {row["sku"] for row in await rows_of(call, "kits_among", {"part_ids": list(numbers.values())})}
    for place, item in enumerate(body.items):
        field = f"body.items.{place}.sku"
        if item.sku not in numbers:
            raise unknown_part(field, item.sku)
        if item.sku == sku:
            raise Problem.bad_field(field, "a kit is not in itself")
        if item.sku in inner:
            raise Problem.bad_field(field, f"{item.sku} is a kit; name what is in it instead")
    if body.items and (outer := await rows_of(call, "kits_with", part)):
        raise Problem.bad_field("body.items", f"{sku} is in the kit {outer[0]['sku']}; a kit is not in another one")
    await call.connection.execute(SQL["delete_kit"], part)
    quantities = [item.quantity for item in body.items]
    values = {**part, "part_ids": [numbers[item.sku] for item in body.items], "quantities": quantities}
    await call.connection.execute(SQL["insert_kit"], values)
    await call.connection.execute(SQL["touch_part"], part)
    return await kit(call, sku)


async def kit(call: Call, sku: str) -> dict[str, Any]:
    """What is in a kit, and which kits a part is in.

    Raises:
        Problem: 404.
    """
    part = await get_part(call, sku)
    items = await rows_of(call, "kit_contents", part)
    return {**part, "items": items, "in_kits": await rows_of(call, "kits_with", part)}
