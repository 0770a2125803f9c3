"""What is done with warranty terms."""

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.rows import DictRow

from api.assets.models import NewWarrantyTerm
from api.assets.service import add_term, get_asset
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.warranty.rules import Term, judge
from careloop.database.queries import load_queries

SQL = load_queries("api.warranty")


async def create_term(call: Call, serial: str, body: NewWarrantyTerm) -> DictRow:
    """Give an asset a warranty.

    Raises:
        Problem: 404 for an unknown asset; 409 when a term of that name starts that day already.
    """
    asset = await get_asset(call, serial)
    return await get_term(call, await add_term(call, asset["asset_id"], body))


async def get_term(call: Call, term_id: int) -> DictRow:
    """One warranty term.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["get_term"], {"term_id": term_id})).fetchone()
    if row is None:
        raise Problem.not_found("warranty term", term_id)
    return row


async def term_of_field(call: Call, term_id: int, asset: DictRow) -> DictRow:
    """The term of this asset that `term_id` of a body names.

    Raises:
        Problem: 422 when it does not exist or belongs to another asset.
    """
    row = await (await call.connection.execute(SQL["get_term"], {"term_id": term_id})).fetchone()
    if row is None or row["asset_id"] != asset["asset_id"]:
        message = f"{asset['serial']} has no warranty term {term_id}; GET /v1/warranty-terms lists them"
        raise Problem.bad_field("body.term_id", message)
    return row


async def coverage(call: Call, serial: str, on: date | None) -> dict[str, Any]:
    """Whether an asset is covered on a day; without one, today where the asset stands.

    Raises:
        Problem: 404 for an unknown asset.
    """
    asset = await get_asset(call, serial)
    key = {"asset_id": asset["asset_id"]}
    if on is None:
        zone = await (await call.connection.execute(SQL["time_zone_of_asset"], key)).fetchone()
        on = call.now.astimezone(ZoneInfo(zone["time_zone"] if zone else "UTC")).date()
    rows = await (await call.connection.execute(SQL["terms_of_asset"], key)).fetchall()
    judgement = judge([Term(**row) for row in rows], on)
    term = None if judgement.term is None else await get_term(call, judgement.term.term_id)
    return {"serial": serial, "on": on, "covered": judgement.covered, "reason": judgement.reason, "term": term}
