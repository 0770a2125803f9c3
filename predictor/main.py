"""Wires and runs the predictor; the only place here that reads a clock."""

import logging
import signal
import sys
import threading
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
from careloop.errors import CareloopError
from careloop.logs import configure_logging
from careloop.stepping import Answer, serve_steps
from predictor.forecaster import Forecaster
from predictor.settings import PredictorSettings

log = logging.getLogger(__name__)

# Readings of the last minutes before the full hour may still be on their way.
SETTLING = timedelta(minutes=2)


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
        with CareloopClient(settings.api_url, settings.api_key) as client:
            _tick(settings, Forecaster(settings, database, client), stop)
    finally:
        database.close()
    return 0


def _tick(settings: PredictorSettings, forecaster: Forecaster, stop: threading.Event) -> None:
    """Do each duty at its times, one after another, until told to stop."""
    # One worker: training, scoring and sweeping share what is kept in memory.
    ticker = BackgroundScheduler(
        timezone=UTC,
        executors={"default": ThreadPoolExecutor(1)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )

    def add(name: str, duty: Callable[[datetime], object], every_hours: int, first: datetime) -> None:
        ticker.add_job(
            _guarded, "interval", args=(name, duty), hours=every_hours, next_run_time=first, start_date=first
        )

    def first_train(now: datetime) -> None:
        if not forecaster.has_models(now):
            forecaster.train(now)

    started = _now()
    next_hour = started.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1) + SETTLING
    midnight = started.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1) + SETTLING
    ticker.add_job(_guarded, "date", args=("first training", first_train), run_date=started)
    add("training", forecaster.train, settings.predictor_train_every_hours, midnight)
    add("scoring", forecaster.score, settings.predictor_score_every_hours, next_hour)
    add("warranty sweep", forecaster.sweep_warranties, 24, started)
    ticker.start()
    log.info("scoring every %d h, next at %s", settings.predictor_score_every_hours, next_hour.isoformat())
    try:
        stop.wait()
    finally:
        ticker.shutdown(wait=True)


def _guarded(name: str, duty: Callable[[datetime], object]) -> None:
    """Do a duty; one that fails is logged and done again at its next time."""
    try:
        log.info("%s: %s", name, duty(_now()))
    except (CareloopError, ProblemError) as error:
        log.warning("%s failed: %s", name, error)
    except psycopg.OperationalError as error:
        log.warning("%s failed, the database does not answer: %s", name, error)


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

            serve_steps(sys.stdin, sys.stdout, {"train": train, "score": score, "warranty": warranty})
    finally:
        database.close()
    return 0


def _now() -> datetime:
    return datetime.now(UTC)


def _settings(overrides: Mapping[str, Any]) -> PredictorSettings:
    settings = PredictorSettings(**overrides)
    configure_logging(settings.log_level)
    if not settings.api_key:
        raise CareloopError(
            "CARELOOP_API_KEY is empty; make a key: careloop api-key create --name predictor --role service"
        )
    return settings
