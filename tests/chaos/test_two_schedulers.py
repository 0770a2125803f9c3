"""Two live schedulers, killed again and again while plans fall due: every occurrence gets exactly one job."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from careloop.database.engine import connect

# `CARELOOP_CHAOS_KILLS=100` for the long run; every kill costs about a second.
KILLS = int(os.environ.get("CARELOOP_CHAOS_KILLS", "8"))
ASSETS = 6
# Fewer than jobs, so that some wait for the part.
STOCK = 30
QUICK = {
    "CARELOOP_SCHEDULER_PLANS_EVERY_S": "0.2",
    "CARELOOP_SCHEDULER_DISPATCH_EVERY_S": "0.3",
    "CARELOOP_SCHEDULER_TICK_S": "0.1",
    "CARELOOP_SCHEDULER_LEASE_S": "1",
}


class Pair:
    """Two schedulers over one API and one database."""

    def __init__(self, api: Any, directory: Path, environment: dict[str, str]) -> None:
        self._environment = {
            **os.environ,
            "CARELOOP_DATABASE_URL": api.database_url,
            "CARELOOP_API_URL": api.url,
            "CARELOOP_API_KEY": api.keys["service"],
            # SIGABRT makes a process write down what each of its threads is doing.
            "PYTHONFAULTHANDLER": "1",
            **environment,
        }
        self._directory = directory
        self.processes = [self._start(0), self._start(1)]

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        with (self._directory / f"scheduler-{number}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "careloop", "scheduler", "run"], env=self._environment, stderr=log
            )

    def kill_and_restart(self, number: int) -> None:
        self.processes[number].kill()
        self.processes[number].wait(10)
        self.processes[number] = self._start(number)

    def evidence(self) -> str:
        """What each process said last, and what it is doing; ends them."""
        parts = []
        for number, process in enumerate(self.processes):
            status = process.poll()
            process.send_signal(signal.SIGABRT)
            process.wait(10)
            log = (self._directory / f"scheduler-{number}.log").read_text()
            parts.append(f"scheduler {number}, exit status {status}:\n{log[-6000:]}")
        return "\n".join(parts)

    def stop(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


@pytest.fixture
def connection(api: Any) -> Iterator[Connection]:
    with connect(api.database_url) as connection:
        yield connection


@pytest.fixture
def start_pair(api: Any, tmp_path: Path) -> Iterator[Callable[[dict[str, str]], Pair]]:
    pairs: list[Pair] = []

    def start(environment: dict[str, str]) -> Pair:
        pairs.append(Pair(api, tmp_path, environment))
        return pairs[-1]

    yield start
    for pair in pairs:
        pair.stop()


def wait_until(happened: Callable[[], bool], pair: Pair, what: str, seconds: float = 30) -> float:
    begun = time.monotonic()
    while not happened():
        if time.monotonic() > begun + seconds:
            pytest.fail(f"not within {seconds} s: {what}\n{pair.evidence()}")
        time.sleep(0.02)
    return time.monotonic() - begun


def prepare(connection: Connection, begins: datetime) -> None:
    """Machines whose monthly service falls due one after the other from `begins` on, and a plan by running hours."""
    day = timedelta(days=30)
    with connection.transaction():
        connection.execute("INSERT INTO service.product_model (code, name, kind) VALUES ('m', 'M', 'm')")
        connection.execute("INSERT INTO service.site (name, territory) VALUES ('s', 'north')")
        connection.execute(
            "INSERT INTO service.asset (serial, model_id, site_id, installed_at, created_at) "
            "SELECT 'A' || n, model_id, site_id, %(installed)s + n * interval '1.5 s', %(installed)s "
            "FROM service.product_model, service.site, generate_series(1, %(assets)s) n",
            {"installed": begins - day, "assets": ASSETS},
        )
        connection.execute("INSERT INTO service.metric (name) VALUES ('running_hours')")
        connection.execute("INSERT INTO service.part (sku, name) VALUES ('filter', 'Filter')")
        connection.execute(
            "INSERT INTO service.warehouse (code, name, kind, territory) VALUES ('w', 'W', 'van', 'north')"
        )
        connection.execute(
            "INSERT INTO service.stock SELECT warehouse_id, part_id, 30 FROM service.warehouse, service.part"
        )
        connection.execute(
            "INSERT INTO service.technician (name, skills, territories) VALUES ('Ada', '{general}', '{north}')"
        )
        connection.execute(
            "INSERT INTO service.plan "
            "(name, model_id, trigger_kind, every_days, meter_metric, every_meter, labour_minutes, created_at) "
            "SELECT n, model_id, k, d, m, e, 30, %s FROM service.product_model, "
            "(VALUES ('by calendar', 'calendar', 30, NULL, NULL), ('by meter', 'meter', NULL, 'running_hours', 100)) "
            "v (n, k, d, m, e)",
            (begins,),
        )
        connection.execute("INSERT INTO service.plan_part SELECT plan_id, part_id, 1 FROM service.plan, service.part")
        connection.execute(
            "INSERT INTO telemetry.metric (name, learned, first_seen_at) VALUES ('running_hours', false, %s)", (begins,)
        )


def report_running_hours(connection: Connection, hours: float) -> None:
    now = datetime.now(UTC)
    connection.execute("SELECT telemetry.ensure_reading_day(%s)", (now.date(),))
    connection.execute(
        "INSERT INTO telemetry.reading SELECT %s, asset_id, metric_id, %s FROM service.asset, telemetry.metric",
        (now, hours),
    )


def count(connection: Connection, statement: str, *parameters: object) -> int:
    row = connection.execute(statement, parameters).fetchone()
    return next(iter(row.values()))


def test_every_occurrence_gets_exactly_one_job_whoever_is_killed(
    connection: Connection, start_pair: Callable[[dict[str, str]], Pair]
) -> None:
    dice = random.Random(7266)
    prepare(connection, datetime.now(UTC) + timedelta(seconds=1))
    pair = start_pair(QUICK)
    for round_number in range(1, KILLS + 1):
        report_running_hours(connection, 100.0 * round_number)
        time.sleep(dice.uniform(0, 0.6))
        pair.kill_and_restart(dice.randrange(2))
        wait_until(
            lambda number=round_number: (
                count(connection, "SELECT count(*) FROM service.job WHERE occurrence = %s AND plan_id = 2", number)
                == ASSETS
            ),
            pair,
            f"jobs of occurrence {round_number}",
        )
    wait_until(
        lambda: count(connection, "SELECT count(*) FROM service.job WHERE plan_id = 1") == ASSETS,
        pair,
        "jobs by calendar",
    )
    expected = {(1, asset, 1) for asset in range(1, ASSETS + 1)}
    expected |= {(2, asset, number) for asset in range(1, ASSETS + 1) for number in range(1, KILLS + 1)}
    made = [
        (row["plan_id"], row["asset_id"], row["occurrence"])
        for row in connection.execute("SELECT plan_id, asset_id, occurrence FROM service.job")
    ]
    assert len(made) == len(set(made))
    assert set(made) == expected

    wait_until(
        lambda: count(connection, "SELECT count(*) FROM service.job WHERE state = 'open'") == 0,
        pair,
        "all jobs accounted for",
    )
    supplied = min(STOCK, len(made))
    # What the kills left half done was completed and not doubled: each part kept once, each technician in one place.
    assert count(connection, "SELECT reserved FROM service.stock") == supplied
    assert count(connection, "SELECT count(*) FROM service.reservation WHERE state = 'reserved'") == supplied
    assert count(connection, "SELECT count(*) FROM service.job WHERE state = 'dispatched'") == supplied
    assert count(connection, "SELECT count(*) FROM service.visit WHERE state = 'planned'") == supplied
    overlapping = (
        "SELECT count(*) FROM service.visit a JOIN service.visit b ON a.visit_id < b.visit_id "
        "AND a.technician_id = b.technician_id AND a.starts_at < b.ends_at AND b.starts_at < a.ends_at"
    )
    assert count(connection, overlapping) == 0


def test_the_follower_takes_over_within_five_seconds(
    connection: Connection, start_pair: Callable[[dict[str, str]], Pair]
) -> None:
    # With the settings as they ship, but duties due so often that a takeover shows.
    pair = start_pair({"CARELOOP_SCHEDULER_PLANS_EVERY_S": "0.5", "CARELOOP_SCHEDULER_DISPATCH_EVERY_S": "0.5"})
    finished = "SELECT count(*) FROM scheduling.duty_run WHERE finished_at IS NOT NULL AND error IS NULL"
    wait_until(lambda: count(connection, finished) >= 3, pair, "runs")
    owners = {row["owner"] for row in connection.execute("SELECT DISTINCT owner FROM scheduling.duty_run")}
    assert len(owners) == 1, "both worked at once"
    leader = next(
        one for one in pair.processes if owners == {row_owner for row_owner in owners if str(one.pid) in row_owner}
    )
    by_another = finished + " AND owner <> ALL(%s)"
    leader.kill()
    leader.wait(10)
    took = wait_until(lambda: count(connection, by_another, list(owners)) >= 2, pair, "takeover")
    assert took < 5, f"handover took {took:.1f} s"


def test_a_database_that_goes_away_for_a_moment_is_found_again(
    connection: Connection, start_pair: Callable[[dict[str, str]], Pair]
) -> None:
    pair = start_pair(QUICK)
    finished = "SELECT count(*) FROM scheduling.duty_run WHERE finished_at IS NOT NULL AND error IS NULL"
    wait_until(lambda: count(connection, finished) >= 3, pair, "runs")
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name LIKE 'careloop scheduler%'"
    )
    done = count(connection, finished)
    wait_until(lambda: count(connection, finished) >= done + 5, pair, "more runs", 10)
    assert all(process.poll() is None for process in pair.processes)


def test_it_ends_cleanly_when_told_to(connection: Connection, start_pair: Callable[[dict[str, str]], Pair]) -> None:
    pair = start_pair(QUICK)
    wait_until(lambda: count(connection, "SELECT count(*) FROM scheduling.duty_run") >= 3, pair, "runs")
    for process in pair.processes:
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    assert count(connection, "SELECT count(*) FROM scheduling.duty WHERE lease_until IS NOT NULL") == 0
