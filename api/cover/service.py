"""What is done with cover that is bought: products, contracts, and what they entitle to."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.cover.models import CoverProductChange, NewActivation, NewContract, NewCoverProduct
from api.cover.rules import CONTRACT_MACHINE, first_day, hash_code, new_code
from api.tickets.service import append_event
from api.warranty.derivation import last_day
from api.warranty.models import Coverage
from api.warranty.rules import HUMAN_DAMAGE
from api.warranty.service import end_terms, get_term, grant_term, last_of_machine, lock_asset, question, today_of
from careloop.database.queries import load_queries

SQL = load_queries("api.cover")

# So many contracts of each kind a round of the duty.
BATCH = 500


async def create_product(call: Call, body: NewCoverProduct) -> DictRow:
    """Add something to sell.

    Raises:
        Problem: 409 when the code is taken; 422 for an unknown model or component.
    """
    model_id = None
    if body.model is not None:
        model = await _row(call, "model_of_code", {"model": body.model})
        if model is None:
            raise Problem.bad_field(
                "body.model", f"there is no product model {body.model}; POST /v1/product-models first"
            )
        model_id = model["model_id"]
    for field in ("components", "excluded_components"):
        scope = {"names": getattr(body, field), "model_id": model_id, "kind": body.asset_kind}
        unknown = await _row(call, "unknown_component", scope)
        if unknown is not None:
            where = f"body.{field}.{getattr(body, field).index(unknown['name'])}"
            raise Problem.bad_field(where, f"no product model that it is for has a component {unknown['name']}")
    values = {**body.model_dump(exclude={"model"}), "model_id": model_id, "now": call.now}
    row = await _row(call, "insert_product", {**values, "entitlements": Jsonb(body.entitlements)})
    if row is None:
        raise Problem.conflict("code-taken", f"there is a cover product {body.code} already")
    return await get_product(call, body.code)


async def get_product(call: Call, code: str) -> DictRow:
    """One product.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "list_products", {"after_id": 0, "fetch": 1, "code": code, "active": None})
    if row is None:
        raise Problem.not_found("cover product", code)
    return row


async def change_product(call: Call, code: str, change: CoverProductChange, version: int) -> DictRow:
    """Change a product that is still at the version seen.

    Raises:
        Problem: 404, 412.
    """
    await get_product(call, code)
    values = {**change.model_dump(), "code": code, "version": version}
    if await _row(call, "change_product", values) is None:
        raise changed_meanwhile("cover product", version)
    return await get_product(call, code)


# Contracts --------------------------------------------------------------------------------------


async def sell(call: Call, body: NewContract) -> tuple[DictRow, str | None]:
    """Sell a contract.

    Returns:
        The contract, and its activation code unless the invoice activates it.

    Raises:
        Problem: 409 when the product is sold no more or the invoice has one already; 422 for an unknown product or
            customer.
    """
    product = await _row(call, "product_to_sell", {"code": body.product})
    if product is None:
        raise Problem.bad_field("body.product", f"there is no cover product {body.product}")
    if not product["active"]:
        raise Problem.conflict("product-inactive", f"the cover product {body.product} is sold no more")
    if body.customer_id is not None:
        customer = await _row(call, "customer_exists", {"customer_id": body.customer_id})
        if customer is None:
            raise Problem.bad_field("body.customer_id", f"there is no customer {body.customer_id}")
    code = None if body.invoice_number is not None else new_code()
    values = {
        **product,
        **body.model_dump(exclude={"product"}),
        "code_hash": None if code is None else hash_code(code),
        "now": call.now,
        "actor": call.principal.name,
        "activate_by": call.now.date() + timedelta(days=product["activate_within_days"]),
    }
    row = await _row(call, "insert_contract", values)
    if row is None:
        message = f"invoice {body.invoice_number} has a contract of {body.product} already"
        raise Problem.conflict("invoice-taken", message)
    for name, granted in product["entitlements"].items():
        entitlement = {"contract_id": row["contract_id"], "name": name, "granted": granted}
        await call.connection.execute(SQL["insert_entitlement"], entitlement)
    return await get_contract(call, row["contract_id"]), code


async def get_contract(call: Call, contract_id: int) -> DictRow:
    """One contract with what is left of its entitlements.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_contract", {"contract_id": contract_id})
    if row is None:
        raise Problem.not_found("cover contract", contract_id)
    return row


async def activate(call: Call, serial: str, body: NewActivation) -> DictRow:
    """Begin a sold contract on a machine, by its code or its invoice.

    Raises:
        Problem: 404 for an unknown asset; 409 when the contract is not for such a machine, is over its time, or is not
            waiting for its activation; 422 when there is no such contract.
    """
    async with call.unscoped():
        sold = await _sold(call, body)
    asset = await lock_asset(call, serial)
    to = CONTRACT_MACHINE.require(sold["contract_id"], sold["state"], "activate")
    if sold["model_id"] not in {None, asset["model_id"]} or sold["asset_kind"] not in {None, asset["kind"]}:
        raise Problem.conflict("cover-misfit", f"{sold['product']} is not for machines like {serial}")
    today = today_of(call, asset)
    if today > sold["activate_by"]:
        raise Problem.conflict("cover-lapsed", f"it was to be activated by {sold['activate_by']}")
    async with call.unscoped():
        last = await last_of_machine(call, asset["asset_id"])
        starts_on = first_day(sold["starts"], today, None if last is None else last["ends_on"])
        ends_on = last_day(starts_on, sold["months"])
        values = {
            "contract_id": sold["contract_id"],
            "state": to,
            "asset_id": asset["asset_id"],
            "customer_id": asset["customer_id"],
            "starts_on": starts_on,
            "ends_on": ends_on,
            "now": call.now,
        }
        await call.connection.execute(SQL["activate_contract"], values)
        await _grant(call, asset, sold, starts_on, ends_on)
    return await get_contract(call, sold["contract_id"])


async def _sold(call: Call, body: NewActivation) -> DictRow:
    if body.code is not None:
        row = await _row(call, "lock_contract_of_code", {"code_hash": hash_code(body.code)})
        field, message = "body.code", "there is no such activation code; compare it with the card, letter by letter"
    else:
        row = await _row(call, "lock_contract_of_invoice", body.model_dump(include={"product", "invoice_number"}))
        field, message = (
            "body.invoice_number",
            f"no contract of {body.product} was sold by invoice {body.invoice_number}",
        )
    if row is None:
        raise Problem.bad_field(field, message)
    return row


async def _grant(call: Call, asset: DictRow, sold: DictRow, starts_on: date, ends_on: date) -> None:
    """The terms of a contract: for the machine, or for each of its components."""
    if not (sold["parts"] or sold["labour"] or sold["travel"]):
        return
    frozen = ("excluded_causes", "excluded_components", "human_damage")
    columns = ("meter_metric", "meter_limit", "parts", "labour", "travel")
    for component in sold["components"] or [None]:
        name = f"{sold['product']} {sold['contract_id']}"
        term = {
            **{column: sold[column] for column in columns},
            "name": name if component is None else f"{name} {component}",
            "starts_on": starts_on,
            "ends_on": ends_on,
            "source": "contract",
            "contract_id": sold["contract_id"],
            "component": component,
            "conditions": {name: sold[name] for name in frozen},
        }
        await grant_term(call, asset["asset_id"], term)


async def cancel(call: Call, contract_id: int, reason: str) -> DictRow:
    """End a contract from today on; what it covered before stays covered.

    Raises:
        Problem: 404; 409 when it is over already.
    """
    contract = await _row(call, "lock_contract", {"contract_id": contract_id})
    if contract is None:
        raise Problem.not_found("cover contract", contract_id)
    to = CONTRACT_MACHINE.require(contract_id, contract["state"], "cancel")
    values = {"contract_id": contract_id, "state": to, "now": call.now, "reason": reason}
    await call.connection.execute(SQL["cancel_contract"], values)
    if contract["asset_id"] is not None:
        await end_terms(call, contract["asset_id"], call.now.date(), contract_id=contract_id)
    return await get_contract(call, contract_id)


async def run_due(call: Call) -> int:
    """End contracts whose last day is over, and let sold ones lapse that nobody activated in time."""
    done = 0
    for query in ("end_contracts", "lapse_contracts"):
        values = {"today": call.now.date(), "batch": BATCH}
        done += (await call.connection.execute(SQL[query], values)).rowcount
    return done


# Entitlements -----------------------------------------------------------------------------------


async def redeem(
    call: Call, contract_id: int, name: str, ticket_id: int | None, field: str = "body.entitlement"
) -> DictRow:
    """Use something that an active contract entitles to, once; two at once cannot use the last one twice.

    Raises:
        Problem: 404; 409 when the contract is not active that day or nothing is left; 422 for an unknown entitlement,
            or a case of another machine.
    """
    contract = await get_contract(call, contract_id)
    today = call.now.date()
    if contract["state"] != "active" or contract["starts_on"] > today or contract["ends_on"] < today:
        span = "" if contract["starts_on"] is None else f", from {contract['starts_on']} to {contract['ends_on']}"
        raise Problem.conflict("cover-not-active", f"contract {contract_id} is {contract['state']}{span}")
    known = {entitlement["name"]: entitlement for entitlement in contract["entitlements"]}
    if name not in known:
        raise Problem.bad_field(field, f"contract {contract_id} entitles to: {', '.join(known) or 'nothing'}")
    if ticket_id is not None:
        await _require_case(call, contract["asset_id"], ticket_id)
    key = {"contract_id": contract_id, "name": name}
    left = await _row(call, "redeem", key)
    if left is None:
        message = f"{name} of contract {contract_id} is used up: {known[name]['granted']} of {known[name]['granted']}"
        raise Problem.conflict("entitlement-used-up", message, granted=known[name]["granted"], left=0)
    values = {**key, "asset_id": contract["asset_id"], "ticket_id": ticket_id, "now": call.now}
    row = await _row(call, "insert_redemption", {**values, "actor": call.principal.name})
    if row is None:
        raise LookupError("insert_redemption returned no row")
    if ticket_id is not None:
        line = {"contract_id": contract_id, "entitlement": name, "left": left["left"]}
        await append_event(call, ticket_id, "entitlement_redeemed", line)
    return {**row, "entitlement": name, "serial": contract["serial"], "left": left["left"]}


async def use_human_damage(call: Call, serial: str, ticket_id: int) -> tuple[DictRow, bool]:
    """Use up the one human damage that the policy bears, for a case.

    Returns:
        The use, and whether it is new.

    Raises:
        Problem: 404; 409 when the warranty does not bear it, needs no record of it, or was used for another case; 422
            for a case of another machine.
    """
    asset = await lock_asset(call, serial)
    await _require_case(call, asset["asset_id"], ticket_id)
    there = await _row(call, "human_damage_of", {"asset_id": asset["asset_id"]})
    if there is not None and there["ticket_id"] == ticket_id:
        return there, False
    answer = await question(call, serial, cause=HUMAN_DAMAGE, ticket_id=ticket_id)
    if not answer.covered:
        raise Problem.conflict("human-damage-not-borne", answer.reason)
    term = None if answer.term is None else await get_term(call, answer.term.term_id)
    if term is None or term["human_damage"] != "once_free":
        raise Problem.conflict(
            "human-damage-free", "the warranty bears it however often it happens; nothing is used up"
        )
    values = {"asset_id": asset["asset_id"], "ticket_id": ticket_id, "now": call.now, "actor": call.principal.name}
    await call.connection.execute(SQL["use_human_damage"], values)
    await append_event(call, ticket_id, "human_damage_free", {"term_id": term["term_id"]})
    used = await _row(call, "human_damage_of", {"asset_id": asset["asset_id"]})
    if used is None:
        raise LookupError("the use of the human damage is not there")
    return used, True


async def note_human_damage(call: Call, answer: Coverage, ticket_id: int) -> None:
    """Use up the one human damage that the policy bears where that is what bore a case's work.

    Args:
        call: Whose transaction holds the work.
        answer: What the warranty question said about the work.
        ticket_id: The case, a case of that machine.
    """
    if answer.cause != HUMAN_DAMAGE or not answer.covered or answer.term is None:
        return
    async with call.unscoped():
        term = await get_term(call, answer.term.term_id)
        if term["human_damage"] == "once_free":
            values = {"asset_id": term["asset_id"], "ticket_id": ticket_id, "now": call.now}
            await call.connection.execute(SQL["use_human_damage"], {**values, "actor": call.principal.name})


async def _require_case(call: Call, asset_id: int, ticket_id: int) -> None:
    if await _row(call, "ticket_of_asset", {"asset_id": asset_id, "ticket_id": ticket_id}) is None:
        raise Problem.bad_field("body.ticket_id", f"the machine has no ticket {ticket_id}")


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
