"""The rules of what becomes of old parts, as data."""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.parts.service import part_of_field
from api.returns.models import NewOldPartRule
from api.returns.service import row
from careloop.database.queries import load_queries

SQL = load_queries("api.returns")


_ONE = SQL["rule_rows"] + "\n" + SQL["one_rule"]
_PAGE = SQL["rule_rows"] + "\n" + SQL["list_rules"]


async def create_rule(call: Call, body: NewOldPartRule) -> DictRow:
    """Add a rule; one for the very same parts, machines and bearer gives way. Visits completed before keep theirs.

    Raises:
        Problem: 422 for an unknown part or model.
    """
    values: dict[str, Any] = {**body.model_dump(), "part_id": None, "model_id": None, "now": call.now}
    if body.sku is not None:
        values["part_id"] = (await part_of_field(call, body.sku))["part_id"]
    if body.model is not None:
        model = await row(call, SQL["model_of_code"], values)
        if model is None:
            raise Problem.bad_field("body.model", f"there is no product model {body.model}; POST /v1/product-models")
        values["model_id"] = model["model_id"]
    await call.connection.execute(SQL["replace_rule"], values)
    made = await row(call, SQL["insert_rule"], values)
    if made is None:
        raise LookupError("insert_rule returned no row")
    return await get_rule(call, made["old_part_rule_id"])


async def get_rule(call: Call, old_part_rule_id: int) -> DictRow:
    """One rule.

    Raises:
        Problem: 404.
    """
    found = await row(call, _ONE, {"old_part_rule_id": old_part_rule_id})
    if found is None:
        raise Problem.not_found("rule of old parts", old_part_rule_id)
    return found


async def list_rules(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Rules in ascending order of their number: `with_ended`, `after_id`, `fetch`."""
    return await (await call.connection.execute(_PAGE, wanted, prepare=False)).fetchall()


async def end_rule(call: Call, old_part_rule_id: int) -> DictRow:
    """Take a rule out of force; again changes nothing.

    Raises:
        Problem: 404.
    """
    await get_rule(call, old_part_rule_id)
    key = {"old_part_rule_id": old_part_rule_id, "now": call.now}
    await call.connection.execute(SQL["end_rule"], key)
    return await get_rule(call, old_part_rule_id)
