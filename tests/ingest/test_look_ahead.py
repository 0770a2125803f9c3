"""What was made of a message ahead of its turn is used only while it holds."""

import time
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from careloop.contract.senml import Columns, Reading, encode_pack
from careloop.database.engine import connect
from ingest.delivery import Delivery, identity_of
from ingest.rows import Ready
from ingest.writer import DICTIONARY_EVERY, Limits, Read, Writer, read

START_S = round(time.time()) - 3600


class Clock:
    now = datetime.now(UTC)


@pytest.fixture
def writer(database_url: str) -> Writer:
    limits = Limits(future=timedelta(hours=24), keep=None, learned_metrics=10, learned_metrics_per_asset=10)
    writer = Writer(
        connect=lambda: connect(database_url), worker="w", limits=limits, now=lambda: Clock.now, pause=lambda _: True
    )
    yield writer
    writer.close()


def message(serial: str, i: int, metric: str = "temperature", unit: str = "Cel") -> Read:
    payload = orjson.dumps(encode_pack(serial, [Reading(START_S + i, metric, i / 4, unit)]))
    topic = f"careloop/v1/{serial}/telemetry"
    return read(Delivery(topic, payload, len(payload), "", Clock.now, identity_of(topic, payload)))


def stored(fleet) -> set[tuple[str, float, float]]:
    return set(
        fleet.rows(
            "SELECT m.name, extract(epoch FROM r.time)::float8, r.value "
            "FROM telemetry.reading r JOIN telemetry.metric m USING (metric_id)"
        )
    )


def test_it_is_used_while_nothing_changed(writer: Writer, fleet) -> None:
    first = message(fleet.serial, 0)
    assert isinstance(first[1].readings, Columns)
    writer.look_ahead([first])
    assert first[1].ready is None, "without a connection nothing is known"
    writer.write([first])
    # The same asset and metric, then what cannot be known ahead: another metric, another asset, a fault.
    others = [message(fleet.serial, 1), message(fleet.serial, 2, "new", "V"), message("nobody", 3),
              message(fleet.serial, -(2**30))]  # fmt: skip
    writer.look_ahead(others)
    assert [isinstance(decoded.ready, Ready) for _, decoded in others] == [True, False, False, False]
    writer.write(others)
    assert stored(fleet) == {
        ("temperature", START_S, 0.0), ("temperature", START_S + 1, 0.25), ("new", START_S + 2, 0.5),
    }  # fmt: skip
    assert fleet.rows("SELECT reason FROM telemetry.dead_letter ORDER BY 1") == [("too_old",), ("unknown_asset",)]


def test_it_is_made_anew_when_the_dictionary_changed(writer: Writer, fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.write([message(fleet.serial, 0, "odd", "")])
    ahead = message(fleet.serial, 4, "odd", "kPa")
    writer.look_ahead([ahead])
    assert isinstance(ahead[1].ready, Ready)
    # Declared meanwhile, in a unit: what was packed in kPa must be stored in bar.
    with connect(fleet.database_url) as connection:
        connection.execute("INSERT INTO service.metric (name, unit) VALUES ('odd', 'bar')")
    monkeypatch.setattr(Clock, "now", Clock.now + 2 * DICTIONARY_EVERY)
    writer.write([ahead])
    assert stored(fleet) == {("odd", START_S, 0.0), ("odd", START_S + 4, 0.01)}


def test_it_is_made_anew_for_a_restored_database(writer: Writer, fleet) -> None:
    writer.write([message(fleet.serial, 0)])
    ahead = message(fleet.serial, 1)
    writer.look_ahead([ahead])
    with connect(fleet.database_url) as connection:
        connection.execute("UPDATE telemetry.metric SET name = 'other' WHERE name = 'temperature'")
    writer.close()
    writer.write([ahead])
    assert stored(fleet) == {("other", START_S, 0.0), ("temperature", START_S + 1, 0.25)}
