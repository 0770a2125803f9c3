"""Formats that need to remember, over a real database: births outlive restarts and reach other workers."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ingest.decode import Decoder, Formats
from ingest.formats.sparkplug_wire import parse_payload
from ingest.registry import Registry
from ingest.replay import Replay, Selection
from ingest.validate import OLDEST, Span
from ingest.writer import read
from tests.contract.conftest import Line, cases, delivery_of, formats_of, payload_of

CASES: dict[str, dict[str, Any]] = {f"{kind}-{case['name']}": case for kind, case in cases()}


def deliveries(name: str) -> list:
    return [
        delivery_of(message["topic"], payload_of(message), message.get("content_type", ""))
        for message in CASES[name]["messages"]
    ]


def expected(name: str, *serials: str) -> list[tuple]:
    return sorted(
        (serial, float(time_s), metric, float(value), unit)
        for serial, time_s, metric, value, unit in CASES[name]["expected"]
        if not serials or serial in serials
    )


def test_births_reach_a_worker_that_never_heard_them(line: Line) -> None:
    node_birth, device_birth, device_data, *_ = deliveries("sparkplug-all-types")
    line.write(node_birth, device_birth)
    other = line.another("another")
    stored = line.write(device_data, writer=other)
    other.close()
    assert (stored.messages, stored.readings, stored.dead_letters) == (1, 5, 1)
    assert line.requests == []
    assert [row for row in line.readings() if row[2] == "i64"] == [
        ("dev-1", 1755460000.0, "i64", -5000000000.0, ""),
        ("dev-1", 1755460001.0, "i64", -5000000001.0, ""),
    ]


def test_a_whole_life_in_one_batch_and_each_of_it_once(line: Line) -> None:
    messages = deliveries("sparkplug-all-types")
    line.write(*messages)
    line.write(*messages)
    assert line.readings() == expected("sparkplug-all-types")
    assert line.rows("SELECT agent_id, online FROM telemetry.agent_state ORDER BY agent_id") == [
        ("dev-1", False),
        ("gw-7", False),
    ]
    # The text of the birth, and that of the data.
    assert line.reasons() == ["bad_record", "bad_record"]


def test_data_before_its_birth_is_kept_and_the_node_is_asked_once(line: Line) -> None:
    node_birth, device_birth, device_data, *_ = deliveries("sparkplug-all-types")
    for second in range(5):
        line.now += timedelta(seconds=second)
        line.write(replace(device_data, received_at=line.now))
    assert line.reasons() == ["unknown_alias"]
    assert [request.topic for request in line.requests] == ["spBv1.0/Plant/NCMD/gw-7"]
    asked = parse_payload(line.requests[0].payload)
    assert [(metric.name, metric.value) for metric in asked.metrics] == [("Node Control/Rebirth", True)]
    line.now += timedelta(seconds=60)
    line.write(device_data)
    assert len(line.requests) == 2
    # Once it answered, the same message is taken: a dead letter leaves no identity.
    line.write(node_birth, device_birth, device_data)
    assert [row[3] for row in line.readings() if row[2] == "i8"] == [-5.0, -6.0]
    assert len(line.requests) == 2


def test_a_stale_death_changes_nothing(line: Line) -> None:
    node_birth = deliveries("sparkplug-all-types")[0]
    stale = delivery_of("spBv1.0/Plant/NDEATH/gw-7", bytes.fromhex("0880b2c7cc8b33120b0a05626453657120045802"))
    line.write(node_birth, stale)
    assert line.rows("SELECT agent_id, online FROM telemetry.agent_state") == [("gw-7", True)]
    meant = delivery_of("spBv1.0/Plant/NDEATH/gw-7", bytes.fromhex("0880b2c7cc8b33120b0a05626453657120045803"))
    line.write(meant)
    assert line.rows("SELECT agent_id, online FROM telemetry.agent_state") == [("gw-7", False)]


@pytest.mark.parametrize(("shared", "asked"), [(False, 1), (True, 0)])
def test_missing_messages_are_noticed_by_who_sees_them_all(line: Line, shared: bool, asked: int) -> None:
    line.decoder = Decoder(Formats(sparkplug_groups=("+",), follow_sequences=not shared))
    line.write(*deliveries("sparkplug-gap"))
    assert len(line.requests) == asked


def test_the_sequence_goes_around(line: Line) -> None:
    births = deliveries("sparkplug-all-types")[:2]
    line.write(*births)
    for seq in [*range(2, 256), 0, 1, 1, 2]:
        number = bytes([seq]) if seq < 128 else bytes([seq & 127 | 128, seq >> 7])
        line.decoder.decode(delivery_of("spBv1.0/Plant/NDATA/gw-7", b"\x18" + number))
        gap = line.decoder.decode(delivery_of("spBv1.0/Plant/NDATA/gw-7", b"\x18" + number)).unresolved.gap
        assert not gap, seq


def test_discovery_is_remembered_and_units_are_converted(line: Line) -> None:
    line.decoder = Decoder(formats_of("home_assistant"))
    config, state = deliveries("home_assistant-zigbee2mqtt-battery")
    line.connection.execute("UPDATE service.asset SET serial = '0x00158d0002d7bcbf' WHERE serial = 'D744A8'")
    line.write(config)
    assert line.topics == ["zigbee2mqtt/0x00158d0002d7bcbf"]
    other = line.another("another")
    line.write(state, writer=other)
    assert [row[2:] for row in line.readings()] == [("battery", 0.97, "/")]
    line.write(delivery_of(config.topic, b""))
    assert line.rows("SELECT * FROM telemetry.announcement") == []
    other.close()


def test_a_gateway_message_is_stored_for_each_asset_once(line: Line) -> None:
    (gateway,) = deliveries("thingsboard-gateway")
    line.connection.execute("UPDATE service.asset SET serial = 'other' WHERE serial = 'DeviceB'")
    stored = line.write(gateway)
    assert (stored.messages, stored.readings, stored.dead_letters) == (2, 4, 1)
    assert line.reasons() == ["unknown_asset"]
    line.connection.execute("UPDATE service.asset SET serial = 'DeviceB' WHERE serial = 'other'")
    stored = line.write(gateway, gateway)
    assert (stored.messages, stored.duplicates, stored.readings) == (1, 3, 2)
    assert line.readings() == expected("thingsboard-gateway")


def test_every_captured_message_is_accounted_for(line: Line) -> None:
    for name, case in CASES.items():
        line.decoder = Decoder(formats_of(name.partition("-")[0], case.get("zone", "")))
        line.write(*deliveries(name))
    assert set(line.reasons()) <= {
        "bad_record", "bad_topic", "malformed", "unknown_alias", "unknown_asset", "wrong_unit", "in_future",
    }  # fmt: skip


def test_parts_and_data_before_birth_are_replayed(line: Line) -> None:
    (gateway,) = deliveries("thingsboard-gateway")
    node_birth, device_birth, device_data, *_ = deliveries("sparkplug-all-types")
    line.connection.execute("UPDATE service.asset SET serial = 'other' WHERE serial = 'DeviceB'")
    line.write(gateway, device_data)
    assert line.reasons() == ["unknown_alias", "unknown_asset"]
    line.connection.execute("UPDATE service.asset SET serial = 'DeviceB' WHERE serial = 'other'")
    line.write(node_birth, device_birth)
    replay = Replay(
        line.connection,
        Registry(learned_metrics=1000, learned_metrics_per_asset=100),
        read=lambda delivery: read(delivery, line.decoder.decode),
        span=lambda now: Span(OLDEST, now),
    )
    outcome = replay.run(Selection(), line.now)
    # What stays is about the text in the birth and in the data.
    assert (outcome.readings, line.reasons()) == (7, ["bad_record", "bad_record"])
    wanted = expected("sparkplug-all-types", "dev-1") + expected("thingsboard-gateway")
    assert [row for row in line.readings() if row[0] != "gw-7"] == sorted(wanted)
    assert replay.run(Selection(), line.now).readings == 0
    assert line.write(gateway, device_data).readings == 0
