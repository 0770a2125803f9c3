"""From deliveries to committed rows, whatever the messages and the database do meanwhile."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite

import psycopg
from prometheus_client import CollectorRegistry
from psycopg import Connection
from psycopg.rows import DictRow

from careloop.errors import CareloopError
from ingest.announcements import Announcements
from ingest.decode import Decoded, Delivery, RefusalError, decode
from ingest.delivery import Request
from ingest.metrics import IngestMetrics
from ingest.registry import Registry
from ingest.rows import Ready, Sorter
from ingest.store import Batch, DeadLetter, Message, StateChange, Store, Stored
from ingest.validate import Problem, Span, bad_records, is_unit, span_as_of, validate_events

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
DICTIONARY_EVERY = timedelta(seconds=60)
LONGEST_DETAIL = 300

# The database's answer to what is in a message, as opposed to what is wrong with the database.
_MESSAGE_ERRORS = (psycopg.DataError, psycopg.IntegrityError, psycopg.NotSupportedError)

Read = tuple[Delivery, Decoded | Problem]
Heard = Callable[[Sequence[Request], Sequence[str]], None]


class StoppedError(Exception):
    """The process was told to stop while the database was away; nothing was stored, nothing is acknowledged."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is accepted.

    Attributes:
        future: How far ahead of our clock a time may be.
        keep: How long readings are kept, or None for ever.
        learned_metrics: Most undeclared metrics in the dictionary.
        learned_metrics_per_asset: Most of them that one asset may teach.
    """

    future: timedelta
    keep: timedelta | None
    learned_metrics: int
    learned_metrics_per_asset: int


class Writer:
    """Decodes, validates and stores batches, in the order given.

    Args:
        connect: Makes a database connection.
        worker: Name of this worker.
        limits: What is accepted.
        now: The clock.
        pause: Waits some seconds; returns True when the process was told to stop.
        heard: Called after a commit with what shall be sent to devices and topics to listen to.
        metrics: What is counted.
    """

    def __init__(
        self,
        *,
        connect: Callable[[], Connection[DictRow]],
        worker: str,
        limits: Limits,
        now: Callable[[], datetime],
        pause: Callable[[float], bool],
        heard: Heard | None = None,
        metrics: IngestMetrics | None = None,
    ) -> None:
        self._connect = connect
        self._worker = worker
        self._limits = limits
        self._now = now
        self._pause = pause
        self._heard = heard
        self._metrics = metrics or IngestMetrics(CollectorRegistry())
        self._announcements = Announcements()
        self._open: tuple[Connection[DictRow], Store, Registry] | None = None
        self._loaded_at: datetime | None = None

    def close(self) -> None:
        """Close the database connection."""
        if self._open is not None:
            self._open[0].close()
            self._open = None

    def look_ahead(self, messages: Sequence[Read]) -> None:
        """Do for messages what needs no database, while it stores others; may be called in another thread.

        What comes of it is used if nothing has changed until it is their turn.
        """
        opened = self._open
        if opened is None:
            return
        sorter, asset_ids = opened[2].sorter, opened[2].known_asset_ids
        span = span_as_of(self._now(), future=self._limits.future, keep=self._limits.keep)
        for _, decoded in messages:
            if isinstance(decoded, Decoded) and (asset_id := asset_ids.get(decoded.serial)) is not None:
                rows = sorter.at_once(decoded.readings, span)
                if rows is not None:
                    decoded.ready = Ready(sorter, asset_id, rows.packed(asset_id))

    def write(self, messages: Sequence[Read]) -> Stored:
        """Store a batch; when this returns, it is committed and may be acknowledged.

        While the database is away it tries again and again, at longer and longer intervals.

        Args:
            messages: What `read` made of deliveries.

        Raises:
            StoppedError: The process was told to stop before the database came back.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return self._write(messages)
            except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.ProgrammingError, CareloopError) as error:
                # An outage is no defect: its one line is enough.
                log.error("%d messages wait for the database: %s", len(messages), _first_line(error))  # noqa: TRY400
                self._metrics.database_failed()
                self.close()
            if self._pause(pause_s):
                raise StoppedError
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _write(self, messages: Sequence[Read]) -> Stored:
        """Store messages; those that the database refuses are found by halving, and kept as dead letters."""
        connection, store, registry = self._opened()
        now = self._now()
        if self._loaded_at is None or now - self._loaded_at > DICTIONARY_EVERY:
            registry.load(connection)
            self._announcements.forget()
            self._loaded_at = now
        span = span_as_of(now, future=self._limits.future, keep=self._limits.keep)
        try:
            resolved, heard = self._announcements.resolve(connection, messages)
            batch = _prepare(resolved, connection, registry, span, now)
            batch.announcements = heard.announcements
            batch.states += [StateChange(delivery, agent_id, state) for delivery, agent_id, state in heard.states]
            stored = store.save(batch, now)
        except _MESSAGE_ERRORS as error:
            if len(messages) > 1:
                middle = len(messages) // 2
                return self._write(messages[:middle]) + self._write(messages[middle:])
            delivery, decoded = messages[0]
            if isinstance(decoded, Problem):
                raise
            return self._write([(delivery, Problem("refused_by_database", _first_line(error)))])
        requests = self._announcements.adopt(heard, now)
        if self._heard is not None and (requests or heard.listen_to):
            self._heard(requests, heard.listen_to)
        self._metrics.lost(_tell(batch, stored))
        if batch.messages and (span_us := batch.messages[-1].span_us) is not None:
            self._metrics.reading_age(self._now().timestamp() - span_us[1] / 1e6)
        return stored

    def _opened(self) -> tuple[Connection[DictRow], Store, Registry]:
        if self._open is None:
            connection = self._connect()
            # All that was known is asked for again: the database may have been restored from a backup.
            registry = Registry(
                learned_metrics=self._limits.learned_metrics,
                learned_metrics_per_asset=self._limits.learned_metrics_per_asset,
            )
            self._open = connection, Store(connection, self._worker), registry
            self._loaded_at = None
        return self._open


def read(delivery: Delivery, decoded: Callable[[Delivery], Decoded] = decode) -> Read:
    """A message decoded, or the problem for which it becomes a dead letter as a whole; needs no database.

    Args:
        delivery: The message.
        decoded: Decodes it; by default what careloop's own channels carry.
    """
    try:
        return delivery, decoded(delivery)
    except RefusalError as refusal:
        return delivery, Problem(refusal.reason, refusal.detail)
    # A decoder that fails in a way nobody thought of is our defect; but a message must never stop those behind it, nor
    # come again for ever. It is kept, and can be replayed once the defect is mended.
    except Exception as error:
        log.exception("cannot decode %s on %s", delivery.identity, delivery.topic, extra=about(delivery))
        return delivery, Problem("malformed", f"{type(error).__name__}: {error}"[:LONGEST_DETAIL])


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _prepare(
    messages: Sequence[Read], connection: Connection[DictRow], registry: Registry, span: Span, now: datetime
) -> Batch:
    """Look up assets and metrics, learn new ones, and sort everything into what can be stored and what cannot."""
    serials = {item.serial for _, item in messages if isinstance(item, Decoded) and item.state is None}
    asset_ids = registry.asset_ids(connection, serials)
    batch = Batch()
    known: list[tuple[Delivery, Decoded, int]] = []
    for delivery, decoded in messages:
        if isinstance(decoded, Decoded) and decoded.state is not None:
            # Also of a gateway, which is no asset.
            batch.states.append(StateChange(delivery, decoded.serial, decoded.state))
            continue
        problem = decoded if isinstance(decoded, Problem) else None
        asset_id = None if isinstance(decoded, Problem) else asset_ids.get(decoded.serial)
        if isinstance(decoded, Decoded) and asset_id is None:
            problem = Problem("unknown_asset", f"no asset has the serial number {decoded.serial}; register it first")
        if problem is not None:
            batch.dead_letters.append(DeadLetter(delivery, delivery.identity_stored(timed_on_arrival=False), problem))
        elif isinstance(decoded, Decoded) and asset_id is not None:
            known.append((delivery, decoded, asset_id))
    sorter = registry.sorter
    late = [(decoded, asset_id) for _, decoded, asset_id in known if not _is_ready(decoded, sorter, asset_id)]
    seen = {
        reading.metric: (reading.unit, decoded.serial)
        for decoded, _ in late
        for reading in decoded.readings
        if reading.metric not in registry.metrics and isfinite(reading.value) and is_unit(reading.unit)
    }
    registry.learn(connection, seen, now)
    for delivery, decoded, asset_id in known:
        identity = delivery.identity_stored(timed_on_arrival=decoded.timed_on_arrival)
        if isinstance(decoded.ready, Ready) and _is_ready(decoded, sorter, asset_id):
            batch.messages.append(Message(delivery, identity, asset_id, decoded.ready.packed))
            continue
        rows, problems = registry.sorter.sort(decoded.readings, span)
        events, event_problems = validate_events(decoded.events, span)
        problems += [*event_problems, *bad_records(decoded.bad)]
        batch.messages.append(Message(delivery, identity, asset_id, rows.packed(asset_id), events, problems))
    return batch


def _is_ready(decoded: Decoded, sorter: Sorter, asset_id: int) -> bool:
    """Whether what was made of a message ahead of its turn still holds; only packs of nothing but readings were."""
    ready = decoded.ready
    return isinstance(ready, Ready) and ready.sorter is sorter and ready.asset_id == asset_id


def _tell(batch: Batch, stored: Stored) -> Mapping[str, int]:
    """Log what could not be stored, a line for each reason; returns how much it was by reason."""
    log.debug("stored %s", stored)
    if not stored.dead_letters:
        return {}
    letters = [(letter.delivery, letter.problem) for letter in batch.dead_letters]
    letters += [(message.delivery, problem) for message in batch.messages for problem in message.problems]
    reasons = Counter(problem.reason for _, problem in letters)
    for reason, count in reasons.items():
        delivery, problem = next(letter for letter in letters if letter[1].reason == reason)
        log.warning(
            "%d × %s to the dead letters; one is %s on %s: %s",
            count, reason, delivery.identity, delivery.topic, problem.detail[:200],
            extra={**about(delivery), "reason": reason, "count": count},
        )  # fmt: skip
    return reasons


def about(delivery: Delivery) -> dict[str, str]:
    """Which message a log line is about."""
    return {"identity": str(delivery.identity), "topic": delivery.topic}
