"""What is done with policies and purchases, and the terms that follow from them."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.assets.service import get_asset
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.files.service import attach, require_file
from api.warranty.derivation import Machine, Policy, changes, choose, last_day, start_of
from api.warranty.models import NewPolicy, NewPurchase, PolicyVersion
from api.warranty.rules import PURCHASE_MACHINE
from careloop.database.queries import load_queries

SQL = load_queries("api.warranty")

# So many machines a round of the duty; they are locked until it ends.
BATCH = 200
# A machine that has not said anything yet is looked at again after this.
AWAIT_READING = timedelta(days=1)


async def create_policy(call: Call, body: NewPolicy) -> DictRow:
    """Add a policy's first version.

    Raises:
        Problem: 409 when the code is taken; 422 for an unknown model or component.
    """
    return await _insert(call, body.code, 1, body)


async def add_version(call: Call, code: str, body: PolicyVersion, seen_version: int) -> DictRow:
    """Add a policy's next version; from its first day on, the ones before are for no sale any more.

    Raises:
        Problem: 404; 412 when there is a later version than the one seen; 422 for an unknown model or component.
    """
    latest = await _row(call, "latest_version", {"code": code})
    if latest is None:
        raise Problem.not_found("warranty policy", code)
    if latest["version"] != seen_version:
        raise changed_meanwhile("warranty policy", seen_version)
    return await _insert(call, code, seen_version + 1, body)


async def _insert(call: Call, code: str, version: int, body: PolicyVersion) -> DictRow:
    model_id = None
    if body.model is not None:
        model = await _row(call, "model_of_code", {"model": body.model})
        if model is None:
            raise Problem.bad_field(
                "body.model", f"there is no product model {body.model}; POST /v1/product-models first"
            )
        model_id = model["model_id"]
    await _require_components(call, body, model_id)
    values = {
        **body.model_dump(exclude={"lines", "model", "code"}),
        "code": code,
        "version": version,
        "model_id": model_id,
        "now": call.now,
        "actor": call.principal.name,
    }
    row = await _row(call, "insert_policy", values)
    if row is None:
        raise Problem.conflict("code-taken", f"there is a warranty policy {code} already; POST its next version")
    for number, line in enumerate(body.lines, 1):
        parameters = {**line.model_dump(), "policy_id": row["policy_id"], "line": number}
        await call.connection.execute(SQL["insert_policy_line"], parameters)
    await call.connection.execute(SQL["end_earlier_versions"], values)
    await call.connection.execute(SQL["await_scope"], values)
    return await get_policy(call, code, version)


async def _require_components(call: Call, body: PolicyVersion, model_id: int | None) -> None:
    named = {f"body.lines.{index}.component": line.component for index, line in enumerate(body.lines)}
    named |= {f"body.excluded_components.{index}": name for index, name in enumerate(body.excluded_components)}
    names = [name for name in named.values() if name is not None]
    parameters = {"names": names, "model_id": model_id, "kind": body.kind}
    unknown = await (await call.connection.execute(SQL["unknown_components"], parameters)).fetchall()
    if unknown:
        name = unknown[0]["name"]
        field = next(field for field, named_one in named.items() if named_one == name)
        raise Problem.bad_field(field, f"no product model that the policy is for has a component {name}")


async def get_policy(call: Call, code: str, version: int | None) -> DictRow:
    """A version of a policy; without one, the latest.

    Raises:
        Problem: 404.
    """
    if version is None:
        latest = await _row(call, "latest_version_number", {"code": code})
        version = None if latest is None else latest["version"]
    parameters = {"after_id": 0, "fetch": 1, "code": code, "version": version}
    row = None if version is None else await _row(call, "list_policies", parameters)
    if row is None:
        raise Problem.not_found("warranty policy", code)
    return row


# Purchases --------------------------------------------------------------------------------------


async def submit_purchase(call: Call, serial: str, body: NewPurchase) -> DictRow:
    """Register when a machine was bought; an agent checks it.

    Raises:
        Problem: 404; 422 for a day to come or a file that is not there.
    """
    asset = await get_asset(call, serial)
    if body.purchased_on > call.now.date() + timedelta(days=1):
        raise Problem.bad_field("body.purchased_on", f"is after today, {call.now.date()}")
    if body.file_id is not None:
        await require_file(call, body.file_id, "body.file_id")
        await attach(call, body.file_id, asset_id=asset["asset_id"])
    values = {**body.model_dump(), "asset_id": asset["asset_id"], "now": call.now, "actor": call.principal.name}
    row = await _row(call, "insert_purchase", values)
    if row is None:
        raise LookupError("insert_purchase returned no row")
    return await get_purchase(call, row["purchase_id"])


async def get_purchase(call: Call, purchase_id: int) -> DictRow:
    """One purchase.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_purchase", {"purchase_id": purchase_id})
    if row is None:
        raise Problem.not_found("purchase", purchase_id)
    return row


async def decide_purchase(call: Call, purchase_id: int, action: str, reason: str) -> DictRow:
    """Accept or reject a purchase; the machine's terms start anew.

    Raises:
        Problem: 404; 409 when its state does not allow it.
    """
    purchase = await _row(call, "lock_purchase", {"purchase_id": purchase_id})
    if purchase is None:
        raise Problem.not_found("purchase", purchase_id)
    # All decisions about one machine take turns.
    machine = await _row(call, "lock_machine", {"asset_id": purchase["asset_id"]})
    to = PURCHASE_MACHINE.require(purchase_id, purchase["state"], action)
    decided = {"now": call.now, "actor": call.principal.name, "decision": reason}
    if to == "accepted" and machine is not None:
        before = await _row(call, "accepted_purchase", {"asset_id": purchase["asset_id"]})
        if before is not None:
            state = PURCHASE_MACHINE.require(before["purchase_id"], before["state"], "replace")
            replaced = {**decided, "decision": f"replaced by purchase {purchase_id}"}
            await call.connection.execute(
                SQL["decide_purchase"], {**replaced, "purchase_id": before["purchase_id"], "state": state}
            )
    await call.connection.execute(SQL["decide_purchase"], {**decided, "purchase_id": purchase_id, "state": to})
    await derive(call, purchase["asset_id"])
    return await get_purchase(call, purchase_id)


# Derivation -------------------------------------------------------------------------------------


async def run_due(call: Call) -> int:
    """Derive the terms of machines that wait for it; while there are no policies, they wait."""
    there = await _row(call, "any_policy", {})
    if there is None or not there["there"]:
        return 0
    parameters = {"now": call.now, "batch": BATCH}
    waiting = await (await call.connection.execute(SQL["claim_pending_batch"], parameters)).fetchall()
    for row in waiting:
        await derive(call, row["asset_id"])
    return len(waiting)


async def derive_if_pending(call: Call, asset_id: int) -> None:
    """Derive a machine's terms now if nobody has yet."""
    async with call.unscoped():
        if await _row(call, "claim_pending", {"asset_id": asset_id, "now": call.now}) is not None:
            await derive(call, asset_id)


async def derive(call: Call, asset_id: int) -> None:
    """Bring a machine's derived terms up to date with its policy and its start; terms of other sources stay."""
    row = await _row(call, "lock_machine", {"asset_id": asset_id})
    if row is None:
        return
    rows = await (await call.connection.execute(SQL["policies_of_model"], row)).fetchall()
    policies = {one["policy_id"]: one for one in rows}
    machine = await _machine(call, row, needs_reading=any(one["start_rule"] == "first_reading" for one in rows))
    chosen = choose([_policy(one) for one in rows], machine)
    there = await (await call.connection.execute(SQL["derived_terms"], {"asset_id": asset_id})).fetchall()
    derived: list[dict[str, Any]] = []
    if chosen is not None:
        start = start_of(chosen, machine)
        derived = await _terms(call, policies[chosen.policy_id], start.on)
        if start.awaited:
            due_at = call.now + AWAIT_READING
            await call.connection.execute(SQL["await_again"], {"asset_id": asset_id, "due_at": due_at})
    to_do = changes(derived, there)
    for term_id in to_do.withdrawn:
        await call.connection.execute(SQL["withdraw_term"], {"term_id": term_id, "now": call.now})
    for term_id, term in to_do.changed:
        await call.connection.execute(SQL["change_derived"], {**term, "term_id": term_id})
    for term in to_do.added:
        await call.connection.execute(SQL["insert_derived"], {**term, "asset_id": asset_id})
    if to_do.changed or to_do.added or to_do.withdrawn:
        await call.connection.execute(SQL["refresh_announced"], {"asset_id": asset_id})


async def _machine(call: Call, row: DictRow, *, needs_reading: bool) -> Machine:
    first_reading_on: date | None = None
    if needs_reading:
        first = await _row(call, "first_reading", {"asset_id": row["asset_id"]})
        at: datetime | None = None if first is None else first["at"]
        first_reading_on = None if at is None else at.astimezone(ZoneInfo(row["time_zone"])).date()
    return Machine(
        installed_on=row["installed_on"],
        produced_on=row["produced_on"],
        first_reading_on=first_reading_on,
        sold_on=row["sold_on"],
        purchased_on=row["purchased_on"],
        customer_kind=row["customer_kind"],
        country=row["purchase_country"] or row["country"],
    )


def _policy(row: Mapping[str, Any]) -> Policy:
    sets: dict[str, Any] = {name: frozenset(row[name]) for name in ("customer_kinds", "countries")}
    plain: dict[str, Any] = {name: row[name] for name in Policy.__dataclass_fields__ if name not in sets}
    return Policy(**plain, **sets)


async def _terms(call: Call, policy: DictRow, starts_on: date) -> list[dict[str, Any]]:
    """The terms of a policy's lines from a start on."""
    lines = await (await call.connection.execute(SQL["lines_of_policy"], policy)).fetchall()
    conditions = {
        name: policy[name]
        for name in (
            "excluded_causes", "excluded_components", "human_damage", "customer_kinds", "countries", "transferable",
        )
    }  # fmt: skip
    name = f"{policy['code']} v{policy['version']}"
    return [
        {
            **{key: value for key, value in line.items() if key != "months"},
            "name": name if line["component"] is None else f"{name} {line['component']}",
            "policy_id": policy["policy_id"],
            "starts_on": starts_on,
            "ends_on": last_day(starts_on, line["months"]),
            "conditions": Jsonb(conditions),
            # One ticket at the end of the machine's warranty, not one for each component.
            "announced": line["component"] is None,
        }
        for line in lines
    ]


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
