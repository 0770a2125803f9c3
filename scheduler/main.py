"""Wires and runs the scheduler; the only place here that reads a clock."""

import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler
from psycopg import Connection

from careloop.client import CareloopClient
from careloop.database.engine import connect
from careloop.database.migrations import require_migrated
from careloop.database.readiness import database_check
from careloop.errors import CareloopError
from careloop.logs import configure_logging
from careloop.observability.checks import api_check
from careloop.observability.metrics import make_registry, render_from
from careloop.observability.probes import Probes
from careloop.observability.server import serving
from careloop.observability.watchdog import Watchdog
from careloop.stepping import Answer, serve_steps
from scheduler.allocation.nightly import NightlyPlan
from scheduler.assignment import WorkingRules
from scheduler.dispatch import Dispatching
from scheduler.due import DuePlans
from scheduler.instant import Instant
from scheduler.metrics import SchedulerMetrics
from scheduler.runner import Runner
from scheduler.settings import SchedulerSettings

# In simulated time assets are registered rarely, and hundreds of steps must not read them all again.
STEP_REFRESH = timedelta(days=1)
RENEWALS_PER_LEASE = 4


def run() -> int:
    """Work until SIGTERM or Ctrl-C."""
    settings = _settings()
    with _migrated_connection(settings):
        pass
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # A tick that falls due while the one before still works is left out: that is how it is meant.
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
    ticker = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1})
    watchdog, registry = Watchdog(time.monotonic), make_registry("scheduler")
    with CareloopClient(settings.api_url, settings.api_key) as client:
        refresh_every = timedelta(seconds=settings.scheduler_refresh_s)
        runner = Runner(
            settings=settings,
            due_plans=lambda connection: DuePlans(client, connection, refresh_every),
            dispatching=_dispatching(settings, client),
            nightly_plan=_nightly_plan(settings, client),
            owner=f"{socket.gethostname()}:{os.getpid()}",
            clock=_now,
            stop=stop,
            metrics=SchedulerMetrics(registry),
            monotonic=time.monotonic,
            heartbeat=watchdog.loop("ticker", settings.stalled_after_s),
        )
        checks = {
            "database": database_check(settings.database_url, "scheduler"),
            "api": api_check(settings.api_url),
            "leadership": lambda: "leader" if runner.leads else "standby",
        }
        probes = Probes("scheduler", watchdog, checks, time.monotonic)
        ticker.add_job(runner.tick, "interval", seconds=settings.scheduler_tick_s, misfire_grace_time=None)
        renewal_s = settings.scheduler_lease_s / RENEWALS_PER_LEASE
        ticker.add_job(runner.renew, "interval", seconds=renewal_s, misfire_grace_time=None)
        ticker.start()
        try:
            with serving(settings.metrics_host, settings.metrics_port, probes, render_from(registry)):
                stop.wait()
        finally:
            ticker.shutdown(wait=True)
            runner.close()
    return 0


def allocate() -> int:
    """Plan all open demand for parts once, now, and say what came of it."""
    settings = _settings()
    with CareloopClient(settings.api_url, settings.api_key) as client:
        planned = _nightly_plan(settings, client).run(Instant(_now(), simulated=False))
    print(json.dumps(asdict(planned)))
    return 0


def run_steps() -> int:
    """Do what is due as of the times that a conductor gives on standard input; claims and leadership are not needed.

    The conductor starts one scheduler and waits for every answer, so nobody competes.
    """
    settings = _settings()
    with _migrated_connection(settings) as connection, CareloopClient(settings.api_url, settings.api_key) as client:
        due_plans = DuePlans(client, connection, STEP_REFRESH)
        dispatching = _dispatching(settings, client)

        def advance(now: datetime, _request: Mapping[str, Any]) -> Answer:
            instant = Instant(now, simulated=True)
            made = due_plans.run(instant, _never)
            tally = dispatching.run(instant, _never)
            return {
                "jobs_created": made + tally.jobs_created,
                "parts_reserved": tally.parts_reserved,
                "jobs_dispatched": tally.jobs_dispatched,
                "jobs_waiting": tally.jobs_waiting,
            }

        serve_steps(sys.stdin, sys.stdout, {"advance": advance})
    return 0


def _now() -> datetime:
    return datetime.now(UTC)


def _never() -> bool:
    return False


def _settings() -> SchedulerSettings:
    settings = SchedulerSettings()
    configure_logging(settings.log_level, settings.log_format, process="scheduler")
    if not settings.api_key:
        raise CareloopError(
            "CARELOOP_API_KEY is empty; make a key: careloop api-key create --name scheduler --role service"
        )
    return settings


def _dispatching(settings: SchedulerSettings, client: CareloopClient) -> Dispatching:
    rules = WorkingRules(
        opens=settings.scheduler_work_opens,
        closes=settings.scheduler_work_closes,
        notice=timedelta(minutes=settings.scheduler_notice_minutes),
        horizon_days=settings.scheduler_horizon_days,
    )
    return Dispatching(client, rules, timedelta(seconds=settings.scheduler_ask_again_s))


def _nightly_plan(settings: SchedulerSettings, client: CareloopClient) -> NightlyPlan:
    return NightlyPlan(
        client, time_limit_s=settings.scheduler_allocation_limit_s, gap=settings.scheduler_allocation_gap
    )


def _migrated_connection(settings: SchedulerSettings) -> Connection[Any]:
    connection = connect(settings.database_url, application_name="careloop scheduler")
    try:
        require_migrated(connection)
    except BaseException:
        connection.close()
        raise
    return connection
