"""The feed's statements, and the giving of positions."""

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from careloop.database.queries import load_queries

SQL = load_queries("api.feed")

BATCH = 2000


async def give_positions(connection: AsyncConnection[DictRow]) -> None:
    """Give every change that is committed its place in the feed; nothing when another process is at it.

    The mark moves only by what was known before the places were given: what commits in between is found next time.
    """
    claimed = await (await connection.execute(SQL["try_numbering"])).fetchone()
    if claimed is None or not claimed["mine"]:
        return
    mark = await (await connection.execute(SQL["read_mark"])).fetchone()
    if mark is None:
        raise LookupError("service.feed_mark has no row")
    while True:
        values = {"settled_id": mark["settled_id"], "batch": BATCH}
        given = await connection.execute(SQL["give_positions"], values)
        if given.rowcount < BATCH:
            break
    if mark["over"]:
        await connection.execute(SQL["set_mark"], {"settled_id": mark["next_id"]})
