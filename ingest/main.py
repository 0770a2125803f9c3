"""Wires and runs `careloop ingest`."""

import gc
import logging
import os
import signal
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow

from careloop.database.engine import Engine, connect
from careloop.database.migrations import require_migrated
from careloop.database.readiness import database_check
from careloop.errors import CareloopError
from careloop.logs import configure_logging
from careloop.observability.metrics import make_registry, render_from
from careloop.observability.probes import Probes
from careloop.observability.server import serving
from careloop.observability.watchdog import Watchdog
from ingest.consumer import Consumer
from ingest.decode import Decoder
from ingest.delivery import Request
from ingest.downlink.downlink import Downlink
from ingest.inbox import Inbox
from ingest.maintenance import Maintenance
from ingest.metrics import IngestMetrics
from ingest.registry import Registry
from ingest.replay import Replay, Selection
from ingest.settings import IngestSettings
from ingest.store import Stored
from ingest.validate import span_as_of
from ingest.workers import Workers
from ingest.writer import Limits, Read, StoppedError, Writer, read

log = logging.getLogger(__name__)

IDLE_WAIT_S = 0.2
GATHER_S = 0.01
ENOUGH_MESSAGES = 200
WATCH_EVERY_S = 0.5
MOST_WORKERS = 64
# A rollup of a long outage's hours takes its time; longer than this it hangs.
MAINTENANCE_WITHIN_S = 3600.0
TELL_EVERY = timedelta(seconds=60)


def run(end_with: int = 0, **given: str | None) -> int:
    """Store messages until SIGTERM or Ctrl-C; the arguments given stand in for their settings.

    Args:
        end_with: Our parent's process id, when we shall not outlive it.
        given: Settings.

    Raises:
        CareloopError: The database cannot be used, or the broker refuses us.
    """
    settings, engine = _start(given)
    log.info("worker %s stores into %s", settings.ingest_worker, engine)
    # Readings are made and dropped by the hundred thousand, in no cycles: looking for some so often costs a fifth.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    return _Ingest(settings, engine, end_with).run()


def run_workers(workers: int, **given: str | None) -> int:
    """Store messages by several processes that share the load, until SIGTERM or Ctrl-C.

    Raises:
        CareloopError: The number makes no sense, or the database cannot be used.
    """
    if not 1 <= workers <= MOST_WORKERS:
        raise CareloopError(f"--workers must be 1 to {MOST_WORKERS}")
    settings, _ = _start(given)
    names = [f"{settings.ingest_worker}-{number}" for number in range(1, workers + 1)]
    # Not as arguments, which every user of the machine can see.
    urls = {"CARELOOP_DATABASE_URL": settings.database_url, "CARELOOP_BROKER_URL": settings.broker_url}
    return Workers(names, urls, settings.metrics_port, time.monotonic).run()


def _start(given: Mapping[str, str | None]) -> tuple[IngestSettings, Engine]:
    arguments: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    settings = IngestSettings(**arguments)
    configure_logging(settings.log_level, settings.log_format, process="ingest", worker=settings.ingest_worker)
    with connect(settings.database_url) as connection:
        return settings, require_migrated(connection)


def replay_dead_letters(
    database_url: str | None, dead_letter_id: int | None, reason: str | None, serial: str | None
) -> int:
    """Try dead letters again now, and print what became of them.

    Raises:
        CareloopError: The database cannot be used.
    """
    given: dict[str, Any] = {} if database_url is None else {"database_url": database_url}
    settings = IngestSettings(**given)
    configure_logging(settings.log_level)
    with connect(settings.database_url, application_name="careloop replay-dead-letters") as connection:
        require_migrated(connection)
        outcome = _replay(settings, connection).run(Selection(dead_letter_id, reason, serial), _now())
    print(
        f"{outcome.messages} messages tried again: {outcome.settled} settled, "
        f"{outcome.messages - outcome.settled} still among the dead letters; "
        f"{outcome.readings} readings and {outcome.events} events added"
    )
    return 0


def _replay(settings: IngestSettings, connection: Connection[DictRow]) -> Replay:
    # Sequence numbers mean nothing in what is tried again.
    decoder = Decoder(replace(settings.formats, follow_sequences=False))
    retention = timedelta(days=settings.ingest_retention_days)
    return Replay(
        connection,
        Registry(
            learned_metrics=settings.ingest_learned_metrics,
            learned_metrics_per_asset=settings.ingest_learned_metrics_per_asset,
        ),
        read=lambda delivery: read(delivery, decoder.decode),
        span=lambda now: span_as_of(now, future=timedelta(hours=settings.ingest_future_hours), keep=retention or None),
    )


class _Ingest:
    """The running process: the broker's thread, the writer's, and that of maintenance."""

    def __init__(self, settings: IngestSettings, engine: Engine, end_with: int) -> None:
        self._end_with = end_with
        self._settings = settings
        self._engine = engine
        self._stop = Event()
        self._watchdog = Watchdog(time.monotonic)
        self._written = self._watchdog.loop("writer", settings.stalled_after_s)
        self._maintained = self._watchdog.loop("maintenance", max(MAINTENANCE_WITHIN_S, settings.stalled_after_s))
        self._registry = make_registry("ingest")
        self._metrics = IngestMetrics(self._registry)
        self._in_hand = 0
        self._gathered_until_s = 0.0
        # Room for a full window, and for one more that a broken connection delivers again.
        self._inbox = Inbox(2 * settings.ingest_in_flight)
        self._decoder = Decoder(settings.formats)
        self._consumer = Consumer(settings, self._inbox, _now, self._decoder)
        retention = timedelta(days=settings.ingest_retention_days)
        self._writer = Writer(
            connect=self._connect,
            worker=settings.ingest_worker,
            limits=Limits(
                future=timedelta(hours=settings.ingest_future_hours),
                keep=retention or None,
                learned_metrics=settings.ingest_learned_metrics,
                learned_metrics_per_asset=settings.ingest_learned_metrics_per_asset,
            ),
            now=_now,
            pause=self._pause,
            heard=self._follow_up,
            metrics=self._metrics,
        )
        self._metrics.watch(
            inbox_messages=lambda: self._inbox.messages,
            unacknowledged=lambda: self._inbox.messages + self._in_hand,
            connected=lambda: self._consumer.connected,
            payload_bytes=lambda: self._inbox.taken_bytes,
            refused=lambda: self._inbox.refused,
            confirmed=lambda: self._consumer.confirmed,
            connections=lambda: self._consumer.connections,
        )

    def run(self) -> int:
        # This thread only waits, so a signal's handler never meets a lock that the thread it interrupts is holding.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        self._consumer.start()
        downlink = Downlink(
            self._settings,
            self._connect,
            _now,
            self._stop,
            beat=self._watchdog.loop("downlink", self._settings.stalled_after_s).beat,
            lost=self._metrics.lost,
        )
        with ThreadPoolExecutor(max_workers=3, thread_name_prefix="ingest") as threads:
            tasks = [
                threads.submit(self._write_until_stopped),
                threads.submit(self._maintain),
                threads.submit(downlink.run),
            ]
            try:
                with self._serving():
                    while not any(task.done() for task in tasks) and not self._is_orphan():
                        wait(tasks, timeout=WATCH_EVERY_S, return_when=FIRST_COMPLETED)
            finally:
                self._stop.set()
                wait(tasks)
                self._consumer.stop()
                self._writer.close()
            for task in tasks:
                task.result()
        if self._consumer.failure:
            raise CareloopError(self._consumer.failure)
        log.info("stopped; what was not stored stays with the broker")
        return 0

    def _is_orphan(self) -> bool:
        return bool(self._end_with) and os.getppid() != self._end_with

    def _serving(self) -> AbstractContextManager[None]:
        """Shows metrics, `/live` and `/ready`."""
        settings = self._settings
        self._watchdog.need("network", lambda: self._consumer.listens)
        checks = {"database": database_check(settings.database_url, "ingest"), "broker": self._check_broker}
        probes = Probes("ingest", self._watchdog, checks, time.monotonic)
        return serving(settings.metrics_host, settings.metrics_port, probes, render_from(self._registry))

    def _check_broker(self) -> str:
        if not self._consumer.connected:
            raise CareloopError(f"not connected to {self._consumer.broker_name}")
        return f"connected to {self._consumer.broker_name} as {self._settings.ingest_worker}"

    def _pause(self, seconds: float) -> bool:
        """While the database is away the writer waits, which is no stall."""
        self._written.beat()
        return self._stop.wait(seconds)

    def _write_until_stopped(self) -> None:
        total, refused, told_at = Stored(), 0, _now()
        # Decodes and packs the next batch while the database stores this one.
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader") as reader:
            following = reader.submit(self._read_next)
            while not self._stop.is_set() and self._consumer.failure is None:
                messages = following.result()
                self._written.beat()
                self._in_hand = len(messages)
                following = reader.submit(self._read_next)
                if messages:
                    began_s = time.monotonic()
                    try:
                        stored = self._writer.write(messages)
                    except StoppedError:
                        return
                    total += stored
                    now = _now()
                    self._metrics.committed(
                        len(messages),
                        stored,
                        seconds=time.monotonic() - began_s,
                        receive_lag_s=(now - messages[0][0].received_at).total_seconds(),
                        now=now,
                    )
                    deliveries = [delivery for delivery, _ in messages]
                    self._consumer.acknowledge(deliveries)
                    self._consumer.confirm(deliveries)
                if _now() - told_at >= TELL_EVERY:
                    if total != Stored():
                        log.info("stored %s", total)
                    if self._inbox.refused > refused:
                        log.warning("%d QoS 0 messages did not fit and are lost", self._inbox.refused - refused)
                    total, refused, told_at = Stored(), self._inbox.refused, _now()

    def _read_next(self) -> list[Read]:
        # What trickles in is gathered for a moment, or each message would cost a transaction; a lone one does not wait.
        wait_s = self._gathered_until_s - time.monotonic()
        if wait_s > 0 and self._inbox.messages < ENOUGH_MESSAGES:
            self._stop.wait(wait_s)
        messages = [
            read(delivery, self._decoder.decode)
            for delivery in self._inbox.take(
                most_messages=self._settings.ingest_batch_messages,
                most_bytes=self._settings.ingest_batch_bytes,
                wait_s=IDLE_WAIT_S,
            )
        ]
        self._gathered_until_s = time.monotonic() + GATHER_S
        self._writer.look_ahead(messages)
        return messages

    def _follow_up(self, requests: Sequence[Request], topics: Sequence[str]) -> None:
        """Do what stored messages call for: ask for births, listen to the topics that were named."""
        self._consumer.send(requests)
        self._consumer.listen_to(topics)

    def _maintain(self) -> None:
        while not self._stop.is_set():
            try:
                with self._connect() as connection:
                    maintenance = Maintenance(connection, self._engine, self._settings.storage_policy)
                    while not self._stop.wait(self._settings.ingest_rollup_seconds):
                        self._maintained.beat()
                        maintenance.run(_now())
                        _replay(self._settings, connection).run_requested(_now())
                        self._metrics.rollups_due(maintenance.rollups_due())
                        self._metrics.maintained(succeeded=True)
            except (psycopg.Error, CareloopError) as error:
                # Rollups wait in telemetry.rollup_due; ingest itself goes on.
                log.warning("maintenance will try again: %s", str(error).strip().splitlines()[0])
                self._maintained.beat()
                self._metrics.maintained(succeeded=False)
                self._stop.wait(self._settings.ingest_rollup_seconds)

    def _connect(self) -> Connection[DictRow]:
        return connect(self._settings.database_url, application_name=f"careloop ingest {self._settings.ingest_worker}")


def _now() -> datetime:
    return datetime.now(UTC)
