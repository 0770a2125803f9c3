"""Disputes of lines: opened, talked about, ended; with a correction where they were right."""

from collections.abc import Mapping
from typing import Any, Literal

from psycopg.rows import DictRow

from api.alerts.service import announce
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.settlement.facts import SQL, lock
from api.settlement.models import Acceptance, NewDispute
from api.settlement.rules import DISPUTE, STATEMENT
from api.settlement.service import correct, get_line, lock_statement


async def open_dispute(call: Call, statement_line_id: int, body: NewDispute) -> dict[str, Any]:
    """Dispute a line of an issued statement.

    Raises:
        Problem: 404; 409 when the statement is not open to it, or the line is disputed already.
    """
    line = await get_line(call, statement_line_id)
    statement = await lock_statement(call, line["statement_id"])
    to = STATEMENT.require(statement["statement_id"], statement["state"], "dispute")
    values = {
        **body.model_dump(),
        "statement_id": line["statement_id"],
        "statement_line_id": statement_line_id,
        "provider_id": line["provider_id"],
        "now": call.now,
        "actor": call.principal.name,
    }
    made = await _row(call, "insert_dispute", values)
    if made is None:
        detail = f"line {statement_line_id} is disputed already; add a message to its dispute"
        raise Problem.conflict("line-disputed", detail)
    await _move_statement(call, line["statement_id"], to, "dispute")
    await announce(
        call,
        topic="statement.disputed",
        cause=f"dispute:{made['dispute_id']}:opened",
        asset_id=None,
        subject=f"Line {statement_line_id} of statement {line['statement_id']} is disputed",
        body=f"{line['description']}: {body.reason}",
        payload={
            "dispute_id": made["dispute_id"],
            "statement_id": line["statement_id"],
            "statement_line_id": statement_line_id,
            "provider_id": line["provider_id"],
        },
    )
    return await get_dispute(call, made["dispute_id"])


async def get_dispute(call: Call, dispute_id: int) -> dict[str, Any]:
    """A dispute with what was said.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_dispute", {"dispute_id": dispute_id})
    if row is None:
        raise Problem.not_found("dispute", dispute_id)
    said = await (await call.connection.execute(SQL["messages_of_dispute"], {"dispute_id": dispute_id})).fetchall()
    return {**row, "messages": said}


async def list_disputes(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Disputes that fit: `statement_id`, `provider_id`, `state` (None: any), `after_id`, `fetch`."""
    return await (await call.connection.execute(SQL["list_disputes"], wanted, prepare=False)).fetchall()


async def say(call: Call, dispute_id: int, text: str) -> dict[str, Any]:
    """Add a message to an open dispute.

    Raises:
        Problem: 404; 409 when it has ended.
    """
    dispute = await _lock_dispute(call, dispute_id)
    if dispute["state"] in DISPUTE.final:
        detail = f"dispute {dispute_id} is {dispute['state']}; dispute the line anew while its statement is issued"
        raise Problem.conflict("dispute-state", detail, state=dispute["state"])
    side = "staff" if call.principal.provider_id is None else "partner"
    values = {"dispute_id": dispute_id, "side": side, "body": text, "now": call.now, "actor": call.principal.name}
    await call.connection.execute(SQL["insert_message"], values)
    return await get_dispute(call, dispute_id)


async def accept(call: Call, dispute_id: int, body: Acceptance) -> dict[str, Any]:
    """Say that a dispute is right: its line is corrected by a new one.

    Raises:
        Problem: 404; 409 when it has ended; 422 when nobody says what the line should be.
    """
    await lock(call)
    dispute = await _lock_dispute(call, dispute_id)
    DISPUTE.require(dispute_id, dispute["state"], "accept")
    line = await get_line(call, dispute["statement_line_id"])
    amount = body.amount_minor
    if amount is None and dispute["wanted_minor"] is not None:
        amount = dispute["wanted_minor"] - line["amount_minor"]
    if not amount:
        message = "is needed, and not 0: by how much is the line wrong? reject the dispute where it is right"
        raise Problem.bad_field("body.amount_minor", message)
    made = await correct(call, dispute["statement_line_id"], amount, f"dispute {dispute_id}, {body.resolution}")
    return await _end(call, dispute, "accept", body.resolution, made["statement_line_id"])


async def end(call: Call, dispute_id: int, action: Literal["reject", "withdraw"], resolution: str) -> dict[str, Any]:
    """End a dispute without a correction.

    Raises:
        Problem: 404; 409 when it has ended.
    """
    return await _end(call, await _lock_dispute(call, dispute_id), action, resolution, None)


async def _end(
    call: Call, dispute: DictRow, action: str, resolution: str, correction_line_id: int | None
) -> dict[str, Any]:
    """End a dispute; the last one that ends leaves its statement issued."""
    dispute_id: int = dispute["dispute_id"]
    values = {
        "dispute_id": dispute_id,
        "to": DISPUTE.require(dispute_id, dispute["state"], action),
        "resolution": resolution,
        "correction_line_id": correction_line_id,
        "now": call.now,
        "actor": call.principal.name,
    }
    await call.connection.execute(SQL["end_dispute"], values)
    statement = await lock_statement(call, dispute["statement_id"])
    left = await _row(call, "open_disputes", {"statement_id": dispute["statement_id"]})
    if left is not None and left["number"] == 0:
        to = STATEMENT.require(dispute["statement_id"], statement["state"], "settle")
        await _move_statement(call, dispute["statement_id"], to, "settle")
    return await get_dispute(call, dispute_id)


async def _lock_dispute(call: Call, dispute_id: int) -> DictRow:
    """A dispute and its statement, in the order statement, dispute."""
    seen = await _row(call, "get_dispute", {"dispute_id": dispute_id})
    if seen is None:
        raise Problem.not_found("dispute", dispute_id)
    await lock_statement(call, seen["statement_id"])
    row = await _row(call, "lock_dispute", {"dispute_id": dispute_id})
    if row is None:
        raise Problem.not_found("dispute", dispute_id)
    return row


async def _move_statement(call: Call, statement_id: int, to: str, action: str) -> None:
    values = {"statement_id": statement_id, "to": to, "action": action, "now": call.now, "actor": call.principal.name}
    await call.connection.execute(SQL["move_statement"], values)


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
