"""Posts the feed to webhooks, inside the API process; any number of API processes may do so together.

A deliverer takes a webhook for a while (a lease), posts one event after the other and notes how far it is. An event
that is not taken is parked, and with it all later events of the same ticket, so that their order holds; the others go
on. When several lanes fail one after another it is the receiver that is down: then nothing is parked and all of it
waits.

Posting and noting it cannot be one step: after a crash between the two an event is posted again, under the same
`webhook-id`.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import psycopg
import requests
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from api.alerts.rules import pause_s
from api.conventions.webhooks import ANSWER_WITHIN_S, CONNECT_WITHIN_S, post_signed
from api.feed import rules
from api.feed.repository import SQL, give_positions

BATCH = 50
WEBHOOKS_AT_ONCE = 4
SHORTEST_IDLE_S = 0.05
LONGEST_IDLE_S = 0.5
AFTER_TROUBLE_S = 2.0
POST_WITHIN_S = CONNECT_WITHIN_S + ANSWER_WITHIN_S

Pool = AsyncConnectionPool[AsyncConnection[DictRow]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeedLimits:
    """How delivery behaves.

    Attributes:
        attempts: After so many failures an event is dead.
        lease_s: How long a claim of a webhook holds, seconds.
    """

    attempts: int = 20
    lease_s: float = 120.0


@asynccontextmanager
async def feeding(pool: Pool, limits: FeedLimits | None, now: Callable[[], datetime]) -> AsyncIterator[None]:
    """Deliver as long as the context lasts; at its end, finish the event that is being posted.

    Args:
        pool: Of the process.
        limits: None to deliver nothing.
        now: The system clock, for what webhooks sign.
    """
    if limits is None:
        yield
        return
    stopping = asyncio.Event()
    threads = ThreadPoolExecutor(WEBHOOKS_AT_ONCE, "feed")
    deliverers = [
        asyncio.create_task(Deliverer(pool, limits, now, threads, stopping).run(), name=f"feed-{number}")
        for number in range(WEBHOOKS_AT_ONCE)
    ]
    try:
        yield
    finally:
        stopping.set()
        await asyncio.gather(*deliverers)
        threads.shutdown()


class Deliverer:
    """Serves one webhook after the other until stopped."""

    def __init__(
        self,
        pool: Pool,
        limits: FeedLimits,
        now: Callable[[], datetime],
        threads: ThreadPoolExecutor,
        stopping: asyncio.Event,
    ) -> None:
        self._pool = pool
        self._limits = limits
        self._now = now
        self._threads = threads
        self._stopping = stopping
        self._session = requests.Session()

    async def run(self) -> None:
        """Look for a webhook with something to do, at once after having found one, every 0.5 s when idle."""
        idle_s = SHORTEST_IDLE_S
        while not self._stopping.is_set():
            try:
                found = await self._serve_one()
                idle_s = SHORTEST_IDLE_S if found else min(LONGEST_IDLE_S, idle_s * 2)
            except (psycopg.Error, PoolTimeout, PoolClosed) as error:
                log.warning("webhooks wait for the database: %s", error)
                idle_s = AFTER_TROUBLE_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), idle_s)

    async def _serve_one(self) -> bool:
        async with self._pool.connection() as connection:
            await give_positions(connection)
        async with self._pool.connection() as connection:
            claim = await (await connection.execute(SQL["claim_webhook"], {"lease_s": self._limits.lease_s})).fetchone()
        if claim is None:
            return False
        until = asyncio.get_running_loop().time() + self._limits.lease_s - POST_WITHIN_S
        error = None
        try:
            error = await self._retry(claim, until) or await self._go_on(claim, until)
        finally:
            await self._release(claim, error)
        return error is None

    async def _retry(self, claim: DictRow, until: float) -> str | None:
        """Post what is parked and due; why the receiver seems to be down, if it does."""
        failed: list[str] = []
        async with self._pool.connection() as connection:
            values = {"webhook_id": claim["webhook_id"], "batch": BATCH}
            due = await (await connection.execute(SQL["due_parked"], values)).fetchall()
        for row in due:
            if self._over(until):
                return None
            error = await self._post(claim, row)
            key = {"webhook_id": claim["webhook_id"], "position": row["position"]}
            async with self._pool.connection() as connection:
                if error is None:
                    await connection.execute(SQL["settle_parked"], key)
                    failed = []
                    continue
                values = {"error": error, "most": self._limits.attempts, "pause_s": _pause(row["attempts"] + 1)}
                settled = await (await connection.execute(SQL["fail_parked"], {**key, **values})).fetchone()
            if settled is not None and settled["dead"]:
                log.error("webhook %s: %s is dead: %s", claim["webhook_id"], rules.message_id(row), error)
            failed.append(error)
            if len(failed) >= rules.RECEIVER_IS_DOWN_AFTER:
                return error
        return None

    async def _go_on(self, claim: DictRow, until: float) -> str | None:
        """Post what comes next in the feed; why the receiver seems to be down, if it does."""
        webhook_id = claim["webhook_id"]
        async with self._pool.connection() as connection:
            values = {"after_id": claim["position"], "fetch": BATCH}
            rows = await (await connection.execute(SQL["list_events"], values, prepare=False)).fetchall()
            parked = await (await connection.execute(SQL["parked_lanes"], {"webhook_id": webhook_id})).fetchall()
        lanes = {row["lane"] for row in parked}
        failed: list[tuple[DictRow, str]] = []
        position, delivered = claim["position"], False
        for row in rows:
            if self._over(until):
                break
            error = None
            if rules.wanted(rules.type_of(row), claim["types"]):
                lane = rules.lane_of(row)
                if lane in lanes:
                    failed.append((row, ""))
                else:
                    error = await self._post(claim, row)
                    delivered = delivered or error is None
            if error is not None:
                lanes.add(rules.lane_of(row))
                failed.append((row, error))
                tried = [message for _, message in failed if message]
                if len(tried) >= rules.RECEIVER_IS_DOWN_AFTER and not delivered:
                    return error
            position = row["position"]
        await self._note(claim, position, failed, delivered=delivered)
        return None

    async def _note(self, claim: DictRow, position: int, failed: list[tuple[DictRow, str]], *, delivered: bool) -> None:
        """Note how far it is, and park what failed, in one transaction; nothing if a replay came in between."""
        key = {"webhook_id": claim["webhook_id"]}
        values = {**key, "position": position, "delivered": delivered}
        async with self._pool.connection() as connection:
            values |= {"replays": claim["replays"], "lease_until": claim["lease_until"]}
            if await (await connection.execute(SQL["advance"], values)).fetchone() is None:
                return
            for row, error in failed:
                parked = {
                    **key,
                    "position": row["position"],
                    "lane": rules.lane_of(row),
                    "tries": 1 if error else 0,
                    "pause_s": _pause(1) if error else 0.0,
                    "error": error or None,
                }
                await connection.execute(SQL["park"], parked)

    async def _release(self, claim: DictRow, error: str | None) -> None:
        failures = claim["failures"] + 1 if error else 0
        if error:
            log.warning("webhook %s seems to be down: %s", claim["webhook_id"], error)
        values = {
            "webhook_id": claim["webhook_id"],
            "lease_until": claim["lease_until"],
            "failures": failures,
            "error": error,
            "pause_s": _pause(failures) if error else 0.0,
        }
        async with self._pool.connection() as connection:
            await connection.execute(SQL["release"], values)

    async def _post(self, claim: DictRow, change: DictRow) -> str | None:
        secrets = [secret for secret in (claim["secret"], claim["previous_secret"]) if secret]
        event = rules.event_of(change)
        post = partial(
            post_signed, self._session, claim["url"], secrets, identity=event["id"], event=event, now=self._now()
        )
        return await asyncio.get_running_loop().run_in_executor(self._threads, post)

    def _over(self, until: float) -> bool:
        return self._stopping.is_set() or asyncio.get_running_loop().time() > until


def _pause(failures: int) -> float:
    return pause_s(failures, random.random())  # noqa: S311 - spreads retries, guards nothing
