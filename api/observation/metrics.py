"""What the API counts, for Prometheus."""

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from careloop.observability.metrics import SECONDS

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OUTBOX_STATES = ("pending", "sending", "unconfirmed", "dead")


class ApiMetrics:
    """The API's metrics.

    Args:
        registry: That they are shown from.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.in_progress = Gauge(
            "careloop_api_requests_in_progress", "Requests that are being answered", registry=registry
        )
        self._requests = Counter(
            "careloop_api_requests_total",
            "Requests answered, by method, route template and HTTP status",
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "careloop_api_request_seconds",
            "How long requests took until their last byte was handed over, by method and route template",
            ["method", "route"],
            registry=registry,
            buckets=SECONDS,
        )
        self._pool = Gauge(
            "careloop_api_pool_connections",
            "Database connections, by what they do (busy, idle)",
            ["state"],
            registry=registry,
        )
        self._waiting = Gauge(
            "careloop_api_pool_requests_waiting", "Requests that wait for a database connection", registry=registry
        )
        self._outbox = Gauge(
            "careloop_api_outbox_alerts", "Alerts not sent (yet), by state", ["state"], registry=registry
        )
        self._due = Gauge(
            "careloop_api_outbox_overdue_seconds",
            "How long the longest waiting alert has been due; below 0 when none is due yet",
            registry=registry,
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered; methods that do not exist count as one."""
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def pool(self, stats: Mapping[str, int]) -> None:
        """How the pool stands, in psycopg_pool's words."""
        size, available = stats.get("pool_size", 0), stats.get("pool_available", 0)
        self._pool.labels("idle").set(available)
        self._pool.labels("busy").set(size - available)
        self._waiting.set(stats.get("requests_waiting", 0))

    def outbox(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """How the outbox stands: rows of `count_outbox`."""
        found = {row["state"]: row for row in rows}
        for state in OUTBOX_STATES:
            self._outbox.labels(state).set(found[state]["alerts"] if state in found else 0)
        self._due.set(found["pending"]["due_for_s"] if "pending" in found else 0)
