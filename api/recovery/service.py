"""What is done with suppliers, and with what they are to pay back."""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow

from api.alerts.service import announce
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.recovery.models import ClaimChange, ClaimMove, NewClaim, NewSupplier, NewSupply, SupplierChange
from api.recovery.rules import CLAIM_MACHINE, REMIND_AHEAD, labour_minor, misfit_of_amounts, span_of
from api.tickets.service import append_event
from careloop.database.queries import load_queries

SQL = load_queries("api.recovery")

# So many drafts a round of the duty.
BATCH = 500


async def create_supplier(call: Call, body: NewSupplier) -> DictRow:
    """Add a supplier.

    Raises:
        Problem: 409 when the code is taken.
    """
    if await _row(call, "insert_supplier", {**body.model_dump(), "now": call.now}) is None:
        raise Problem.conflict("code-taken", f"there is a supplier {body.code} already")
    return await get_supplier(call, body.code)


async def get_supplier(call: Call, code: str) -> DictRow:
    """One supplier.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "list_suppliers", {"after_id": 0, "fetch": 1, "code": code})
    if row is None:
        raise Problem.not_found("supplier", code)
    return row


async def change_supplier(call: Call, code: str, change: SupplierChange, version: int) -> DictRow:
    """Change a supplier that is still at the version seen.

    Raises:
        Problem: 404, 412.
    """
    await get_supplier(call, code)
    if await _row(call, "change_supplier", {**change.model_dump(), "code": code, "version": version}) is None:
        raise changed_meanwhile("supplier", version)
    return await get_supplier(call, code)


async def add_supply(call: Call, code: str, body: NewSupply) -> dict[str, Any]:
    """Say what a supplier answers for.

    Raises:
        Problem: 404; 409 when somebody answers for it already; 422 for an unknown component or part.
    """
    supplier = await get_supplier(call, code)
    component = part = None
    if body.sku is None:
        component = await _row(call, "component_of_model", body.model_dump(include={"model", "component"}))
        if component is None:
            raise Problem.bad_field("body.component", f"there is no component {body.component} of a model {body.model}")
    else:
        part = await _row(call, "part_of_sku", {"sku": body.sku})
        if part is None:
            raise Problem.bad_field("body.sku", f"there is no part {body.sku}; POST /v1/parts first")
    values = {
        "supplier_id": supplier["supplier_id"],
        "component_id": component and component["component_id"],
        "part_id": part and part["part_id"],
        "warranty_months": body.warranty_months,
        "now": call.now,
    }
    row = await _row(call, "insert_supply", values)
    if row is None:
        raise Problem.conflict("supply-taken", "a supplier answers for it already; DELETE that first")
    return {**row, **body.model_dump(), "supplier": code}


async def remove_supply(call: Call, code: str, supply_id: int) -> None:
    """A supplier answers for it no more; claims stay.

    Raises:
        Problem: 404.
    """
    supplier = await get_supplier(call, code)
    key = {"supplier_id": supplier["supplier_id"], "supply_id": supply_id}
    if await _row(call, "delete_supply", key) is None:
        raise Problem.not_found("supply", supply_id)


# Claims -----------------------------------------------------------------------------------------


async def draft_after_replacement(call: Call, replacement_id: int) -> None:
    """Draft the claim of a failed component that was replaced, if a supplier answers for it; whoever recorded it."""
    async with call.unscoped():
        fact = await _row(call, "fact_of_replacement", {"fact_id": replacement_id})
        if fact is None:
            return
        if fact["failure_id"] is not None:
            await call.connection.execute(SQL["add_replacement"], fact)
        supply = await _row(call, "supply_of_fact", fact)
        claim = None if supply is None else _claim(fact, supply)
        if claim is not None:
            given = {"ticket_id": None, "travel_minor": 0, "note": "", "now": call.now}
            await call.connection.execute(SQL["insert_claim"], {**claim, **given})


def _claim(fact: Mapping[str, Any], supply: Mapping[str, Any]) -> dict[str, Any] | None:
    """The claim that a fact makes, with costs by the bill of materials; None when the supplier's warranty was over."""
    built_in_on = supply["replaced_on"] or supply["installed_on"]
    span = span_of(
        built_in_on,
        supply["failed_on"],
        warranty_months=supply["warranty_months"],
        claim_within_days=supply["claim_within_days"],
    )
    if not span.covered:
        return None
    return {
        **{name: fact[name] for name in ("failure_id", "replacement_id", "asset_id", "component")},
        **{name: supply[name] for name in ("supplier_id", "currency", "failed_on")},
        "built_in_on": built_in_on,
        "covered_until": span.covered_until,
        "deadline": span.deadline,
        "parts_minor": supply["parts_minor"] or 0,
        "labour_minor": labour_minor(supply["labour_minutes"], supply["labour_hour_minor"]),
    }


async def draft(call: Call, body: NewClaim) -> DictRow:
    """Draft a claim by hand.

    Raises:
        Problem: 409 when nobody answers for the component, the supplier's warranty was over, or there is a claim
            already; 422 for an unknown fact or case.
    """
    of_failure = body.failure_id is not None
    query, field = ("fact_of_failure", "failure_id") if of_failure else ("fact_of_replacement", "replacement_id")
    fact = await _row(call, query, {"fact_id": getattr(body, field)})
    if fact is None:
        kind = "failure" if of_failure else "replacement of a failed component"
        raise Problem.bad_field(f"body.{field}", f"there is no {kind} {getattr(body, field)}")
    if (
        body.ticket_id is not None
        and await _row(call, "ticket_of_asset", {**fact, "ticket_id": body.ticket_id}) is None
    ):
        raise Problem.bad_field("body.ticket_id", f"the machine has no ticket {body.ticket_id}")
    supply = await _row(call, "supply_of_fact", fact)
    if supply is None:
        raise Problem.conflict("no-supplier", f"no supplier answers for the component {fact['component']}")
    claim = _claim(fact, supply)
    if claim is None:
        message = f"it failed on {supply['failed_on']}, outside the {supply['warranty_months']} months of its supplier"
        raise Problem.conflict("supplier-warranty-over", message)
    given = body.model_dump(include={"ticket_id", "travel_minor", "note"})
    costs = body.model_dump(include={"parts_minor", "labour_minor"}, exclude_none=True)
    row = await _row(call, "insert_claim", {**claim, **costs, **given, "now": call.now})
    if row is None:
        known = await _row(call, "claim_of_fact", fact) or {"claim_id": None}
        raise Problem.conflict("claim-taken", f"claim {known['claim_id']} is about it already", **known)
    if body.ticket_id is not None:
        await append_event(call, body.ticket_id, "supplier_claim", {"claim_id": row["claim_id"], "state": "draft"})
    return await get_claim(call, row["claim_id"])


async def get_claim(call: Call, claim_id: int) -> DictRow:
    """One claim.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_claim", {"claim_id": claim_id})
    if row is None:
        raise Problem.not_found("supplier claim", claim_id)
    return row


async def change_claim(call: Call, claim_id: int, change: ClaimChange, version: int) -> DictRow:
    """Change a draft that is still at the version seen.

    Raises:
        Problem: 404; 409 when it is no draft any more; 412.
    """
    seen = await _lock(call, claim_id)
    if seen["version"] != version:
        raise changed_meanwhile("supplier claim", version)
    if seen["state"] != "draft":
        raise Problem.conflict("claim-not-draft", f"claim {claim_id} is {seen['state']}; only a draft changes")
    await call.connection.execute(SQL["change_claim"], {**change.model_dump(), "claim_id": claim_id})
    return await get_claim(call, claim_id)


async def move_claim(call: Call, claim_id: int, wish: ClaimMove) -> DictRow:
    """Write down what happened to a claim.

    Raises:
        Problem: 404; 409 when its state does not allow it or its deadline is over; 422 for an amount that does not fit.
    """
    seen = await _lock(call, claim_id)
    to = CLAIM_MACHINE.require(claim_id, seen["state"], wish.action)
    if wish.action == "submit" and call.now.date() > seen["deadline"]:
        raise Problem.conflict("claim-late", f"claim {claim_id} was to be submitted by {seen['deadline']}")
    misfit = misfit_of_amounts(
        wish.action, seen["claimed_minor"], seen["accepted_minor"], wish.accepted_minor, wish.settled_minor
    )
    if misfit is not None:
        raise Problem.bad_field(f"body.{misfit[0]}", misfit[1])
    values = {**wish.model_dump(), "claim_id": claim_id, "state": to, "now": call.now}
    await call.connection.execute(SQL["move_claim"], values)
    if seen["ticket_id"] is not None:
        await append_event(call, seen["ticket_id"], "supplier_claim", {"claim_id": claim_id, "state": to})
    return await get_claim(call, claim_id)


async def totals(call: Call, code: str) -> list[DictRow]:
    """A supplier's claims by state.

    Raises:
        Problem: 404.
    """
    supplier = await get_supplier(call, code)
    return await (await call.connection.execute(SQL["totals"], supplier)).fetchall()


async def run_due(call: Call) -> int:
    """Tell of drafts whose deadline comes, and expire those whose deadline is over."""
    today = call.now.date()
    values = {"today": today, "remind_until": today + REMIND_AHEAD, "batch": BATCH}
    due = await (await call.connection.execute(SQL["due_drafts"], values)).fetchall()
    for claim in due:
        if claim["deadline"] < today:
            state = CLAIM_MACHINE.require(claim["claim_id"], "draft", "expire")
            await call.connection.execute(SQL["expire_claim"], {**claim, "state": state})
            continue
        await call.connection.execute(SQL["mark_reminded"], {**claim, "now": call.now})
        await announce(
            call,
            topic="claim.due",
            cause=f"claim:{claim['claim_id']}:due",
            asset_id=claim["asset_id"],
            subject=f"Claim {claim['claim_id']} against {claim['supplier']} is to be submitted by {claim['deadline']}",
            body=f"The {claim['component']} of {claim['serial']} failed within its supplier's warranty: "
            f"{claim['claimed_minor']} {claim['currency']} in minor units.",
            payload=claim,
        )
    return len(due)


async def _lock(call: Call, claim_id: int) -> DictRow:
    row = await _row(call, "lock_claim", {"claim_id": claim_id})
    if row is None:
        raise Problem.not_found("supplier claim", claim_id)
    return row


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
