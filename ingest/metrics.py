"""What ingest counts, for Prometheus: once a batch, never once a message."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from careloop.observability.metrics import SECONDS, counted_elsewhere

if TYPE_CHECKING:
    from datetime import datetime

MESSAGES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
# From live readings to those that a device kept for weeks.
AGES_S = (0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0, 21600.0, 86400.0, 604800.0, 2592000.0)


class Changed(Protocol):
    """What a transaction changed, as `ingest.store.Stored` says it."""

    @property
    def messages(self) -> int:
        """New messages."""

    @property
    def duplicates(self) -> int:
        """Messages known already."""

    @property
    def readings(self) -> int:
        """Readings stored."""

    @property
    def events(self) -> int:
        """Events stored."""


class IngestMetrics:
    """Ingest's metrics.

    Args:
        registry: That they are shown from.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._messages = Counter(
            "careloop_ingest_messages_total",
            "Messages committed, by kind: new ones, and duplicates that changed nothing",
            ["kind"],
            registry=registry,
        )
        self._new, self._duplicates = self._messages.labels("new"), self._messages.labels("duplicate")
        self._readings = Counter("careloop_ingest_readings_total", "Readings committed", registry=registry)
        self._events = Counter("careloop_ingest_events_total", "Events committed", registry=registry)
        self._dead_letters = Counter(
            "careloop_ingest_dead_letters_total",
            "Messages and parts of messages that could not be stored, by reason",
            ["reason"],
            registry=registry,
        )
        self._batch_messages = Histogram(
            "careloop_ingest_batch_messages", "Messages in a transaction", registry=registry, buckets=MESSAGES
        )
        self._commit_seconds = Histogram(
            "careloop_ingest_commit_seconds",
            "From the start of validation to the end of the commit of a transaction",
            registry=registry,
            buckets=SECONDS,
        )
        self._receive_lag = Histogram(
            "careloop_ingest_receive_lag_seconds",
            "From the arrival of a transaction's first message to its commit",
            registry=registry,
            buckets=SECONDS,
        )
        self._reading_age = Histogram(
            "careloop_ingest_reading_age_seconds",
            "From the latest reading of a transaction's last message to its commit: how far behind the devices are",
            registry=registry,
            buckets=AGES_S,
        )
        self._last_commit = Gauge(
            "careloop_ingest_last_commit_timestamp_seconds", "When a transaction was committed last", registry=registry
        )
        self._database_failures = Counter(
            "careloop_ingest_database_failures_total",
            "Times that a transaction failed for the database's sake and was tried again",
            registry=registry,
        )
        self._maintenance = Counter(
            "careloop_ingest_maintenance_runs_total",
            "Runs of maintenance (rollups, retention, replays asked for), by result",
            ["result"],
            registry=registry,
        )
        self._rollups_due = Gauge(
            "careloop_ingest_rollups_due_hours",
            "Hours whose rollups are out of date; on TimescaleDB the current hour always is",
            registry=registry,
        )

    def watch(
        self,
        *,
        inbox_messages: Callable[[], float],
        unacknowledged: Callable[[], float],
        connected: Callable[[], float],
        payload_bytes: Callable[[], float],
        refused: Callable[[], float],
        confirmed: Callable[[], float],
        connections: Callable[[], float],
    ) -> None:
        """Take, at each scrape, what others count anyway."""
        for name, text, read in (
            ("careloop_ingest_inbox_messages", "Messages that wait for a transaction", inbox_messages),
            (
                "careloop_ingest_unacknowledged_messages",
                "Messages received and not yet acknowledged to the broker",
                unacknowledged,
            ),
            ("careloop_ingest_broker_connected", "1 while connected to the broker", connected),
        ):
            Gauge(name, text, registry=self._registry).set_function(read)
        for name, text, read in (
            ("careloop_ingest_payload_bytes_total", "Payload bytes taken into transactions", payload_bytes),
            ("careloop_ingest_refused_qos0_total", "QoS 0 messages lost because the inbox was full", refused),
            ("careloop_ingest_confirmations_total", "Messages confirmed as stored to their senders", confirmed),
            ("careloop_ingest_broker_connections_total", "Connections made to the broker", connections),
        ):
            counted_elsewhere(self._registry, name, text, read)

    def committed(
        self, messages: int, changed: Changed, *, seconds: float, receive_lag_s: float, now: "datetime"
    ) -> None:
        """A batch was committed."""
        self._new.inc(changed.messages)
        self._duplicates.inc(changed.duplicates)
        self._readings.inc(changed.readings)
        self._events.inc(changed.events)
        self._batch_messages.observe(messages)
        self._commit_seconds.observe(seconds)
        self._receive_lag.observe(receive_lag_s)
        self._last_commit.set(now.timestamp())

    def reading_age(self, seconds: float) -> None:
        """So old was the latest reading of a batch's last message."""
        self._reading_age.observe(max(seconds, 0.0))

    def lost(self, reasons: Mapping[str, int]) -> None:
        """So much went to the dead letters, by reason."""
        for reason, count in reasons.items():
            self._dead_letters.labels(reason).inc(count)

    def database_failed(self) -> None:
        """A transaction is tried again."""
        self._database_failures.inc()

    def maintained(self, *, succeeded: bool) -> None:
        """Maintenance ran."""
        self._maintenance.labels("done" if succeeded else "failed").inc()

    def rollups_due(self, hours: int) -> None:
        """The rollups of so many hours are out of date."""
        self._rollups_due.set(hours)
