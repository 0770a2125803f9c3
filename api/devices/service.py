"""Claim keys and devices as their administrator sees them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.devices.models import DeviceState, NewClaimKey
from api.devices.passwords import digest, new_claim_key
from careloop.database.queries import load_queries

SQL = load_queries("api.devices")


async def create_claim_key(call: Call, body: NewClaimKey) -> tuple[str, DictRow]:
    """Make a claim key; it is shown here and never again.

    Raises:
        Problem: 422 for an unknown product model, or an end that is past.
    """
    model = await (await call.connection.execute(SQL["find_model"], {"model": body.model})).fetchone()
    if model is None:
        raise Problem.bad_field("body.model", f"there is no product model {body.model}; POST /v1/product-models first")
    if body.expires_at <= call.now:
        raise Problem.bad_field("body.expires_at", "is past")
    key = new_claim_key()
    values = {**body.model_dump(), "model_id": model["model_id"], "key_hash": digest(key), "now": call.now}
    row = await (await call.connection.execute(SQL["insert_claim_key"], values)).fetchone()
    assert row is not None  # noqa: S101 - INSERT … RETURNING gives a row
    return key, await get_claim_key(call, row["claim_key_id"])


async def get_claim_key(call: Call, claim_key_id: int) -> DictRow:
    """One claim key.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["get_claim_key"], {"claim_key_id": claim_key_id})).fetchone()
    if row is None:
        raise Problem.not_found("claim key", claim_key_id)
    return row


async def revoke_claim_key(call: Call, claim_key_id: int) -> DictRow:
    """End a claim key; identities that came from it stay.

    Raises:
        Problem: 404.
    """
    await call.connection.execute(SQL["revoke_claim_key"], {"claim_key_id": claim_key_id, "now": call.now})
    return await get_claim_key(call, claim_key_id)


async def get_device(call: Call, device_id: int) -> DictRow:
    """One device with its certificates.

    Raises:
        Problem: 404.
    """
    parameters = {"device_id": device_id}
    row = await (await call.connection.execute(SQL["get_device"], parameters)).fetchone()
    if row is None:
        raise Problem.not_found("device", device_id)
    certificates = await (await call.connection.execute(SQL["list_certificates"], parameters)).fetchall()
    return {**row, "certificates": certificates}


async def end_device(call: Call, device_id: int, state: DeviceState) -> DictRow:
    """Take a device's identity away.

    Args:
        call: Of the administrator.
        device_id: Which.
        state: `revoked`: its serial number cannot be claimed again; `released`: it can, by a device that replaces it.

    Raises:
        Problem: 404.
    """
    parameters: dict[str, Any] = {"device_id": device_id, "state": state, "now": call.now}
    if await (await call.connection.execute(SQL["lock_device"], parameters)).fetchone() is None:
        raise Problem.not_found("device", device_id)
    await call.connection.execute(SQL["end_device"], parameters)
    await call.connection.execute(SQL["revoke_certificates"], parameters)
    await call.connection.execute(SQL["count_revision"])
    return await get_device(call, device_id)


async def put_assets(call: Call, device_id: int, serials: Sequence[str]) -> DictRow:
    """Set the machines that a gateway speaks for.

    Raises:
        Problem: 404; 409 when it is no gateway, or another device speaks for one of them; 422 for an unknown asset.
    """
    device = await (await call.connection.execute(SQL["lock_device"], {"device_id": device_id})).fetchone()
    if device is None:
        raise Problem.not_found("device", device_id)
    if not device["gateway"]:
        raise Problem.conflict("no-gateway", f"device {device_id} speaks for itself only; claim it by a gateway's key")
    await give_assets(call.connection, device_id, serials, register_as=None, now=call.now)
    await call.connection.execute(SQL["count_revision"])
    return await get_device(call, device_id)


async def give_assets(
    connection: AsyncConnection[DictRow],
    device_id: int,
    serials: Sequence[str],
    *,
    register_as: int | None,
    now: datetime,
) -> None:
    """Let a gateway speak for these machines and no others.

    Args:
        connection: In a transaction.
        device_id: The gateway.
        serials: The machines.
        register_as: Number of the product model under which unknown ones are registered; None: they are refused.
        now: When.

    Raises:
        Problem: 409 when another device speaks for one of them; 422 for an unknown asset.
    """
    await connection.execute(SQL["drop_assets"], {"device_id": device_id})
    # In order, so that two gateways that claim the same machines do not lock one another out.
    for serial in sorted(set(serials)):
        field = f"body.assets.{serials.index(serial)}"
        asset_id = await require_asset(connection, serial, field, model=None, register_as=register_as, now=now)
        await require_speechless(connection, asset_id, serial, device_id)
        await connection.execute(SQL["give_asset"], {"asset_id": asset_id, "device_id": device_id})


async def require_speechless(connection: AsyncConnection[DictRow], asset_id: int, serial: str, device_id: int) -> None:
    """See to it that no other device speaks for a machine.

    Raises:
        Problem: 409.
    """
    # Held until the end of the transaction: of two that want it at once, the second sees the first.
    await connection.execute(SQL["lock_agent"], {"agent_id": serial})
    parameters = {"asset_id": asset_id, "serial": serial, "device_id": device_id}
    other = await (await connection.execute(SQL["speaker_of"], parameters)).fetchone()
    if other is not None:
        detail = f"the device {other['agent_id']} speaks for {serial} already; release it, or take the asset from it"
        raise Problem.conflict("asset-taken", detail, agent_id=other["agent_id"])


async def require_asset(
    connection: AsyncConnection[DictRow],
    serial: str,
    field: str,
    *,
    model: str | None,
    register_as: int | None,
    now: datetime,
) -> int:
    """The number of the asset with a serial number; it is registered when the claim key says so.

    Raises:
        Problem: 422 naming the field, for an unknown asset, a retired one, or one of another model.
    """
    for _ in range(2):
        asset = await (await connection.execute(SQL["find_asset"], {"serial": serial})).fetchone()
        if asset is not None:
            if asset["state"] == "retired":
                raise Problem.bad_field(field, f"the asset {serial} is retired")
            if model is not None and asset["model"] != model:
                raise Problem.bad_field(field, f"{serial} is a {asset['model']}, and the claim key is for {model}")
            return int(asset["asset_id"])
        if register_as is None:
            break
        values = {"serial": serial, "model_id": register_as, "now": now}
        made = await (await connection.execute(SQL["register_asset"], values)).fetchone()
        if made is not None:
            return int(made["asset_id"])
        # Somebody else registered it between the two statements.
    raise Problem.bad_field(field, f"there is no asset {serial}; POST /v1/assets first")
