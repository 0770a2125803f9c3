"""What is done with files."""

import asyncio
import hashlib
from datetime import timedelta

import psycopg
from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.files import rules
from api.files.rules import Audience
from careloop.database.queries import load_queries

SQL = load_queries("api.files")

# How long a file waits to be taken by something.
ORPHANS_LIVE = timedelta(days=1)
BATCH = 500
# Files of one sender that nothing has taken.
MOST_WAITING = 200


async def upload(call: Call, name: str, content: bytes) -> tuple[DictRow, bool]:
    """Take a file that somebody sends; it waits for a day to be attached to something.

    Returns:
        Its row, and whether it is new: the same bytes under the same name that wait already are the same file.

    Raises:
        Problem: 409 when too many wait already; 415 when it is nothing we take, by its bytes; 422 when it is empty.
    """
    if not content:
        raise Problem.bad_field("body", "is empty; send the file's bytes as the body")
    media_type, sha256 = await asyncio.to_thread(_judge, content, name)
    if media_type is None:
        raise Problem(415, "media-type", f"the file is none of: {rules.TAKEN}; judged by its bytes, not by its name")
    name = rules.clean_name(name, media_type)
    key = {"owner": call.principal.key, "sha256": sha256, "name": name, "now": call.now}
    waiting = await (await call.connection.execute(SQL["find_unattached"], key)).fetchone()
    if waiting is not None:
        await call.connection.execute(SQL["touch_file"], {**key, "file_id": waiting["file_id"]})
        return await get_file(call, waiting["file_id"]), False
    await _require_room(call)
    file_id = await _insert(call, name, media_type, content, sha256)
    return await get_file(call, file_id), True


async def _require_room(call: Call) -> None:
    """Refuse more files of a sender whose files nothing takes: they would only fill the database for a day."""
    key = {"owner": call.principal.key, "most": MOST_WAITING}
    row = await (await call.connection.execute(SQL["count_waiting"], key)).fetchone()
    if row is not None and row["waiting"] >= MOST_WAITING:
        message = f"{MOST_WAITING} files of yours wait to be attached; attach or withdraw some, or try again tomorrow"
        raise Problem.conflict("too-many-waiting", message)


def _judge(content: bytes, name: str) -> tuple[str | None, bytes]:
    return rules.media_type_of(content, name), hashlib.sha256(content).digest()


async def store_file(
    call: Call,
    name: str,
    media_type: str,
    content: bytes,
    *,
    ticket_id: int | None = None,
    asset_id: int | None = None,
    audience: Audience = "all",
) -> int:
    """Keep a file that the platform itself has made, e.g. a report as PDF.

    Args:
        call: Whose transaction holds it.
        name: What it is called.
        media_type: One of `rules.ENDINGS`.
        content: Its bytes.
        ticket_id: The case it belongs to.
        asset_id: The machine it belongs to.
        audience: Who sees it besides staff.

    Returns:
        Its number.
    """
    sha256 = hashlib.sha256(content).digest()
    return await _insert(
        call,
        rules.clean_name(name, media_type),
        media_type,
        content,
        sha256,
        attached=True,
        ticket_id=ticket_id,
        asset_id=asset_id,
        audience=audience,
    )


async def _insert(
    call: Call,
    name: str,
    media_type: str,
    content: bytes,
    sha256: bytes,
    *,
    attached: bool = False,
    ticket_id: int | None = None,
    asset_id: int | None = None,
    audience: Audience = "all",
) -> int:
    principal = call.principal
    values = {
        "owner": principal.key,
        "sha256": sha256,
        "content": content,
        "name": name,
        "media_type": media_type,
        "size_bytes": len(content),
        "ticket_id": ticket_id,
        "asset_id": asset_id,
        "customer_id": principal.customer_id,
        "provider_id": principal.provider_id,
        "audience": audience,
        "uploaded_by": principal.name,
        "now": call.now,
        "attached_at": call.now if attached else None,
    }
    # The bytes come before the file that makes them visible to a scoped caller.
    async with call.unscoped():
        await call.connection.execute(SQL["keep_content"], values)
        row = await (await call.connection.execute(SQL["insert_file"], values)).fetchone()
    if row is None:
        raise LookupError("insert_file returned no row")
    return int(row["file_id"])


async def get_file(call: Call, file_id: int) -> DictRow:
    """One file that the caller may see, without its bytes.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["get_file"], {"file_id": file_id})).fetchone()
    if row is None or not _mine_or_attached(call, row):
        raise Problem.not_found("file", file_id)
    return row


async def get_content(call: Call, file_id: int) -> DictRow:
    """A file's `name`, `media_type`, `sha256` and `content`.

    Raises:
        Problem: 404.
    """
    await get_file(call, file_id)
    row = await (await call.connection.execute(SQL["get_content"], {"file_id": file_id})).fetchone()
    if row is None:
        raise Problem.not_found("file", file_id)
    return row


async def require_file(call: Call, file_id: int, field: str) -> DictRow:
    """The file that a field of a body names.

    Raises:
        Problem: 422 naming the field when there is none, or it is somebody else's.
    """
    row = await (await call.connection.execute(SQL["get_file"], {"file_id": file_id})).fetchone()
    if row is None or not _mine_or_attached(call, row):
        raise Problem.bad_field(field, f"there is no file {file_id} of yours; POST /v1/files first")
    return row


def _mine_or_attached(call: Call, row: DictRow) -> bool:
    """Whether the caller may have it: what waits is its sender's alone; else row-level security has judged already."""
    return bool(row["attached"]) or row["owner"] == call.principal.key or call.principal.role in {"admin", "service"}


async def attach(
    call: Call,
    file_id: int,
    *,
    ticket_id: int | None = None,
    asset_id: int | None = None,
    audience: Audience = "all",
    field: str = "body.file_id",
) -> None:
    """Let a file belong to a case, a machine, or only stay (where whatever took it keeps its number itself).

    Args:
        call: Whose transaction holds it.
        file_id: Judged by `require_file` before.
        ticket_id: The case; a file belongs to one at most.
        asset_id: The machine; likewise.
        audience: Who sees it besides staff; a file that is attached already only becomes visible to fewer.
        field: What a problem names.

    Raises:
        Problem: 422 when the file belongs to another case or machine.
    """
    row = await (await call.connection.execute(SQL["lock_file"], {"file_id": file_id})).fetchone()
    if row is None:
        raise Problem.bad_field(field, f"there is no file {file_id} of yours; POST /v1/files first")
    for name, what, wanted in (("ticket_id", "ticket", ticket_id), ("asset_id", "asset", asset_id)):
        if wanted is not None and row[name] not in {None, wanted}:
            message = f"file {file_id} belongs to another {what}; upload it again, its bytes are kept once"
            raise Problem.bad_field(field, message)
    narrower = audience if row["attached_at"] is None else rules.narrower(row["audience"], audience)
    values = {"file_id": file_id, "ticket_id": ticket_id, "asset_id": asset_id, "audience": narrower, "now": call.now}
    await call.connection.execute(SQL["attach_file"], values)


async def attach_by_hand(
    call: Call, file_id: int, *, ticket_id: int | None, serial: str | None, audience: Audience
) -> DictRow:
    """Attach a file to a case or a machine, or to both, as a caller asks.

    Raises:
        Problem: 403 when somebody else brought it; 404 for an unknown file; 422 for an unknown case or machine, or when
            the file belongs to another.
    """
    file = await get_file(call, file_id)
    if call.principal.scoped and file["owner"] != call.principal.key:
        raise Problem(403, "not-yours", f"file {file_id} was brought by {file['uploaded_by']}; only they and staff say")
    if ticket_id is None and serial is None:
        raise Problem.bad_field("body.ticket_id", "name a ticket_id, a serial, or both")
    if ticket_id is not None:
        await _require(call, "ticket_exists", "body.ticket_id", f"there is no ticket {ticket_id}", ticket_id=ticket_id)
    asset_id = None
    if serial is not None:
        asset = await _require(call, "asset_of_serial", "body.serial", f"there is no asset {serial}", serial=serial)
        asset_id = asset["asset_id"]
    await attach(call, file_id, ticket_id=ticket_id, asset_id=asset_id, audience=audience, field="path.file_id")
    return await get_file(call, file_id)


async def _require(call: Call, query: str, field: str, message: str, **key: object) -> DictRow:
    row = await (await call.connection.execute(SQL[query], key)).fetchone()
    if row is None:
        raise Problem.bad_field(field, message)
    return row


async def withdraw(call: Call, file_id: int) -> None:
    """Take back a file that nothing has taken.

    Raises:
        Problem: 404; 409 when it is attached: what a case rests on stays.
    """
    await get_file(call, file_id)
    row = await (await call.connection.execute(SQL["lock_file"], {"file_id": file_id})).fetchone()
    if row is None:
        raise Problem.not_found("file", file_id)
    if row["attached_at"] is not None:
        raise Problem.conflict("file-attached", f"file {file_id} is attached; what a case rests on stays")
    try:
        async with call.connection.transaction():
            await remove(call, [file_id])
    except psycopg.errors.ForeignKeyViolation as error:
        raise Problem.conflict("file-attached", f"file {file_id} is in use") from error


async def remove(call: Call, file_ids: list[int]) -> None:
    """Remove files with their bytes, e.g. because a person is erased."""
    async with call.unscoped():
        for file_id in file_ids:
            key = {"file_id": file_id}
            row = await (await call.connection.execute(SQL["content_of_file"], key)).fetchone()
            if row is not None:
                await call.connection.execute(SQL["delete_file"], key)
                await call.connection.execute(SQL["delete_unused_content"], row)


async def run_due(call: Call) -> int:
    """Remove files that nothing has taken within a day."""
    wanted = {"before": call.now - ORPHANS_LIVE, "limit": BATCH}
    rows = await (await call.connection.execute(SQL["due_orphans"], wanted)).fetchall()
    for row in rows:
        try:
            async with call.connection.transaction():
                await remove(call, [row["file_id"]])
        except psycopg.errors.ForeignKeyViolation:
            # Something holds its number without having attached it: it is no orphan.
            await call.connection.execute(SQL["keep_file"], {"file_id": row["file_id"], "now": call.now})
    return len(rows)
