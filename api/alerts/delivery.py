"""Delivers the outbox, inside the API process; any number of API processes may do so together.

A deliverer claims a few due alerts of one target (`FOR UPDATE SKIP LOCKED`), marks them `sending` with a lease, commits
that, sends, and notes the results. So no alert is sent by two at once, and the transaction that caused an alert never
waits for a target. Each target is served on its own: a slow one holds up nobody else.

Sending and noting it cannot be one step. A process killed between the two leaves alerts `sending`; when the lease ends
a webhook is sent again under the same `webhook-id`, by which its receiver discards a second one, while an alert through
Apprise becomes `unconfirmed`: never sent twice by itself, shown in `/v1/alerts?state=unconfirmed`, resent by hand. At
most `BATCH` alerts per target and process can be in that state at once.

What an Apprise service took but reported as failed (e.g. it answered too late) is tried again like any failure.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from api.alerts.rules import pause_s
from api.alerts.sending import SEND_WITHIN_S, Send, sender_of
from careloop.database.queries import load_queries

SQL = load_queries("api.alerts")

BATCH = 20
TARGETS_AT_ONCE = 8
SHORTEST_IDLE_S = 0.02
LONGEST_IDLE_S = 0.4
AFTER_TROUBLE_S = 2.0

Pool = AsyncConnectionPool[AsyncConnection[DictRow]]
# An alert, and why it failed.
Failed = tuple[DictRow, str]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeliveryLimits:
    """How delivery behaves.

    Attributes:
        attempts: After so many failures an alert is dead.
        lease_s: How long a claim holds, seconds.
        default_url: Apprise URL of the target `default`, made when there is no target at all.
    """

    attempts: int = 20
    lease_s: float = 120.0
    default_url: str = "careloop-log://"


@asynccontextmanager
async def delivering(pool: Pool, limits: DeliveryLimits | None, now: Callable[[], datetime]) -> AsyncIterator[None]:
    """Deliver as long as the context lasts; at its end, finish what is being sent.

    Args:
        pool: Of the process.
        limits: None to deliver nothing.
        now: The system clock, for what webhooks sign.
    """
    if limits is None:
        yield
        return
    deliverer = Deliverer(pool, limits, now)
    task = asyncio.create_task(deliverer.run(), name="alerts")
    try:
        yield
    finally:
        deliverer.stop()
        await task


class Deliverer:
    """Delivers due alerts until stopped."""

    def __init__(self, pool: Pool, limits: DeliveryLimits, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._limits = limits
        self._now = now
        self._stopping = asyncio.Event()
        self._serving: dict[int, asyncio.Task[None]] = {}
        self._senders: dict[int, Send] = {}
        self._threads = ThreadPoolExecutor(TARGETS_AT_ONCE, "alerts")

    def stop(self) -> None:
        """Ask `run` to end."""
        self._stopping.set()

    async def run(self) -> None:
        """Look for due alerts, at once after having found some, every 0.4 s when idle."""
        idle_s = SHORTEST_IDLE_S
        first_target_made = False
        while not self._stopping.is_set():
            try:
                if not first_target_made:
                    await self._make_first_target()
                    first_target_made = True
                found = await self._serve_due_targets()
                idle_s = SHORTEST_IDLE_S if found else min(LONGEST_IDLE_S, idle_s * 2)
            except (psycopg.Error, PoolTimeout, PoolClosed) as error:
                log.warning("alerts wait for the database: %s", error)
                idle_s = AFTER_TROUBLE_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), idle_s)
        await asyncio.gather(*self._serving.values())
        self._threads.shutdown()

    async def _make_first_target(self) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(SQL["insert_first_target"], {"url": self._limits.default_url})

    async def _serve_due_targets(self) -> int:
        async with self._pool.connection() as connection:
            left = await (await connection.execute(SQL["leave_unconfirmed"])).fetchall()
            targets = await (await connection.execute(SQL["due_targets"], {"busy": list(self._serving)})).fetchall()
        if left:
            log.warning("alerts %s are unconfirmed: their deliverer ended", [row["alert_id"] for row in left])
        for target in targets[: TARGETS_AT_ONCE - len(self._serving)]:
            target_id = target["target_id"]
            self._serving[target_id] = asyncio.create_task(self._serve(target), name=f"alerts-{target_id}")
        return len(targets)

    async def _serve(self, target: DictRow) -> None:
        """Deliver what is due to one target."""
        try:
            while not self._stopping.is_set() and await self._deliver_batch(target):
                pass
        except (psycopg.Error, PoolTimeout, PoolClosed) as error:
            log.warning("alerts wait for the database: %s", error)
            await asyncio.sleep(AFTER_TROUBLE_S)
        except Exception:
            log.exception("delivering to alert target %s failed", target["target_id"])
            await asyncio.sleep(AFTER_TROUBLE_S)
        finally:
            del self._serving[target["target_id"]]

    async def _deliver_batch(self, target: DictRow) -> bool:
        """Claim, send, note; False when nothing was due."""
        loop = asyncio.get_running_loop()
        claim_ends = loop.time() + self._limits.lease_s
        alerts = await self._claim(target)
        if not alerts:
            return False
        send = self._sender(target)
        sent: list[int] = []
        failed: Failed | None = None
        for alert in alerts:
            tried = sent or failed
            if failed or (tried and (self._stopping.is_set() or loop.time() + SEND_WITHIN_S > claim_ends)):
                break
            error = await loop.run_in_executor(self._threads, send, alert, self._now())
            if error is None:
                sent.append(alert["alert_id"])
            else:
                failed = (alert, error)
        while not await self._settled(alerts, sent, failed):
            if loop.time() > claim_ends:
                break
            await asyncio.sleep(AFTER_TROUBLE_S)
        return True

    async def _claim(self, target: DictRow) -> list[DictRow]:
        parameters = {
            "target_id": target["target_id"],
            "states": ["pending", "sending"] if target["kind"] == "webhook" else ["pending"],
            "batch": BATCH,
            "lease_s": self._limits.lease_s,
        }
        async with self._pool.connection() as connection:
            return await (await connection.execute(SQL["claim_alerts"], parameters)).fetchall()

    def _sender(self, target: DictRow) -> Send:
        target_id = target["target_id"]
        if target_id not in self._senders:
            # The address and the secret of a target never change.
            self._senders[target_id] = sender_of(target)
        return self._senders[target_id]

    async def _settled(self, alerts: Sequence[DictRow], sent: Sequence[int], failed: Failed | None) -> bool:
        """Note the results; False when the database did not answer, then it is worth trying until the lease ends."""
        try:
            await self._settle(alerts, sent, failed)
        except (psycopg.OperationalError, PoolTimeout) as error:
            log.warning("what was sent is not noted yet, the database: %s", error)
            return False
        return True

    async def _settle(self, alerts: Sequence[DictRow], sent: Sequence[int], failed: Failed | None) -> None:
        """Note the results. After a failure the rest of the batch goes back untried: it may be the target."""
        lease_until = alerts[0]["lease_until"]
        tried = {*sent, failed[0]["alert_id"]} if failed else set(sent)
        untried = [alert["alert_id"] for alert in alerts if alert["alert_id"] not in tried]
        async with self._pool.connection() as connection:
            if sent:
                await connection.execute(SQL["settle_sent"], {"alert_ids": sent, "lease_until": lease_until})
            if untried:
                await connection.execute(SQL["settle_untried"], {"alert_ids": untried, "lease_until": lease_until})
            if failed:
                await self._settle_failed(connection, *failed)

    async def _settle_failed(self, connection: AsyncConnection[DictRow], alert: DictRow, error: str) -> None:
        parameters = {
            "alert_id": alert["alert_id"],
            "lease_until": alert["lease_until"],
            "attempts": self._limits.attempts,
            "pause_s": pause_s(alert["attempts"], random.random()),  # noqa: S311 - spreads retries, guards nothing
            "error": error,
        }
        row = await (await connection.execute(SQL["settle_failed"], parameters)).fetchone()
        about = {"alert": alert["alert_id"], "serial": alert["serial"]}
        if row is not None and row["state"] == "dead":
            log.error(
                "alert %s is dead after %s attempts: %s", alert["alert_id"], alert["attempts"], error, extra=about
            )
        else:
            log.warning("alert %s, attempt %s: %s", alert["alert_id"], alert["attempts"], error, extra=about)
