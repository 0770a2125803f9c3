"""What is done with agents from afar: it is written here, and ingest's downlink hands it to the broker."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile, require_version
from api.conventions.problems import Problem
from api.remote.models import NewCommand, NewConfig
from api.remote.rules import hash_of, problem_of
from careloop.database.queries import load_queries

SQL = load_queries("api.remote")


async def require_seen(call: Call, agent_id: str) -> None:
    """Refuse somebody who sees a part only an agent that is no machine of that part.

    Raises:
        Problem: 404.
    """
    if call.principal.scoped and await _row(call, "is_seen", {"agent_id": agent_id}) is None:
        raise Problem.not_found("agent", agent_id)


async def get_agent(call: Call, agent_id: str) -> DictRow:
    """One agent.

    Raises:
        Problem: 404 when it has never connected.
    """
    await require_seen(call, agent_id)
    row = await _row(call, "get_agent", {"agent_id": agent_id})
    if row is None:
        raise Problem.not_found("agent", agent_id)
    return row


async def get_config(call: Call, agent_id: str) -> DictRow:
    """The desired configuration of an agent.

    Raises:
        Problem: 404 when none was ever set.
    """
    row = await _row(call, "get_config", {"agent_id": agent_id})
    if row is None:
        raise Problem.not_found("configuration of agent", agent_id)
    return row


async def put_config(call: Call, agent_id: str, body: NewConfig, if_match: str | None) -> DictRow:
    """Set the desired configuration; a change of one needs the version seen, the first one none.

    Raises:
        Problem: 404 for an agent nobody knows, 412 when it changed meanwhile, 422 for settings that cannot be kept,
            428 when there is one already and no If-Match.
    """
    await _require_known(call, agent_id)
    settings = body.settings.model_dump(exclude_unset=True)
    problem = problem_of(settings)
    if problem:
        raise Problem.bad_field("body.settings", problem)
    values = {
        "agent_id": agent_id,
        "settings": Jsonb(settings),
        "hash": hash_of(settings),
        "now": call.now,
        "actor": call.principal.name,
    }
    if if_match is None:
        if await _row(call, "insert_config", values) is None:
            require_version(None)
    else:
        version = require_version(if_match)
        if await _row(call, "change_config", {**values, "version": version}) is None:
            raise changed_meanwhile("configuration", version)
    await call.connection.execute(SQL["wake_downlink"])
    return await get_config(call, agent_id)


async def create_command(call: Call, agent_id: str, body: NewCommand) -> DictRow:
    """Tell an agent to do something once.

    Raises:
        Problem: 404 for an agent nobody knows.
    """
    await _require_known(call, agent_id)
    values = {
        "agent_id": agent_id,
        "kind": body.kind,
        "arguments": Jsonb(body.arguments.model_dump(mode="json", exclude_none=True)),
        "now": call.now,
        "actor": call.principal.name,
        "expires_at": call.now + timedelta(seconds=body.expires_in_s),
    }
    row = await (await call.connection.execute(SQL["insert_command"], values)).fetchall()
    await call.connection.execute(SQL["wake_downlink"])
    return await get_command(call, agent_id, row[0]["command_id"])


async def get_command(call: Call, agent_id: str, command_id: UUID) -> DictRow:
    """One command of an agent.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_command", {"agent_id": agent_id, "command_id": command_id, "now": call.now})
    if row is None:
        raise Problem.not_found("command", command_id)
    return row


async def _require_known(call: Call, agent_id: str) -> None:
    row = await _row(call, "is_known", {"agent_id": agent_id})
    if row is None or not row["known"]:
        raise Problem.not_found("agent", f"{agent_id}: it never connected, and no asset has that serial number")


async def _row(call: Call, query: str, values: dict[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
