"""What is done with assets, their owners and what runs on them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.assets.models import (
    AssetChange,
    NewAsset,
    NewFirmware,
    NewRetirement,
    NewReturn,
    NewTransfer,
    NewWarrantyTerm,
)
from api.assets.rules import MACHINE
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.files.service import attach, require_file
from careloop.database.queries import load_queries

SQL = load_queries("api.assets")

# What of agents' reports is taken over at once.
MOST_REPORTS = 500
_ACTIONS = {"retired": "retire", "active": "return_to_service"}


async def create_asset(call: Call, body: NewAsset) -> DictRow:
    """Register an asset with its owner and its warranty terms.

    Raises:
        Problem: 409 when the serial number is taken; 422 for an unknown model, customer or site.
    """
    await _require(call, "model_exists", "body.model", model=body.model)
    customer_id = await _owner_of(call, body.customer_id, body.site_id, body.channel)
    values = {
        **body.model_dump(exclude={"warranty_terms"}),
        "customer_id": customer_id,
        "attributes": Jsonb(body.attributes),
        "now": call.now,
    }
    row = await _row(call, "insert_asset", values)
    if row is None:
        raise Problem.conflict("serial-taken", f"there is an asset {body.serial} already")
    asset_id = row["asset_id"]
    if customer_id is not None:
        await _add_owner(call, asset_id, customer_id, body.site_id, from_at=body.installed_at, reason="registered")
    if body.firmware is not None:
        told = {"module": "machine", "version": body.firmware, "at": body.installed_at, "source": "hand"}
        await call.connection.execute(
            SQL["insert_firmware"], {**told, "asset_id": asset_id, "actor": call.principal.name}
        )
    for term in body.warranty_terms:
        await add_term(call, asset_id, term)
    return await get_asset(call, body.serial)


async def add_term(call: Call, asset_id: int, term: NewWarrantyTerm) -> int:
    """Add a warranty term to an asset and return its number.

    Raises:
        Problem: 409 when a term of that name starts that day already.
    """
    row = await _row(call, "insert_term", {**term.model_dump(), "asset_id": asset_id})
    if row is None:
        raise Problem.conflict("term-taken", f"a term {term.name} starting {term.starts_on} is there already")
    return int(row["term_id"])


async def get_asset(call: Call, serial: str) -> DictRow:
    """One asset.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_asset", {"serial": serial})
    if row is None:
        raise Problem.not_found("asset", serial)
    return row


async def asset_of_field(call: Call, serial: str, field: str = "body.serial") -> DictRow:
    """The asset that a field of a body names.

    Raises:
        Problem: 422 naming the field.
    """
    row = await _row(call, "get_asset", {"serial": serial})
    if row is None:
        raise Problem.bad_field(field, f"there is no asset {serial}; POST /v1/assets first")
    return row


async def list_assets(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Assets that fit, in ascending order of their number."""
    # Planned anew each time, so that the filters given decide the index.
    return await (await call.connection.execute(SQL["list_assets"], wanted, prepare=False)).fetchall()


async def change_asset(call: Call, serial: str, change: AssetChange, version: int) -> DictRow:
    """Change an asset that is still at the version seen.

    Raises:
        Problem: 404; 412 when it changed meanwhile; 409 for a state it cannot take or a site of somebody else; 422 for
            an unknown customer or site.
    """
    asset = await _lock(call, serial, version)
    given = change.model_fields_set
    if given & {"customer_id", "site_id", "channel"}:
        customer_id = change.customer_id or asset["customer_id"]
        site_id = change.site_id if "site_id" in given else asset["site_id"]
        channel = change.channel if "channel" in given else asset["channel"]
        asset["customer_id"] = await _owner_of(call, customer_id, site_id, channel)
        await _keep_owner(call, {**asset, "site_id": site_id})
    if change.state is not None and change.state != asset["state"]:
        _move(asset, serial, _ACTIONS[change.state], call.now, "")
    asset.update({name: getattr(change, name) for name in given - {"customer_id", "state"}})
    await _write(call, asset)
    return await get_asset(call, serial)


async def retire(call: Call, serial: str, body: NewRetirement, version: int) -> DictRow:
    """Take an asset out of service.

    Raises:
        Problem: 404; 409 when it is retired; 412; 422 for a time to come or before its installation.
    """
    asset = await _lock(call, serial, version)
    at = body.at or call.now
    if not asset["installed_at"] <= at <= call.now and body.at is not None:
        raise Problem.bad_field("body.at", "must be after its installation and not to come")
    _move(asset, serial, "retire", at, body.reason)
    await _write(call, asset)
    return await get_asset(call, serial)


async def return_to_service(call: Call, serial: str, body: NewReturn, version: int) -> DictRow:
    """Put a retired asset back into service.

    Raises:
        Problem: 404; 409 when it is in service; 412.
    """
    asset = await _lock(call, serial, version)
    _move(asset, serial, "return_to_service", call.now, body.reason)
    await _write(call, asset)
    return await get_asset(call, serial)


def _move(asset: DictRow, serial: str, action: str, at: datetime, reason: str) -> None:
    asset["state"] = MACHINE.require(serial, asset["state"], action)
    retired = asset["state"] == "retired"
    asset["retired_at"] = at if retired else None
    asset["retired_reason"] = reason if retired else ""


async def _lock(call: Call, serial: str, version: int) -> DictRow:
    asset = await _row(call, "lock_asset", {"serial": serial})
    if asset is None:
        raise Problem.not_found("asset", serial)
    if asset["version"] != version:
        raise changed_meanwhile("asset", version)
    return asset


async def _write(call: Call, asset: DictRow) -> None:
    await call.connection.execute(SQL["change_asset"], {**asset, "attributes": Jsonb(asset["attributes"])})


# Owners -----------------------------------------------------------------------------------------


async def transfer(call: Call, serial: str, body: NewTransfer, version: int) -> dict[str, Any]:
    """Give an asset to another customer, from a time on.

    Raises:
        Problem: 404; 409 when it is that customer's already, or the site is another's; 412; 422 for an unknown
            customer, site or file, or a time to come or before the owner now.
    """
    asset = await _lock(call, serial, version)
    if asset["customer_id"] == body.customer_id:
        detail = f"{serial} belongs to customer {body.customer_id} already; PATCH it to change its site"
        raise Problem.conflict("owner-already", detail)
    # What becomes of the cases is for people to say.
    tickets = await (await call.connection.execute(SQL["open_tickets"], asset)).fetchall()
    await _owner_of(call, body.customer_id, body.site_id, asset["channel"])
    at = body.at or call.now
    owner = await _row(call, "owner_now", asset)
    if at > call.now:
        raise Problem.bad_field("body.at", f"is after now, {call.now.isoformat()}; tell it when it has happened")
    if owner is not None and at <= owner["from_at"]:
        raise Problem.bad_field("body.at", f"must be after {owner['from_at'].isoformat()}, when the owner now got it")
    if body.proof_file_id is not None:
        await require_file(call, body.proof_file_id, "body.proof_file_id")
        await attach(call, body.proof_file_id, asset_id=asset["asset_id"])
    if owner is not None:
        await call.connection.execute(SQL["end_owner"], {**owner, "until_at": at})
    # How the former owner bought it is none of the new one's business.
    for proof in await (await call.connection.execute(SQL["proofs_of_purchase"], asset)).fetchall():
        await attach(call, proof["file_id"], asset_id=asset["asset_id"], audience="staff")
    number = await _add_owner(
        call, asset["asset_id"], body.customer_id, body.site_id, from_at=at, reason="transferred",
        proof_file_id=body.proof_file_id, note=body.note,
    )  # fmt: skip
    await _write(call, {**asset, "customer_id": body.customer_id, "site_id": body.site_id})
    (owner_row,) = await list_owners(call, asset["asset_id"], number)
    return {"asset": await get_asset(call, serial), "owner": owner_row, "open_tickets": tickets}


async def list_owners(call: Call, asset_id: int, asset_owner_id: int | None = None) -> list[DictRow]:
    """Whose an asset is and was, the last one first; as far as the caller may know."""
    key = {"asset_id": asset_id, "asset_owner_id": asset_owner_id}
    return await (await call.connection.execute(SQL["list_owners"], key)).fetchall()


async def _owner_of(call: Call, customer_id: int | None, site_id: int | None, channel: str | None) -> int | None:
    """Whose a machine is: the customer named, else the one of its site."""
    if customer_id is not None:
        await _require(call, "find_customer", "body.customer_id", customer_id=customer_id)
    if site_id is None:
        return customer_id
    site = await _require(call, "find_site", "body.site_id", site_id=site_id)
    # A rented machine stands with somebody who does not own it.
    if customer_id is not None and site["customer_id"] not in {None, customer_id} and channel != "rental":
        detail = (
            f"site {site_id} is of customer {site['customer_id']}, the machine of {customer_id}; "
            "POST /v1/assets/{serial}/transfer if it changed hands"
        )
        raise Problem.conflict("site-of-another", detail, customer_id=site["customer_id"])
    return customer_id if customer_id is not None else site["customer_id"]


async def _keep_owner(call: Call, asset: Mapping[str, Any]) -> None:
    """Let the history say what the asset says, where that was corrected or became known."""
    owner = await _row(call, "owner_now", asset)
    if owner is None and asset["customer_id"] is not None:
        await _add_owner(
            call, asset["asset_id"], asset["customer_id"], asset["site_id"],
            from_at=asset["installed_at"], reason="registered",
        )  # fmt: skip
    elif owner is not None and owner["customer_id"] != asset["customer_id"]:
        await call.connection.execute(SQL["correct_owner"], {**asset, "asset_owner_id": owner["asset_owner_id"]})


async def _add_owner(
    call: Call,
    asset_id: int,
    customer_id: int,
    site_id: int | None,
    *,
    from_at: datetime,
    reason: str,
    proof_file_id: int | None = None,
    note: str = "",
) -> int:
    values = {
        "asset_id": asset_id,
        "customer_id": customer_id,
        "site_id": site_id,
        "from_at": from_at,
        "reason": reason,
        "proof_file_id": proof_file_id,
        "note": note,
        "actor": call.principal.name,
        "now": call.now,
    }
    row = await _row(call, "insert_owner", values)
    if row is None:
        raise LookupError("insert_owner returned no row")
    return int(row["asset_owner_id"])


# Firmware ---------------------------------------------------------------------------------------


async def add_firmware(call: Call, serial: str, body: NewFirmware) -> DictRow:
    """Note what runs on an asset from some time on.

    Raises:
        Problem: 404; 409 when that was told already; 422 for a time to come.
    """
    asset = await _row(call, "lock_asset", {"serial": serial})
    if asset is None:
        raise Problem.not_found("asset", serial)
    at = body.at or call.now
    if at > call.now:
        raise Problem.bad_field("body.at", f"is after now, {call.now.isoformat()}")
    values = {"module": body.module, "version": body.version, "at": at, "source": "hand"}
    key = {"asset_id": asset["asset_id"], "actor": call.principal.name}
    row = await _row(call, "insert_firmware", {**values, **key})
    if row is None:
        detail = f"{body.module} {body.version} from {at.isoformat()} on is known already"
        raise Problem.conflict("firmware-told", detail)
    newest = await _row(call, "newest_firmware", asset)
    if newest is not None and newest["version"] != asset["firmware"]:
        await _write(call, {**asset, "firmware": newest["version"]})
    (told,) = await list_firmware(call, asset["asset_id"], row["asset_firmware_id"])
    return told


async def list_firmware(call: Call, asset_id: int, asset_firmware_id: int | None = None) -> list[DictRow]:
    """What runs and ran on an asset, the last first."""
    key = {"asset_id": asset_id, "asset_firmware_id": asset_firmware_id}
    return await (await call.connection.execute(SQL["list_firmware"], key)).fetchall()


async def run_due(call: Call) -> int:
    """Take over what agents said of their firmware since the last time; returns how many reports were new."""
    progress = await _row(call, "lock_firmware_progress", {})
    if progress is None:
        return 0
    wanted = {"report_id": progress["report_id"], "most": MOST_REPORTS}
    reports = await (await call.connection.execute(SQL["reported_firmware"], wanted)).fetchall()
    if not reports:
        return 0
    of_assets = [report for report in reports if report["asset_id"] is not None]
    columns = ("report_id", "asset_id", "module", "version", "reported_at")
    told = {name: [report[name] for report in of_assets] for name in columns}
    taken = await _row(call, "take_firmware_reports", {**told, "actor": call.principal.name})
    await call.connection.execute(SQL["move_firmware_progress"], {"report_id": reports[-1]["report_id"]})
    return int(taken["taken"]) if taken else 0


async def _require(call: Call, query: str, field: str, **key: Any) -> DictRow:
    row = await _row(call, query, key)
    if row is None:
        (name, value), *_ = key.items()
        raise Problem.bad_field(field, f"there is no {name.removesuffix('_id')} {value}")
    return row


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
