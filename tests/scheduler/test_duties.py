"""Each due time of a duty is worked once, whoever works it."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time

import pytest
from psycopg import Connection

from careloop.database.engine import connect
from scheduler.duties import Duties

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LONG = timedelta(minutes=5)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as connection:
        yield connection


def runs(connection: Connection) -> list[tuple]:
    rows = connection.execute("SELECT due_at, owner, finished_at, error FROM scheduling.duty_run ORDER BY due_at")
    return [tuple(row.values()) for row in rows]


def test_a_duty_is_due_at_once_and_then_every_interval(connection: Connection) -> None:
    duties = Duties(connection, "one", LONG)
    duties.ensure("d", MINUTE, NOON)
    first = duties.claim(["d"], NOON)
    assert first is not None
    assert first.due_at == NOON
    assert duties.finish(first, NOON)
    assert duties.claim(["d"], NOON + MINUTE - timedelta(microseconds=1)) is None
    second = duties.claim(["d"], NOON + MINUTE)
    assert second is not None
    assert second.due_at == NOON + MINUTE


def test_missed_runs_coalesce_into_one(connection: Connection) -> None:
    duties = Duties(connection, "one", LONG)
    duties.ensure("d", MINUTE, NOON)
    late = NOON + timedelta(minutes=59, seconds=30)
    claim = duties.claim(["d"], late)
    assert claim is not None
    assert duties.finish(claim, late)
    assert duties.claim(["d"], late) is None
    following = duties.claim(["d"], NOON + timedelta(hours=1))
    assert following is not None
    assert following.due_at == NOON + timedelta(hours=1)
    assert len(runs(connection)) == 2


def test_a_duty_under_way_is_nobody_elses(connection: Connection) -> None:
    duties = Duties(connection, "one", LONG)
    duties.ensure("d", MINUTE, NOON)
    assert duties.claim(["d"], NOON) is not None
    assert Duties(connection, "two", LONG).claim(["d"], NOON + timedelta(hours=9)) is None


def test_a_dead_owners_run_is_taken_over_when_its_lease_ends_and_the_fence_keeps_the_dead_out(
    connection: Connection,
) -> None:
    slow, quick = Duties(connection, "slow", timedelta(milliseconds=50)), Duties(connection, "quick", LONG)
    slow.ensure("d", MINUTE, NOON)
    lost = slow.claim(["d"], NOON)
    assert lost is not None
    assert slow.renew(lost)
    time.sleep(0.06)
    taken = quick.claim(["d"], NOON + timedelta(seconds=1))
    assert taken is not None
    assert (taken.due_at, taken.fence) == (lost.due_at, lost.fence + 1)
    assert not slow.renew(lost)
    assert not slow.finish(lost, NOON + timedelta(seconds=2))
    assert runs(connection) == [(NOON, "quick", None, None)]
    assert quick.finish(taken, NOON + timedelta(seconds=3))
    assert runs(connection) == [(NOON, "quick", NOON + timedelta(seconds=3), None)]


def test_a_renewal_just_after_the_end_does_not_bring_the_lease_back(connection: Connection) -> None:
    # Renewals come from another thread, so one may have been on its way when the run was booked.
    duties = Duties(connection, "one", LONG)
    duties.ensure("d", MINUTE, NOON)
    claim = duties.claim(["d"], NOON)
    assert claim is not None
    assert duties.finish(claim, NOON)
    assert not duties.renew(claim)
    assert Duties(connection, "two", LONG).claim(["d"], NOON + MINUTE) is not None


def test_a_run_that_was_finished_is_never_repeated(connection: Connection) -> None:
    duties = Duties(connection, "one", LONG)
    duties.ensure("d", MINUTE, NOON)
    claim = duties.claim(["d"], NOON)
    assert claim is not None
    duties.finish(claim, NOON)
    # A restored backup of the duty alone, or a hand's edit, sets the due time back.
    connection.execute("UPDATE scheduling.duty SET next_run_at = %s", (NOON,))
    assert duties.claim(["d"], NOON + timedelta(seconds=30)) is None
    following = duties.claim(["d"], NOON + MINUTE)
    assert following is not None
    assert following.due_at == NOON + MINUTE


def test_a_failed_run_is_booked_with_its_error_and_tried_at_the_next_due_time(connection: Connection) -> None:
    duties = Duties(connection, "one", LONG)
    duties.ensure("d", MINUTE, NOON)
    claim = duties.claim(["d"], NOON)
    assert claim is not None
    duties.finish(claim, NOON, "the API does not answer")
    assert runs(connection) == [(NOON, "one", NOON, "the API does not answer")]
    assert duties.claim(["d"], NOON + MINUTE) is not None


def test_a_clock_put_back_does_not_stop_a_duty(connection: Connection) -> None:
    duties = Duties(connection, "one", LONG)
    duties.ensure("d", MINUTE, NOON + timedelta(days=1))
    claim = duties.claim(["d"], NOON)
    assert claim is not None
    assert claim.due_at == NOON
    assert duties.finish(claim, NOON)
    assert duties.claim(["d"], NOON + MINUTE) is not None


def test_a_changed_interval_takes_effect_at_once(connection: Connection) -> None:
    duties = Duties(connection, "one", LONG)
    duties.ensure("d", timedelta(days=1), NOON)
    claim = duties.claim(["d"], NOON)
    assert claim is not None
    duties.finish(claim, NOON)
    duties.ensure("d", MINUTE, NOON)
    assert duties.claim(["d"], NOON + MINUTE) is not None


def test_a_daily_duty_falls_due_at_its_time_and_a_changed_time_is_taken_over(connection: Connection) -> None:
    duties = Duties(connection, "one", LONG)
    duties.ensure_daily("d", clock_time(2), NOON)
    assert duties.claim(["d"], NOON) is None
    night = datetime(2026, 1, 2, 2, tzinfo=UTC)
    first = duties.claim(["d"], night)
    assert first is not None
    assert first.due_at == night
    assert duties.finish(first, night + MINUTE)
    duties.ensure_daily("d", clock_time(14), NOON + timedelta(days=1))
    afternoon = duties.claim(["d"], datetime(2026, 1, 2, 14, 1, tzinfo=UTC))
    assert afternoon is not None
    assert afternoon.due_at == datetime(2026, 1, 2, 14, tzinfo=UTC)


def test_other_services_duties_are_left_alone(connection: Connection) -> None:
    duties = Duties(connection, "one", LONG)
    duties.ensure("predictor.score", MINUTE, NOON)
    assert duties.claim(["d"], NOON) is None


def test_old_runs_are_forgotten(connection: Connection) -> None:
    duties = Duties(connection, "one", LONG)
    duties.ensure("d", timedelta(days=5), NOON)
    for day in (0, 5, 10):
        claim = duties.claim(["d"], NOON + timedelta(days=day))
        assert claim is not None
        duties.finish(claim, NOON + timedelta(days=day))
    assert [due_at for due_at, *_ in runs(connection)] == [NOON + timedelta(days=5), NOON + timedelta(days=10)]


def test_six_workers_work_every_due_time_exactly_once(database_url: str, connection: Connection) -> None:
    names = [f"d{number}" for number in range(5)]
    for name in names:
        Duties(connection, "setup", LONG).ensure(name, timedelta(milliseconds=100), datetime.now(UTC))
    worked: list[tuple[str, datetime]] = []
    stop = threading.Event()

    def work(owner: str) -> None:
        with connect(database_url) as own:
            duties = Duties(own, owner, LONG)
            while not stop.is_set():
                claim = duties.claim(names, datetime.now(UTC))
                if claim is None:
                    time.sleep(0.005)
                    continue
                worked.append((claim.name, claim.due_at))
                assert duties.finish(claim, datetime.now(UTC))

    with ThreadPoolExecutor(6) as pool:
        workers = [pool.submit(work, f"w{number}") for number in range(6)]
        time.sleep(1)
        stop.set()
        for worker in workers:
            worker.result(10)
    assert len(worked) == len(set(worked))
    booked = connection.execute("SELECT name, due_at FROM scheduling.duty_run WHERE finished_at IS NOT NULL").fetchall()
    assert sorted(worked) == sorted((row["name"], row["due_at"]) for row in booked)
    assert len(worked) > 20
