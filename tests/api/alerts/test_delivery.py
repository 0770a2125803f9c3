"""Delivery by real API processes to real targets: signed, retried, never twice to a file."""

import asyncio
import json
import os
import signal
import stat
import time
from datetime import UTC, datetime
from urllib.parse import quote

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from standardwebhooks import Webhook

from api.alerts.delivery import DeliveryLimits, delivering
from careloop.database.engine import connect


def add_target(database_url, url, *, name="file", secret=None) -> int:
    with connect(database_url) as connection:
        return connection.execute(
            "INSERT INTO service.alert_target (name, kind, url, secret, topics, created_at)"
            " VALUES (%s, %s, %s, %s, '{*}', now()) RETURNING target_id",
            (name, "webhook" if secret else "apprise", url, secret),
        ).fetchone()["target_id"]


@pytest.fixture
def delivered(database_url, until):
    """Deliver in this process until alerts are as wished."""

    async def run(condition, limits) -> list[dict]:
        async with (
            AsyncConnectionPool(
                database_url, connection_class=AsyncConnection, kwargs={"row_factory": dict_row}, min_size=2
            ) as pool,
            delivering(pool, limits, lambda: datetime.now(UTC)),
        ):
            return await asyncio.to_thread(until, condition)

    def deliver(condition, **limits) -> list[dict]:
        return asyncio.run(run(condition, DeliveryLimits(**limits)))

    return deliver


def all_in(*states):
    return lambda rows: rows and all(row["state"] in states for row in rows)


def causes_in(path) -> list[str]:
    return [json.loads(line)["data"]["cause"] for line in path.read_text().splitlines()]


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_file_target_gets_a_line_per_alert(database_url, announce, delivered, tmp_path) -> None:
    path = tmp_path / "mit Öl + 100%" / "alerts.jsonl"
    path.parent.mkdir()
    add_target(database_url, f"careloop-file://{quote(str(path))}")
    announce(*(f"ticket:{number}:opened" for number in range(600)))
    rows = delivered(all_in("sent"))
    assert causes_in(path) == [row["cause"] for row in rows]
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
    assert json.loads(path.read_text().splitlines()[0])["data"]["body"] == "Eine Zeile,\nnoch eine – 洗衣机"
    assert all(row["attempts"] == 1 and row["sent_at"] is not None for row in rows)


def test_a_webhook_is_signed_and_retried_under_the_same_identity(database_url, announce, delivered, receiver) -> None:
    add_target(database_url, receiver.url, secret=SECRET)
    receiver.answers = [500, 302]
    announce("ticket:1:opened")
    with connect(database_url) as connection:
        # The pauses are for real receivers; let this one be tried again at once.
        connection.execute(
            "CREATE FUNCTION pg_temp_soon() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN IF new.state = 'pending' THEN new.next_attempt_at := now(); END IF; RETURN new; END $$"
        )
        connection.execute(
            "CREATE TRIGGER soon BEFORE UPDATE ON service.alert FOR EACH ROW EXECUTE FUNCTION pg_temp_soon()"
        )
    (row,) = delivered(all_in("sent"))
    assert row["attempts"] == 3
    assert receiver.identities == ["alert_1"] * 3
    for headers, body in receiver.requests:
        event = Webhook(SECRET).verify(body, headers)
        assert (event["type"], event["id"]) == ("careloop.ticket.opened", "alert_1")
        assert headers["Content-Type"] == "application/cloudevents+json"


def test_an_alert_is_dead_after_the_last_attempt(database_url, announce, delivered, tmp_path) -> None:
    add_target(database_url, f"careloop-file://{tmp_path}/missing/alerts.jsonl")
    announce("ticket:1:opened")
    (row,) = delivered(all_in("dead"), attempts=1)
    assert row["last_error"].startswith(f"{tmp_path}/missing/alerts.jsonl: No such file or directory")


def test_a_failed_alert_waits_and_those_behind_it_do_not(database_url, announce, delivered, receiver) -> None:
    add_target(database_url, receiver.url, secret=SECRET)
    receiver.answers = [400]
    announce("ticket:1:opened", "ticket:2:opened", "ticket:3:opened")
    first, *rest = delivered(lambda rows: [row["state"] for row in rows] == ["pending", "sent", "sent"])
    assert first["last_error"] == "HTTP 400 Bad Request"
    assert 2.0 < (first["next_attempt_at"] - rest[0]["sent_at"]).total_seconds() <= 5.0
    assert [row["attempts"] for row in rest] == [1, 1]


def test_a_hanging_target_holds_up_no_other(database_url, announce, delivered, receiver, tmp_path) -> None:
    path = tmp_path / "alerts.jsonl"
    add_target(database_url, receiver.url, name="slow", secret=SECRET)
    quick = add_target(database_url, f"careloop-file://{path}")
    receiver.hold.clear()
    announce("ticket:1:opened", "ticket:2:opened")

    def quick_is_done_and_the_other_released(rows) -> bool:
        done = all(row["state"] == "sent" for row in rows if row["target_id"] == quick)
        if done:
            assert {row["state"] for row in rows if row["target_id"] != quick} == {"sending"}
            receiver.hold.set()
        return done

    delivered(quick_is_done_and_the_other_released)
    assert causes_in(path) == ["ticket:1:opened", "ticket:2:opened"]


def test_a_default_target_is_made_only_where_there_is_none(database_url, delivered, until) -> None:
    with connect(database_url) as connection:

        def targets() -> list[tuple]:
            return [(row["name"], row["url"]) for row in connection.execute("SELECT * FROM service.alert_target")]

        delivered(lambda _: targets() == [("default", "careloop-log://")])
        delivered(lambda _: True, default_url="careloop-file:///tmp/other")
        assert targets() == [("default", "careloop-log://")]


def test_an_inactive_target_gets_its_alerts_when_it_is_active_again(
    database_url, announce, delivered, receiver, tmp_path
) -> None:
    target_id = add_target(database_url, receiver.url, name="hook", secret=SECRET)
    add_target(database_url, f"careloop-file://{tmp_path}/alerts.jsonl")
    announce("ticket:1:opened")
    with connect(database_url) as connection:
        connection.execute("UPDATE service.alert_target SET active = false WHERE target_id = %s", [target_id])
        rows = delivered(lambda rows: any(row["state"] == "sent" for row in rows))
        assert [row["state"] for row in rows] == ["pending", "sent"]
        connection.execute("UPDATE service.alert_target SET active = true")
    delivered(all_in("sent"))
    assert receiver.causes == ["ticket:1:opened"]


@pytest.fixture
def two_apis(start_api) -> None:
    for _ in range(2):
        start_api(CARELOOP_ALERT_LEASE_S="60")


@pytest.mark.usefixtures("two_apis")
def test_two_api_processes_deliver_each_alert_once(database_url, announce, until, receiver, tmp_path) -> None:
    path = tmp_path / "alerts.jsonl"
    add_target(database_url, f"careloop-file://{path}")
    add_target(database_url, receiver.url, name="hook", secret=SECRET)
    causes = [f"ticket:{number}:opened" for number in range(300)]
    for first in range(0, 300, 10):
        announce(*causes[first : first + 10])
    until(lambda rows: len(rows) == 600 and all_in("sent")(rows), within_s=30)
    assert sorted(causes_in(path)) == sorted(causes)
    assert sorted(receiver.causes) == sorted(causes)


def test_a_killed_deliverer_never_sends_twice_to_a_file(database_url, announce, start_api, until, tmp_path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    add_target(database_url, f"careloop-file://{path}")
    announce("ticket:1:opened")
    process = start_api()
    until(all_in("sending"))
    with psycopg.connect(database_url) as connection:
        # It can send now, but not note it.
        connection.execute("SELECT 1 FROM service.alert FOR UPDATE")
        reader = os.open(path, os.O_RDONLY)
        assert json.loads(os.read(reader, 10_000))["id"] == "alert_1"
        process.send_signal(signal.SIGKILL)
        process.wait()
    os.close(reader)
    path.unlink()
    start_api()
    (row,) = until(all_in("unconfirmed"))
    assert "resend by hand" in row["last_error"]
    announce("ticket:2:opened")
    until(lambda rows: rows[1]["state"] == "sent")
    assert causes_in(path) == ["ticket:2:opened"]


def test_a_killed_deliverers_webhook_is_sent_again_under_the_same_identity(
    database_url, announce, start_api, until, receiver
) -> None:
    add_target(database_url, receiver.url, secret=SECRET)
    announce("ticket:1:opened", "ticket:2:opened")
    receiver.hold.clear()
    process = start_api()
    until(lambda _: len(receiver.requests) == 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    receiver.hold.set()
    start_api()
    until(all_in("sent"))
    assert receiver.identities == ["alert_1", "alert_1", "alert_2"]
    assert Webhook(SECRET).verify(receiver.requests[1][1], receiver.requests[1][0])["id"] == "alert_1"


def test_a_stopping_api_finishes_what_it_sends_and_gives_back_the_rest(
    database_url, announce, start_api, until, receiver
) -> None:
    add_target(database_url, receiver.url, secret=SECRET)
    announce("ticket:1:opened", "ticket:2:opened")
    receiver.hold.clear()
    process = start_api(CARELOOP_ALERT_LEASE_S="60")
    until(lambda _: len(receiver.requests) == 1)
    process.terminate()
    time.sleep(0.2)
    receiver.hold.set()
    process.wait(20)
    assert [row["state"] for row in until(lambda _: True)] == ["sent", "pending"]
    assert receiver.identities == ["alert_1"]


def test_a_bad_default_target_stops_the_api_with_one_clear_line(start_api, tmp_path) -> None:
    process = start_api(CARELOOP_ALERT_DEFAULT_URL="nonsense://")
    assert process.wait(30) == 2
    *_, line = (tmp_path / "api-0.log").read_text().splitlines()
    assert "CARELOOP_ALERT_DEFAULT_URL is no URL" in line
