"""Joins what happened to an asset."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, LiteralString

from psycopg.rows import DictRow

from api.assets.service import get_asset
from api.conventions.call import Call
from api.timeline import rules
from careloop.database.queries import load_queries

SQL = load_queries("api.timeline")

_ALL: LiteralString = "SELECT at, rank, number, kind, title, ref_type, ref_id, detail FROM (\n"
_IN_ORDER: LiteralString = "\n) AS entry\nORDER BY at DESC, rank DESC, number DESC LIMIT %(fetch)s"


async def timeline(
    call: Call, serial: str, *, kinds: Sequence[rules.Kind], from_time: datetime, until: rules.Place, most: int
) -> list[Mapping[str, Any]]:
    """What happened to an asset, newest first.

    Args:
        call: Whose view it is: row-level security decides what of the desk's things it has.
        serial: The asset's.
        kinds: Which entries.
        from_time: Not before.
        until: Only what is before this place.
        most: At most so many entries.

    Raises:
        Problem: 404 for an unknown asset.
    """
    # Telemetry knows no scopes: whoever sees the machine sees what it said.
    asset = await get_asset(call, serial)
    wanted = {
        "asset_id": asset["asset_id"],
        "serial": serial,
        "now": call.now,
        "from_time": from_time,
        "until": until.at,
        "until_rank": until.rank,
        "until_id": until.number,
        "fetch": most,
        "hours_step": rules.HOURS_STEP,
        "meters": list(rules.METERS),
    }
    batches = [await _read(call, _sources(rules.SERVICE_SOURCES, kinds), wanted, prepare=None)]
    since = await _own_since(call, asset["asset_id"])
    if since is not None:
        wanted["from_time"] = max(from_time, since)
    batches.append(await _read(call, _sources(rules.TELEMETRY_SOURCES, kinds), wanted, prepare=False))
    return rules.newest(batches, most)


async def _own_since(call: Call, asset_id: int) -> datetime | None:
    """Since when a customer has the machine: what it said before is none of theirs."""
    if call.principal.customer_id is None:
        return None
    row = await (await call.connection.execute(SQL["own_since"], {"asset_id": asset_id})).fetchone()
    return None if row is None else row["from_at"]


def _sources(sources: Mapping[rules.Kind, tuple[str, ...]], kinds: Sequence[rules.Kind]) -> list[str]:
    return [name for kind, names in sources.items() if kind in kinds for name in names]


async def _read(call: Call, names: Sequence[str], wanted: Mapping[str, Any], *, prepare: bool | None) -> list[DictRow]:
    """Entries of several sources in one statement, each bounded by itself."""
    if not names:
        return []
    statement = _ALL + "\nUNION ALL\n".join(f"({SQL[name]})" for name in names) + _IN_ORDER
    return await (await call.connection.execute(statement, wanted, prepare=prepare)).fetchall()
