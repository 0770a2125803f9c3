"""Dead letters tried again after their cause was mended, on every engine."""

from datetime import datetime, timedelta

import pytest

from careloop.contract.senml import Reading
from ingest.registry import Registry
from ingest.replay import Outcome, Replay, Selection
from ingest.validate import span_as_of
from ingest.writer import read

AT = datetime.fromisoformat("2026-06-30T10:00:00Z").timestamp()
LETTERS = "SELECT reason FROM telemetry.dead_letter ORDER BY dead_letter_id"
READINGS = """
    SELECT a.serial, m.name, extract(epoch FROM r.time)::float8, r.value
    FROM telemetry.reading r JOIN telemetry.asset a USING (asset_id) JOIN telemetry.metric m USING (metric_id)
    ORDER BY 1, 2, 3
"""


@pytest.fixture
def replay(line) -> Replay:
    return Replay(
        line.connection,
        Registry(learned_metrics=20, learned_metrics_per_asset=5),
        read=read,
        span=lambda now: span_as_of(now, future=timedelta(hours=24), keep=None),
    )


def register(line, serial: str) -> None:
    line.connection.execute(
        "INSERT INTO service.asset (serial, model_id, installed_at, created_at) "
        "SELECT %s, model_id, now(), now() FROM service.product_model",
        (serial,),
    )


def test_messages_of_an_asset_registered_later_are_stored_once(line, replay) -> None:
    messages = [line.telemetry("LATE", [Reading(AT + n, "temperature", 20.0 + n, "Cel")]) for n in range(3)]
    event = line.delivery("careloop/v1/LATE/event", b'{"time":"2026-06-30T10:00:00Z","code":"E1"}')
    line.write(*messages, event)
    assert replay.run(Selection(), line.now) == Outcome(4, 0, 0, 0)
    assert line.rows(LETTERS) == [("unknown_asset",)] * 4
    register(line, "LATE")
    assert replay.run(Selection(serial="A1"), line.now) == Outcome()
    assert replay.run(Selection(reason="unknown_asset", serial="LATE"), line.now) == Outcome(4, 4, 3, 1)
    assert line.rows(LETTERS) == []
    assert line.rows(READINGS) == [("LATE", "temperature", AT + n, 20.0 + n) for n in range(3)]
    assert line.rows("SELECT code FROM telemetry.event") == [("E1",)]
    # The device sends it again, not knowing: it is recognised.
    assert line.write(messages[0]).duplicates == 1
    line.maintenance().run(line.now)
    assert line.rows("SELECT readings FROM telemetry.hourly") == [(3,)]


def test_of_a_message_stored_in_part_only_the_rest_is_added(line, replay) -> None:
    mixed = [
        Reading(AT, "temperature", 20.0, "Cel"),
        Reading(AT, "pressure", 3.0, "no such unit"),
        Reading(AT + 1, "temperature", float("nan"), "Cel"),
        *(Reading(AT, f"new_{n}", float(n), "W") for n in range(7)),
    ]
    # NaN is no JSON that orjson writes; Python's own is lenient, as devices are.
    import json

    from careloop.contract.senml import encode_pack

    line.write(line.delivery("careloop/v1/A1/telemetry", json.dumps(encode_pack("A1", mixed)).encode()))
    assert sorted(line.rows(LETTERS)) == [("not_finite",), ("too_many_metrics",), ("wrong_unit",)]
    before = line.rows(READINGS)
    assert len(before) == 6
    # Nothing was mended but the bound of metrics, which counts anew in a new process.
    assert replay.run(Selection(reason="too_many_metrics"), line.now) == Outcome(1, 0, 2, 0)
    assert sorted(line.rows(LETTERS)) == [("not_finite",), ("wrong_unit",)]
    line.connection.execute("UPDATE telemetry.metric SET unit = 'no such unit' WHERE name = 'pressure'")
    assert replay.run(Selection(), line.now) == Outcome(1, 0, 1, 0)
    assert line.rows(LETTERS) == [("not_finite",)]
    assert [row for row in line.rows(READINGS) if row in before] == before
    assert len(line.rows(READINGS)) == 9
    # And again: nothing is doubled.
    assert replay.run(Selection(), line.now) == Outcome(1, 0, 0, 0)
    assert len(line.rows(READINGS)) == 9


def test_what_cannot_be_mended_stays(line, replay) -> None:
    line.write(
        line.delivery("careloop/v1/A1/telemetry", b"no json"),
        line.delivery("nobody/knows/this", b"{}"),
        line.delivery("careloop/v1/A1/state", b'{"online":"perhaps"}'),
    )
    letters = line.rows("SELECT dead_letter_id, message_id, reason, detail FROM telemetry.dead_letter")
    assert len(letters) == 3
    assert replay.run(Selection(), line.now) == Outcome(3, 0, 0, 0)
    assert line.rows("SELECT dead_letter_id, message_id, reason, detail FROM telemetry.dead_letter") == letters


def test_more_than_a_page_is_tried_in_order(line, replay) -> None:
    line.write(*(line.telemetry("LATE", [Reading(AT + n, "temperature", 1.0, "Cel")]) for n in range(250)))
    one = line.rows("SELECT dead_letter_id FROM telemetry.dead_letter ORDER BY 1 OFFSET 7 LIMIT 1")[0][0]
    register(line, "LATE")
    assert replay.run(Selection(dead_letter_id=one), line.now) == Outcome(1, 1, 1, 0)
    assert replay.run(Selection(), line.now) == Outcome(249, 249, 249, 0)


def test_a_replay_asked_for_through_the_api_is_done_once(line, replay) -> None:
    line.write(line.telemetry("LATE", [Reading(AT, "temperature", 1.0, "Cel")]))
    register(line, "LATE")
    line.connection.execute(
        "INSERT INTO service.dead_letter_replay (reason, requested_by, requested_at) "
        "VALUES ('unknown_asset', 'desk', now()), ('malformed', 'desk', now())"
    )
    assert replay.run_requested(line.now) == 2
    results = "SELECT messages, settled, readings, events, finished_at FROM telemetry.replay_result ORDER BY replay_id"
    assert line.rows(results) == [(1, 1, 1, 0, line.now), (0, 0, 0, 0, line.now)]
    assert replay.run_requested(line.now) == 0


def test_what_a_models_machines_send_is_noted(line) -> None:
    line.write(
        line.telemetry("A1", [Reading(AT, "temperature", 1.0, "Cel"), Reading(AT, "vibration", 2.0, "mm/s")]),
        line.telemetry("A2", [Reading(AT - 86400, "temperature", 1.0, "Cel")]),
    )
    maintenance = line.maintenance()
    maintenance.run(line.now)
    noted = """
        SELECT model, name, extract(epoch FROM s.first_seen_at)::float8
        FROM telemetry.model_metric s JOIN telemetry.metric USING (metric_id) ORDER BY 1, 2
    """
    assert line.rows(noted) == [("m", "temperature", AT - 86400), ("m", "vibration", AT)]
    # Late readings bring the first sight forward, though only with the next look.
    line.write(line.telemetry("A3", [Reading(AT - 2 * 86400, "vibration", 2.0, "mm/s")]))
    maintenance.run(line.now + timedelta(minutes=1))
    assert ("m", "vibration", AT) in line.rows(noted)
    maintenance.run(line.now + timedelta(minutes=11))
    assert ("m", "vibration", AT - 2 * 86400) in line.rows(noted)
