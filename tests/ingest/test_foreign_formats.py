"""Sparkplug B, Home Assistant and plain JSON through a real broker and the real process."""

import time

import orjson

from ingest.formats.sparkplug_wire import parse_payload

# Made by pysparkplug; what they mean stands in tests/contract/captured/sparkplug.json.
NODE_BIRTH = bytes.fromhex("0880b2c7cc8b33120b0a056264536571200458031800")
DEVICE_BIRTH = bytes.fromhex("0880b2c7cc8b3312140a03693136100b1880b2c7cc8b33200250d4fd031801")
DEVICE_DATA = bytes.fromhex("08e8b9c7cc8b33120d100b18e8b9c7cc8b3350d3fd031802")


def readings(fleet) -> set[tuple]:
    return set(
        fleet.rows(
            """
            SELECT m.name, r.value, extract(epoch FROM r.time)::float8 FROM telemetry.reading r
            JOIN telemetry.asset a USING (asset_id) JOIN telemetry.metric m USING (metric_id)
            """
        )
    )


def test_a_node_is_asked_for_its_births_and_read_then(broker, fleet, wait_until) -> None:
    group = f"G-{fleet.serial}"
    fleet.worker(broker, CARELOOP_INGEST_SPARKPLUG_GROUPS=group)
    node = fleet.device(broker)
    asked = []
    node.client.on_message = lambda _client, _userdata, message: asked.append(message)
    node.client.subscribe(f"spBv1.0/{group}/NCMD/gw-7", 1)
    data_topic = f"spBv1.0/{group}/DDATA/gw-7/{fleet.serial}"

    def data_before_birth() -> bool:
        node.client.publish(data_topic, DEVICE_DATA, qos=0)
        time.sleep(0.2)
        return bool(asked)

    wait_until(data_before_birth, "the node is asked for its births")
    metric = parse_payload(asked[0].payload).metrics[0]
    assert (asked[0].topic, metric.name, metric.value) == (f"spBv1.0/{group}/NCMD/gw-7", "Node Control/Rebirth", True)
    node.client.publish(f"spBv1.0/{group}/NBIRTH/gw-7", NODE_BIRTH, qos=0)
    node.client.publish(f"spBv1.0/{group}/DBIRTH/gw-7/{fleet.serial}", DEVICE_BIRTH, qos=0)
    node.client.publish(data_topic, DEVICE_DATA, qos=0)
    wait_until(lambda: len(readings(fleet)) == 2, "birth and data are stored")
    assert readings(fleet) == {("i16", -300.0, 1755460000.0), ("i16", -301.0, 1755460001.0)}
    assert len(asked) == 1
    # The broker has other tests' retained states too.
    states = {row[0] for row in fleet.rows("SELECT agent_id FROM telemetry.agent_state WHERE online")}
    assert states >= {"gw-7", fleet.serial}


def test_workers_that_share_hear_all_births_and_part_the_data(mosquitto, fleet, wait_until) -> None:
    group = f"G-{fleet.serial}"
    for number in (1, 2):
        fleet.worker(
            mosquitto, f"{fleet.name}-{number}",
            CARELOOP_INGEST_SPARKPLUG_GROUPS=group, CARELOOP_INGEST_SHARED="true",
        )  # fmt: skip
    node = fleet.device(mosquitto)
    node.client.publish(f"spBv1.0/{group}/NBIRTH/gw-7", NODE_BIRTH, qos=0)
    node.client.publish(f"spBv1.0/{group}/DBIRTH/gw-7/{fleet.serial}", DEVICE_BIRTH, qos=0)
    wait_until(lambda: len(readings(fleet)) == 1, "the birth is stored")
    for second in range(40):
        # The payload's time alone makes messages differ: 0x08, then the milliseconds.
        time_ms = 1755460001000 + second * 1000
        data = message_of(time_ms, b"\x10\x0b\x50\xd3\xfd\x03")
        node.client.publish(f"spBv1.0/{group}/DDATA/gw-7/{fleet.serial}", data, qos=0)
    wait_until(lambda: len(readings(fleet)) == 41, "all data is stored")
    assert fleet.rows("SELECT count(*) FROM telemetry.reading") == [(41,)]
    assert fleet.rows("SELECT count(*) FROM telemetry.dead_letter") == [(0,)]
    shares = [row[0] for row in fleet.rows("SELECT readings FROM telemetry.ingest_progress")]
    assert len(shares) == 2
    assert min(shares) > 5


def message_of(time_ms: int, metric: bytes) -> bytes:
    """A payload of one metric; protobuf's numbers have seven bits a byte."""
    number = bytearray()
    while time_ms >= 128:
        number.append(time_ms & 127 | 128)
        time_ms >>= 7
    return b"\x08" + bytes(number) + bytes([time_ms]) + b"\x12" + bytes([len(metric)]) + metric


def test_what_discovery_names_is_listened_to(broker, fleet, wait_until) -> None:
    prefix, state_topic = f"foreign/{fleet.serial}", f"foreign/{fleet.serial}-state"
    fleet.worker(broker, CARELOOP_INGEST_HOME_ASSISTANT_PREFIX=prefix)
    device = fleet.device(broker)
    config = {"state_topic": state_topic, "value_template": "{{ value_json.t }}", "unit_of_measurement": "°F"}
    topic = f"{prefix}/sensor/{fleet.serial}/temperature/config"
    device.client.publish(topic, orjson.dumps(config), qos=1, retain=True)
    now_s = round(time.time())

    def state_is_stored() -> bool:
        device.client.publish(state_topic, orjson.dumps({"t": 68, "ts": now_s}), qos=1)
        time.sleep(0.2)
        return bool(readings(fleet))

    wait_until(state_is_stored, "a state is stored")
    ((name, value, time_s),) = readings(fleet)
    assert (name, round(value, 6), time_s) == ("t", 68.0, now_s)
    # However often it was published: its time makes it one message.
    assert fleet.rows("SELECT count(*) FROM telemetry.reading") == [(1,)]
    device.client.publish(topic, b"", qos=1, retain=True)
    wait_until(lambda: fleet.rows("SELECT * FROM telemetry.announcement") == [], "it is taken back")


def test_objects_and_gateways(broker, fleet, wait_until) -> None:
    fleet.register(f"{fleet.serial}-2")
    topics = f"foreign/{fleet.serial[:6]}/{{serial}}, foreign/{fleet.serial}/gateway"
    fleet.worker(broker, CARELOOP_INGEST_JSON_TOPICS=topics)
    device = fleet.device(broker)
    device.client.publish(f"foreign/{fleet.serial[:6]}/{fleet.serial}", b'{"ts":1755460000,"pump":{"on":true}}', qos=1)
    gateway = {name: [{"ts": 1755460000000, "values": {"flow": 3}}] for name in (fleet.serial, f"{fleet.serial}-2")}
    for bad in (b"", b"[" * 100_000, b'{"a b":1}', b"7"):
        device.client.publish(f"foreign/{fleet.serial}/gateway", bad, qos=1)
    device.client.publish(f"foreign/{fleet.serial}/gateway", orjson.dumps(gateway), qos=1)
    wait_until(lambda: len(fleet.rows("SELECT * FROM telemetry.reading")) == 3, "all readings are stored")
    assert readings(fleet) == {("pump.on", 1.0, 1755460000.0), ("flow", 3.0, 1755460000.0)}
    assert fleet.rows("SELECT reason, count(*) FROM telemetry.dead_letter GROUP BY 1") == [("malformed", 4)]
