"""What is stored is confirmed to its sender, after the commit and not before."""

import time
from datetime import UTC, datetime
from threading import Lock

import orjson
from paho.mqtt.client import Client, MQTTMessage

from careloop.contract.identity import identity_of
from careloop.contract.senml import Reading, encode_pack
from careloop.database.engine import connect
from ingest.consumer import MOST_CONFIRMED, confirmations
from ingest.decode import Delivery
from ingest.decode import identity_of as row_identity_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Confirmed:
    """Counts the identities that a device hears on its channel `stored`."""

    def __init__(self, device) -> None:
        self._lock = Lock()
        self.identities: list[bytes] = []
        self.messages: list[MQTTMessage] = []
        self.topic = f"careloop/v1/{device.serial}/stored"
        device.client.on_message = self._on_message
        device.client.subscribe(self.topic, qos=1)

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        with self._lock:
            self.messages.append(message)
            self.identities += [message.payload[at : at + 16] for at in range(0, len(message.payload), 16)]


def test_a_message_is_confirmed_after_its_commit_and_not_before(broker, fleet, wait_until) -> None:
    fleet.worker(broker)
    device = fleet.device(broker)
    heard = Confirmed(device)
    telemetry = f"careloop/v1/{fleet.serial}/telemetry"
    good = orjson.dumps(encode_pack(fleet.serial, [Reading(1.7e9, "temperature", 20.5, "Cel")]))
    with connect(fleet.database_url, autocommit=False) as in_the_way:
        in_the_way.execute("LOCK TABLE telemetry.message IN EXCLUSIVE MODE")
        device.publish("telemetry", good, response_topic=heard.topic)
        device.wait()
        time.sleep(0.7)
        assert heard.identities == [], "confirmed before the commit"
        in_the_way.rollback()
    wait_until(lambda: heard.identities == [identity_of(telemetry, good)], "confirmed")
    properties = heard.messages[0].properties
    assert properties.ContentType == "application/octet-stream"
    assert [name for name, _ in properties.UserProperty] == ["now"]
    assert abs(datetime.fromisoformat(properties.UserProperty[0][1]).timestamp() - time.time()) < 60
    # A duplicate and a dead letter are accounted for too; so is a message timed on arrival, by what its sender knows.
    for payload in (good, b"nonsense", b'[{"n":"temperature","v":1}]'):
        heard.identities.clear()
        device.publish("telemetry", payload, response_topic=heard.topic)
        wait_until(lambda: len(heard.identities) == 1, "confirmed")
        assert heard.identities == [identity_of(telemetry, payload)]


def test_many_at_once_are_confirmed_in_few_messages(broker, fleet, wait_until) -> None:
    worker = fleet.worker(broker)
    worker.terminate()
    device = fleet.device(broker)
    heard = Confirmed(device)
    for i in range(300):
        payload = orjson.dumps(encode_pack(fleet.serial, [Reading(1.7e9 + i, "temperature", 20.5, "Cel")]))
        device.publish("telemetry", payload, response_topic=heard.topic)
    device.wait()
    worker.start()
    wait_until(lambda: len(heard.identities) == 300, "all are confirmed")
    assert len(set(heard.identities)) == 300
    assert len(heard.messages) < 50


def delivery(response_topic: str, payload: bytes = b"p", topic: str = "careloop/v1/A/telemetry") -> Delivery:
    return Delivery(topic, payload, 1, "", NOW, row_identity_of(topic, payload), response_topic=response_topic)


def test_confirmations_go_nowhere_but_to_channels_for_them() -> None:
    wrong = (
        "",
        "careloop/v1/A/config",
        "careloop/v1/A/telemetry",
        "$SYS/x",
        "careloop/v1/+/stored",
        "careloop/v1/A/stored/#",
    )
    assert list(confirmations([delivery(topic) for topic in wrong])) == []
    state = delivery("careloop/v1/A/stored", topic="careloop/v1/A/state")
    assert list(confirmations([state])) == []


def test_confirmations_are_grouped_by_topic_and_bounded() -> None:
    own, other = "careloop/v1/A/stored", "careloop/v1/B/stored"
    many = [delivery(own, str(i).encode()) for i in range(MOST_CONFIRMED + 1)]
    told = list(confirmations([*many, delivery(other)]))
    assert [(topic, len(payload) // 16) for topic, payload in told] == [(own, 1024), (own, 1), (other, 1)]
    assert b"".join(payload for topic, payload in told if topic == own) == b"".join(d.identity.bytes for d in many)
