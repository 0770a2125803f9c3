"""Doing what is due: by itself every few seconds, or when asked to."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from api.conventions.call import Call, begin_as
from api.conventions.problems import Problem
from api.conventions.roles import Principal
from careloop.database.queries import load_queries

SQL = load_queries("api.duties")

ACTOR = "careloop"
Pool = AsyncConnectionPool[AsyncConnection[DictRow]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Duty:
    """Something that falls due.

    Attributes:
        name: For the log and the answer, e.g. `sla`.
        run: Does a batch of what is due at the call's time and tells how many things it did; may be repeated.
    """

    name: str
    run: Callable[[Call], Awaitable[int]]


async def perform(connection: AsyncConnection[DictRow], duty: Duty, now: datetime) -> int:
    """Do a batch of a duty in a transaction of its own.

    Args:
        connection: Outside a transaction, or in one that the duty becomes a part of.
        duty: What to do.
        now: What is due by then.

    Returns:
        How many things were done; 0 too when another process is at it.
    """
    async with connection.transaction():
        await begin_as(connection, ACTOR, now)
        claimed = await (await connection.execute(SQL["claim_duty"], {"name": duty.name})).fetchone()
        if claimed is None or not claimed["mine"]:
            return 0
        return await duty.run(Call(connection, now, Principal(key=f"duty:{duty.name}", name=ACTOR, role="service")))


@asynccontextmanager
async def performing(
    pool: Pool, duties: Sequence[Duty], every_s: float | None, now: Callable[[], datetime]
) -> AsyncIterator[None]:
    """Do all duties again and again as long as the context lasts.

    Args:
        pool: Of the process.
        duties: What to do.
        every_s: Pauses of a round together, seconds; None to do nothing.
        now: The system clock.
    """
    if every_s is None:
        yield
        return
    task = asyncio.create_task(_rounds(pool, duties, every_s, now), name="duties")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _rounds(pool: Pool, duties: Sequence[Duty], every_s: float, now: Callable[[], datetime]) -> None:
    # Spread over the round: done one after the other they take turns with callers for a tenth of a second.
    pause_s = every_s / max(1, len(duties))
    while True:
        for duty in duties:
            try:
                async with pool.connection() as connection:
                    done = await perform(connection, duty, now())
            except PoolClosed:
                return
            except (psycopg.OperationalError, PoolTimeout) as error:
                log.warning("duty %s: the database does not answer: %s", duty.name, error)
            except (psycopg.Error, Problem, LookupError, ValueError):
                # One duty's trouble is not the others'; it is tried again next round.
                log.exception("duty %s failed", duty.name)
            else:
                if done:
                    log.info("duty %s: %s done", duty.name, done)
            await asyncio.sleep(pause_s)
