"""What is done with dead letters."""

import base64
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.intake.models import NewReplay
from careloop.database.queries import load_queries

SQL = load_queries("api.intake")


async def get_dead_letter(call: Call, dead_letter_id: int) -> dict[str, Any]:
    """One dead letter with its payload.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_dead_letter", {"dead_letter_id": dead_letter_id})
    if row is None:
        raise Problem.not_found("dead letter", dead_letter_id)
    payload = bytes(row["payload"])
    return {**row, "payload_base64": base64.b64encode(payload).decode(), "payload_text": _text(payload)}


async def request_replay(call: Call, body: NewReplay) -> DictRow:
    """Ask ingest to try dead letters again.

    Raises:
        Problem: 422 for a dead letter that is not there.
    """
    if body.dead_letter_id is not None:
        there = await _row(call, "get_dead_letter", {"dead_letter_id": body.dead_letter_id})
        if there is None:
            raise Problem.bad_field("body.dead_letter_id", f"there is no dead letter {body.dead_letter_id}")
    values = {
        **body.model_dump(exclude={"everything"}),
        "requested_by": call.principal.name,
        "now": call.now,
    }
    made = await _row(call, "insert_replay", values)
    if made is None:
        raise LookupError("insert_replay returned no row")
    return await get_replay(call, made["replay_id"])


async def get_replay(call: Call, replay_id: int) -> DictRow:
    """One replay.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "list_replays", {"after_id": 0, "fetch": 1, "replay_id": replay_id})
    if row is None:
        raise Problem.not_found("replay", replay_id)
    return row


def _text(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


async def _row(call: Call, query: str, values: dict[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
