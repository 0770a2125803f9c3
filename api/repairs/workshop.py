"""The workshop's own work: parts, mending, exchanging the machine, and what it all costs the maker."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from psycopg.rows import DictRow

from api.assets.models import AssetChange, NewAsset, NewRetirement, NewWarrantyTerm
from api.assets.service import add_term, change_asset, create_asset, get_asset, retire
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.dispatch.models import NewJob
from api.dispatch.service import admit, create_job
from api.parts.service import part_of_field
from api.repairs.models import Exchange, Finish, NewCost, PartsOrder, WantedPart
from api.repairs.moving import begin, move, require_paid
from api.repairs.repository import SQL, add_cost, get_repair, locked, row, rows, today_of
from api.repairs.service import add_labour
from api.reservations.models import NewReservation
from api.reservations.service import reserve, settle
from api.tickets.service import append_event
from api.warranty.models import NewPurchase
from api.warranty.policies import decide_purchase, derive_if_pending, submit_purchase

BATCH = 500


async def order_parts(call: Call, repair_id: int, body: PartsOrder) -> DictRow:
    """Keep the parts of a repair; what no warehouse has is awaited.

    Raises:
        Problem: 404; 409 in another state, without an accepted quote where one is needed, or when a part is kept in
            another quantity; 422 for an unknown part.
    """
    repair, to = await begin(call, repair_id, "order_parts")
    require_paid(repair)
    job_id = await _job(call, repair)
    for place, wanted in enumerate(body.parts):
        await _want(call, repair_id, job_id, wanted, f"body.parts.{place}.sku")
    repair = await get_repair(call, repair_id)
    missing = [part["sku"] for part in repair["parts"] if part["state"] == "missing"]
    return await move(call, repair, to, detail={"parts": [part.sku for part in body.parts], "missing": missing})


async def _job(call: Call, repair: Mapping[str, Any]) -> int:
    """The job that the parts are kept for: of the ticket, in the workshop."""
    if repair["job_id"] is not None:
        return int(repair["job_id"])
    job, _ = await create_job(call, NewJob(ticket_id=repair["ticket_id"]))
    job = await admit(call, job["job_id"])
    key = {"repair_id": repair["repair_id"], "job_id": job["job_id"]}
    await call.connection.execute(SQL["keep_job"], key)
    return int(job["job_id"])


async def _want(call: Call, repair_id: int, job_id: int, wanted: WantedPart, field: str) -> bool:
    """Keep a part, or note that it is missing; whether it is kept."""
    part = await part_of_field(call, wanted.sku, field)
    try:
        kept, _ = await reserve(call, NewReservation(job_id=job_id, sku=wanted.sku, quantity=wanted.quantity))
    except Problem as problem:
        if problem.slug != "no-stock":
            raise
        kept = None
    values = {
        "repair_id": repair_id,
        "part_id": part["part_id"],
        "quantity": wanted.quantity,
        "reservation_id": kept["reservation_id"] if kept else None,
        "expected_at": kept["available_at"] if kept else call.now + timedelta(days=part["lead_time_days"]),
        "now": call.now,
    }
    await call.connection.execute(SQL["put_part"], values)
    return kept is not None


async def keep_parts_that_came(call: Call) -> int:
    """Keep parts that repairs wait for and that a warehouse has by now."""
    kept = 0
    for found in await rows(call, "parts_come_in", {"limit": BATCH}):
        repair = await locked(call, found["repair_id"])
        came = []
        for part in repair["parts"]:
            if part["state"] == "missing" and repair["state"] == "waiting_parts":
                wanted = WantedPart(sku=part["sku"], quantity=part["quantity"])
                if await _want(call, repair["repair_id"], repair["job_id"], wanted, "sku"):
                    came.append(part["sku"])
        if came:
            await append_event(
                call, repair["ticket_id"], "repair_parts", {"repair_id": repair["repair_id"], "kept": came}
            )
        kept += len(came)
    return kept


async def start(call: Call, repair_id: int) -> DictRow:
    """Begin to mend the machine.

    Raises:
        Problem: 404; 409 in another state, without an accepted quote where one is needed, or while parts are missing.
    """
    repair, to = await begin(call, repair_id, "start")
    require_paid(repair)
    missing = [part["sku"] for part in repair["parts"] if part["state"] == "missing"]
    if missing:
        detail = f"no warehouse has {', '.join(missing)} for repair {repair_id} yet"
        raise Problem.conflict("parts-missing", detail, parts=missing)
    return await move(call, repair, to)


async def finish(call: Call, repair_id: int, body: Finish) -> DictRow:
    """The machine is mended: its parts leave the stock, and parts and time are counted as costs.

    Raises:
        Problem: 404; 409 in another state.
    """
    repair, to = await begin(call, repair_id, "finish")
    for part in await rows(call, "parts_to_use", {"repair_id": repair_id}):
        await settle(call, part["reservation_id"], "consumed")
        source = f"reservation:{part['reservation_id']}"
        said = f"{part['quantity']} × {part['name']}"
        amount = part["quantity"] * part["cost_minor"]
        await add_cost(call, repair, "part", source, amount_minor=amount, description=said, currency=part["currency"])
    # Mended again after a failed test, it costs again.
    await add_labour(call, repair, f"work:{repair['version']}", body.labour_minutes)
    return await move(call, repair, to, detail={"labour_minutes": body.labour_minutes, "note": body.note})


async def exchange(call: Call, repair_id: int, body: Exchange) -> DictRow:
    """Give the customer another machine: what is left of the warranty goes with it, the old one is retired.

    Raises:
        Problem: 404; 409 in another state, without an accepted quote where one is needed, or for a replacement that is
            somebody's, retired or a loaner.
    """
    repair, to = await begin(call, repair_id, "exchange")
    require_paid(repair)
    old = await row(call, "asset_to_replace", {"asset_id": repair["asset_id"]})
    if old is None:
        raise LookupError(f"asset {repair['asset_id']} is gone")
    new = await _replacement(call, old, body.serial)
    await _carry_warranty(call, old, new, today_of(call, repair))
    if old["state"] == "active":
        reason = f"exchanged for {body.serial}: {body.reason}"[:500]
        await retire(call, old["serial"], NewRetirement(reason=reason), old["version"])
    key = {"repair_id": repair_id, "asset_id": new["asset_id"]}
    await call.connection.execute(SQL["keep_replacement"], key)
    said = f"Replacement {body.serial}"
    await add_cost(call, repair, "exchange", "exchange", amount_minor=body.cost_minor, description=said)
    repair = await get_repair(call, repair_id)
    told = f"You get the machine {body.serial}; what is left of the warranty goes with it."
    return await move(call, repair, to, detail={"replacement": body.serial, "reason": body.reason}, told=told)


async def _replacement(call: Call, old: Mapping[str, Any], serial: str) -> DictRow:
    """The machine that takes the old one's place, the customer's from now on."""
    known = await row(call, "known_asset", {"serial": serial})
    if known is None:
        place = {"customer_id": old["customer_id"], "site_id": old["site_id"], "installed_at": call.now}
        return await create_asset(call, NewAsset(serial=serial, model=old["model"], **place))
    if known["customer_id"] is not None or known["state"] != "active" or known["loaner"]:
        raise Problem.conflict("serial-taken", f"{serial} is somebody's, retired or a loaner; take another machine")
    there = await get_asset(call, serial)
    given = {name: old[name] for name in ("customer_id", "site_id") if old[name] is not None}
    if given:
        return await change_asset(call, serial, AssetChange(**given), there["version"])
    return there


async def _carry_warranty(call: Call, old: Mapping[str, Any], new: Mapping[str, Any], today: date) -> None:
    """Let the new machine have what is left of the old one's warranty, and no day more.

    A policy's terms follow from the day of purchase, so the new machine counts as bought when the old one was; all else
    is copied.
    """
    await derive_if_pending(call, old["asset_id"])
    for term in await rows(call, "replacement_terms", {**old, "today": today}):
        name = f"{term['name']} of {old['serial']}"[:128]
        await add_term(call, new["asset_id"], NewWarrantyTerm(**{**term, "name": name}))
    start = await row(call, "policy_start", old)
    if start is not None and start["starts_on"] is not None:
        bought = NewPurchase(purchased_on=min(start["starts_on"], today), invoice_number=f"exchange of {old['serial']}")
        purchase = await submit_purchase(call, new["serial"], bought)
        await decide_purchase(call, purchase["purchase_id"], "accept", f"takes the place of {old['serial']}")


async def enter_cost(call: Call, repair_id: int, body: NewCost) -> DictRow:
    """Enter something that the repair cost besides; the repair's costs.

    Raises:
        Problem: 404.
    """
    repair = await locked(call, repair_id)
    source = await row(call, "next_cost_source", {"repair_id": repair_id})
    if source is None:
        raise LookupError("next_cost_source returned no row")
    await add_cost(
        call,
        repair,
        body.kind,
        source["source"],
        amount_minor=body.amount_minor,
        description=body.description,
        currency=body.currency,
    )
    return await costs(call, repair_id)


async def costs(call: Call, repair_id: int) -> DictRow:
    """What a repair has cost the maker until now, by kind and currency and together.

    Raises:
        Problem: 404.
    """
    repair = await get_repair(call, repair_id)
    items = await rows(call, "list_costs", {"repair_id": repair_id})
    sums: dict[tuple[str, str], int] = {}
    for item in items:
        for kind in (item["kind"], ""):
            key = (kind, item["currency"])
            sums[key] = sums.get(key, 0) + item["amount_minor"]
    return {
        **{name: repair[name] for name in ("repair_id", "bearer", "central")},
        "items": items,
        "sums": [{"kind": kind, "currency": money, "amount_minor": sums[kind, money]} for kind, money in sorted(sums)],
    }
