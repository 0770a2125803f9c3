"""What is looked at beside the requests, as long as the application lasts: the event loop, the pool, the outbox."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from prometheus_client import CollectorRegistry
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from api.observation.metrics import ApiMetrics
from careloop.database.queries import load_queries
from careloop.observability.metrics import make_registry
from careloop.observability.watchdog import Heartbeat, Watchdog

SQL = load_queries("api.observation")

BEAT_EVERY_S = 1.0
COUNT_EVERY_S = 15.0

log = logging.getLogger(__name__)


Pool = AsyncConnectionPool[AsyncConnection[DictRow]]


@dataclass(frozen=True)
class Observed:
    """What an application is watched and counted by.

    Attributes:
        registry: What the metrics are shown from.
        watchdog: Watches the event loop.
        clock: Seconds of a clock that never jumps.
        metrics: On the registry.
        stalled_after_s: How long the event loop may be silent.
    """

    registry: CollectorRegistry
    watchdog: Watchdog
    clock: Callable[[], float]
    metrics: ApiMetrics
    stalled_after_s: float

    @classmethod
    def by(cls, clock: Callable[[], float], stalled_after_s: float = 180.0) -> "Observed":
        """With nothing seen yet."""
        registry = make_registry("api")
        return cls(registry, Watchdog(clock), clock, ApiMetrics(registry), stalled_after_s)


@asynccontextmanager
async def watching(pool: Pool, observed: Observed) -> AsyncIterator[None]:
    """Keep the heartbeat of the event loop, and the gauges that nobody sets otherwise."""
    heartbeat = observed.watchdog.loop("event loop", observed.stalled_after_s)
    task = asyncio.create_task(_watch(pool, observed, heartbeat), name="watching")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _watch(pool: Pool, observed: Observed, heartbeat: Heartbeat) -> None:
    count_at_s = observed.clock()
    counting: asyncio.Task[None] | None = None
    while True:
        heartbeat.beat()
        observed.metrics.pool(pool.get_stats())
        if observed.clock() >= count_at_s and (counting is None or counting.done()):
            # On its own: a database that does not answer must not look like an event loop that hangs.
            counting = asyncio.create_task(_count_outbox(pool, observed.metrics), name="outbox")
            count_at_s = observed.clock() + COUNT_EVERY_S
        await asyncio.sleep(BEAT_EVERY_S)


async def _count_outbox(pool: Pool, metrics: ApiMetrics) -> None:
    try:
        async with pool.connection() as connection:
            metrics.outbox(await (await connection.execute(SQL["count_outbox"])).fetchall())
    except (psycopg.OperationalError, PoolTimeout, PoolClosed) as error:
        log.debug("the outbox is counted later: %s", error)
    except psycopg.Error:
        log.exception("the outbox cannot be counted")
