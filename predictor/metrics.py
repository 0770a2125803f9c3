"""What the predictor counts, for Prometheus."""

from collections.abc import Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from careloop.observability.metrics import LONG_SECONDS


class PredictorMetrics:
    """The predictor's metrics.

    Args:
        registry: That they are shown from.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._runs = Counter(
            "careloop_predictor_runs_total", "Duties done, by duty and result", ["duty", "result"], registry=registry
        )
        self._seconds = Histogram(
            "careloop_predictor_run_seconds",
            "How long duties took, by duty",
            ["duty"],
            registry=registry,
            buckets=LONG_SECONDS,
        )
        self._tickets = Counter(
            "careloop_predictor_tickets_opened_total", "Tickets opened, by duty", ["duty"], registry=registry
        )
        self._assets = Gauge(
            "careloop_predictor_assets_scored", "Assets scored at the latest scoring", registry=registry
        )
        self._models = Gauge("careloop_predictor_models", "Models in use", registry=registry)
        self._oldest_model = Gauge(
            "careloop_predictor_oldest_model_timestamp_seconds",
            "As of when the oldest model in use was trained; 0 without models",
            registry=registry,
        )

    def ran(self, duty: str, seconds: float, *, succeeded: bool) -> None:
        """A duty ended."""
        self._runs.labels(duty, "done" if succeeded else "failed").inc()
        self._seconds.labels(duty).observe(seconds)

    def opened(self, duty: str, tickets: int) -> None:
        """A duty opened so many tickets."""
        self._tickets.labels(duty).inc(tickets)

    def scored(self, assets: int) -> None:
        """So many assets were scored."""
        self._assets.set(assets)

    def uses(self, trained_as_of: Sequence[datetime]) -> None:
        """These are the times that the models in use were trained as of."""
        self._models.set(len(trained_as_of))
        self._oldest_model.set(min(trained_as_of).timestamp() if trained_as_of else 0)
