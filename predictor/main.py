"""Wires and runs the predictor; the only place here that reads a clock."""

import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from psycopg import Connection
from psycopg.rows import DictRow

from careloop.client import CareloopClient, ProblemError
from careloop.database.engine import connect
from careloop.database.migrations import require_migrated
from careloop.database.readiness import database_check
from careloop.errors import CareloopError
from careloop.logs import configure_logging, log_context
from careloop.observability.checks import api_check
from careloop.observability.metrics import make_registry, render_from
from careloop.observability.probes import Probes
from careloop.observability.server import serving
from careloop.observability.watchdog import Watchdog
from careloop.stepping import Answer, serve_steps
from predictor.forecaster import Forecaster
from predictor.metrics import PredictorMetrics
from predictor.network import Network, Told
from predictor.settings import PredictorSettings

log = logging.getLogger(__name__)

# Readings of the last minutes before the full hour may still be on their way.
SETTLING = timedelta(minutes=2)
TICK_S = 5.0
# Training on years of a large fleet takes long; longer than this it hangs.
DUTY_WITHIN_S = 12 * 3600.0


class Database:
    """One connection, made anew when it has broken."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: Connection[DictRow] | None = None

    def __call__(self) -> Connection[DictRow]:
        """The connection; a new one when the last is closed or broken."""
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._database_url, application_name="careloop predictor")
        return self._connection

    def close(self) -> None:
        """Close it; safe to call twice."""
        if self._connection is not None:
            self._connection.close()


def run(overrides: Mapping[str, Any]) -> int:
    """Work until SIGTERM or Ctrl-C."""
    settings = _settings(overrides)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database = Database(settings.database_url)
    try:
        require_migrated(database())
        with CareloopClient(settings.api_url, settings.api_key, tells_time=False) as client:
            watchdog, registry = Watchdog(time.monotonic), make_registry("predictor")
            checks = {
                "database": database_check(settings.database_url, "predictor"),
                "api": api_check(settings.api_url),
            }
            probes = Probes("predictor", watchdog, checks, time.monotonic)
            with serving(settings.metrics_host, settings.metrics_port, probes, render_from(registry)):
                forecaster = Forecaster(settings, database, client)
                network = Network(database, client)
                metrics = PredictorMetrics(registry)
                duties = _Duties(forecaster, network, metrics, watchdog, settings)
                _tick(settings, duties, stop)
    finally:
        database.close()
    return 0


def _tick(settings: PredictorSettings, duties: "_Duties", stop: threading.Event) -> None:
    """Do each duty at its times, one after another, until told to stop."""
    # One worker: training, scoring and sweeping share what is kept in memory. Another shows that the ticker ticks.
    ticker = BackgroundScheduler(
        timezone=UTC,
        executors={"default": ThreadPoolExecutor(1), "ticks": ThreadPoolExecutor(1)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )

    def add(name: str, duty: Callable[[datetime], object], every_hours: int, first: datetime) -> None:
        ticker.add_job(
            duties.do, "interval", args=(name, duty), hours=every_hours, next_run_time=first, start_date=first
        )

    started = _now()
    next_hour = started.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1) + SETTLING
    midnight = started.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1) + SETTLING
    ticker.add_job(duties.tick, "interval", seconds=TICK_S, executor="ticks")
    ticker.add_job(duties.do, "date", args=("first training", duties.first_train), run_date=started)
    add("training", duties.train, settings.predictor_train_every_hours, midnight)
    add("scoring", duties.score, settings.predictor_score_every_hours, next_hour)
    add("warranty sweep", duties.sweep_warranties, 24, started)
    add("demand of parts", duties.foresee_demand, settings.predictor_demand_every_hours, midnight)
    ticker.start()
    log.info("scoring every %d h, next at %s", settings.predictor_score_every_hours, next_hour.isoformat())
    try:
        stop.wait()
    finally:
        ticker.shutdown(wait=True)


class _Duties:
    """What is done at the ticks, watched and counted."""

    def __init__(
        self,
        forecaster: Forecaster,
        network: Network,
        metrics: PredictorMetrics,
        watchdog: Watchdog,
        settings: PredictorSettings,
    ) -> None:
        self._forecaster = forecaster
        self._network = network
        self._review_days = settings.predictor_review_days
        self._metrics = metrics
        self._ticker = watchdog.loop("ticker", settings.stalled_after_s)
        self._duty = watchdog.loop("duty", DUTY_WITHIN_S)
        self._duty.rest()

    def tick(self) -> None:
        """Show that the ticker ticks."""
        self._ticker.beat()

    def first_train(self, now: datetime) -> str:
        """Train when there is no model yet."""
        return "there are models" if self._forecaster.has_models(now) else self.train(now)

    def train(self, now: datetime) -> str:
        """Train all models."""
        models, reasons = self._forecaster.train(now)
        return f"{models} models, {len(reasons)} components without"

    def score(self, now: datetime) -> str:
        """Score all assets."""
        assets, opened = self._forecaster.score(now)
        self._metrics.scored(assets)
        self._metrics.opened("scoring", opened)
        return f"{assets} assets, {opened} tickets opened"

    def sweep_warranties(self, now: datetime) -> str:
        """Announce warranties that end."""
        opened = self._forecaster.sweep_warranties(now)
        self._metrics.opened("warranty sweep", opened)
        return f"{opened} tickets opened"

    def foresee_demand(self, now: datetime) -> str:
        """Forecast the demand of parts, and tell the API."""
        told = self._network.foresee(now, self._review_days)
        return f"forecast {told.forecast_id} of {told.lines} parts × warehouses"

    def do(self, name: str, duty: Callable[[datetime], str]) -> None:
        """Do a duty; one that fails is logged and done again at its next time."""
        began_s, succeeded = time.monotonic(), False
        self._duty.beat()
        try:
            with log_context(duty=name):
                log.info("%s: %s", name, duty(_now()))
            succeeded = True
        except (CareloopError, ProblemError) as error:
            log.warning("%s failed: %s", name, error)
        except psycopg.OperationalError as error:
            log.warning("%s failed, the database does not answer: %s", name, error)
        finally:
            self._duty.rest()
            self._metrics.ran(name, time.monotonic() - began_s, succeeded=succeeded)
            self._metrics.uses(self._forecaster.trained_as_of)


def run_steps(overrides: Mapping[str, Any]) -> int:
    """Train, score and sweep as of the times that a conductor gives on standard input."""
    settings = _settings(overrides)
    database = Database(settings.database_url)
    try:
        require_migrated(database())
        with CareloopClient(settings.api_url, settings.api_key) as client:
            forecaster = Forecaster(settings, database, client)

            def train(now: datetime, _request: Mapping[str, Any]) -> Answer:
                models, reasons = forecaster.train(now)
                return {"models": models, "without_model": reasons}

            def score(now: datetime, _request: Mapping[str, Any]) -> Answer:
                assets, opened = forecaster.score(now)
                return {"assets": assets, "tickets_opened": opened}

            def warranty(now: datetime, _request: Mapping[str, Any]) -> Answer:
                return {"tickets_opened": forecaster.sweep_warranties(now)}

            network = Network(database, client)

            def demand(now: datetime, _request: Mapping[str, Any]) -> Answer:
                return _words(network.foresee(now, settings.predictor_review_days))

            duties = {"train": train, "score": score, "warranty": warranty, "demand": demand}
            serve_steps(sys.stdin, sys.stdout, duties)
    finally:
        database.close()
    return 0


def forecast_parts(overrides: Mapping[str, Any], *, as_json: bool) -> int:
    """Forecast the demand of parts once, as of now, and say what was told."""
    settings = _settings(overrides)
    database = Database(settings.database_url)
    try:
        require_migrated(database())
        with CareloopClient(settings.api_url, settings.api_key, tells_time=False) as client:
            told = Network(database, client).foresee(_now(), settings.predictor_review_days)
    except ProblemError as error:
        raise CareloopError(f"the API refused: {error}") from error
    finally:
        database.close()
    if as_json:
        print(json.dumps(_words(told), indent=2))
    else:
        sources = ", ".join(f"{pieces:.1f} {name.replace('_', ' ')}" for name, pieces in told.pieces.items())
        print(f"forecast {told.forecast_id}: {told.lines} parts × warehouses, expected pieces {sources}")
        print("propose what to keep for it: POST /v1/stocking/runs")
    return 0


def _words(told: Told) -> dict[str, Any]:
    pieces = {name: round(expected, 6) for name, expected in told.pieces.items()}
    return {"forecast_id": told.forecast_id, "lines": told.lines, **pieces}


def _now() -> datetime:
    return datetime.now(UTC)


def _settings(overrides: Mapping[str, Any]) -> PredictorSettings:
    settings = PredictorSettings(**overrides)
    configure_logging(settings.log_level, settings.log_format, process="predictor")
    if not settings.api_key:
        raise CareloopError(
            "CARELOOP_API_KEY is empty; make a key: careloop api-key create --name predictor --role service"
        )
    return settings
