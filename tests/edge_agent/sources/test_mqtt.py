"""A local broker: mosquitto, which keeps its sessions, and the embedded one."""

import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import ValidationError

from careloop.stack.ports import free_port
from tests.edge_agent.conftest import running_mosquitto
from tests.edge_agent.sources.conftest import PATIENCE_S, Polled


class Speaker:
    """A device of the house."""

    def __init__(self, url: str, user: str | None = None, password: str | None = None) -> None:
        parts = urlsplit(url)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        if user:
            self._client.username_pw_set(user, password)
        self._client.connect(parts.hostname, parts.port)
        self._client.loop_start()

    def say(self, topic: str, payload: str, *, qos: int = 1, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(PATIENCE_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def speak(request):
    def make(url: str, *account: str) -> Speaker:
        speaker = Speaker(url, *account)
        request.addfinalizer(speaker.close)
        return speaker

    return make


@pytest.fixture
def house(servers_directory: Path):
    """A mosquitto without an account."""
    directory = servers_directory / f"house-{free_port()}"
    directory.mkdir()
    directory.chmod(0o777)
    with running_mosquitto(directory) as port:
        yield f"mqtt://127.0.0.1:{port}"


def subscribed(polled: Polled, speaker: Speaker, topic: str) -> None:
    """Wait until what is said is heard, by a number that no test uses."""
    deadline = time.monotonic() + PATIENCE_S
    while not polled.rows:
        assert time.monotonic() < deadline, polled.errors
        speaker.say(topic, "-1", qos=0)
        time.sleep(0.05)
        polled.once()
    time.sleep(0.2)
    polled.once()
    polled.store()
    polled.rows.clear()


def test_home_assistants_states_name_asset_and_metric_in_the_topic(opened, house, speak):
    polled = opened(
        kind="mqtt",
        url=house,
        topics=["homeassistant/sensor/{serial}/{metric}/state"],
        format="value",
        serials={"washer": "WM-1", "boiler": "WH-1"},
        metrics={"temperature": {"at": "temperature", "unit": "Cel"}, "door": {"at": "door", "values": {"open": 1}}},
    )
    speaker = speak(house)
    subscribed(polled, speaker, "homeassistant/sensor/washer/temperature/state")
    for topic, payload in {
        "washer/temperature": "40.5", "boiler/temperature": "61", "washer/door": "open", "washer/program": "eco",
        "fridge/temperature": "4", "washer/temperature/x": "1",
    }.items():  # fmt: skip
        speaker.say(f"homeassistant/sensor/{topic}/state", payload)
    speaker.say("homeassistant/sensor/washer/temperature/state", "unavailable")
    speaker.say("homeassistant/sensor/washer/temperature/state", "41")
    polled.until(lambda p: len(p.rows) >= 4)
    assert [(row.serial, dict(row.values)) for row in polled.rows] == [
        ("WM-1", {"temperature": 40.5}), ("WH-1", {"temperature": 61.0}), ("WM-1", {"door": 1.0}),
        ("WM-1", {"temperature": 41.0}),
    ]  # fmt: skip
    assert polled.source.units_of("WM-1") == {"temperature": "Cel"}


def test_home_assistants_object_ids_hold_asset_and_metric(opened, house, speak):
    polled = opened(
        kind="mqtt", url=house, topics=["homeassistant/sensor/{serial}_{metric}/state"], format="value",
        serials={"washer": "WM-1", "washer_2": "WM-2"},
    )  # fmt: skip
    speaker = speak(house)
    subscribed(polled, speaker, "homeassistant/sensor/washer_x/state")
    for object_id in ("washer_water_temperature", "washer_2_water_temperature", "fridge_temperature"):
        speaker.say(f"homeassistant/sensor/{object_id}/state", "40")
    speaker.say("homeassistant/sensor/washer_end/state", "1")
    polled.until(lambda p: len(p.rows) >= 3)
    assert [(row.serial, dict(row.values)) for row in polled.rows] == [
        ("WM-1", {"water_temperature": 40.0}), ("WM-2", {"water_temperature": 40.0}), ("WM-1", {"end": 1.0})
    ]  # fmt: skip


def test_tasmotas_sensors_as_json(opened, house, speak):
    polled = opened(
        kind="mqtt", url=house, topics=["tele/{serial}/SENSOR"], time_at="Time", timezone="Europe/Berlin",
        metrics={"power_w": {"at": "/ENERGY/Power", "unit": "W"}},
    )  # fmt: skip
    speaker = speak(house)
    polled.until(lambda p: p.source._connection)
    time.sleep(0.3)
    speaker.say("tele/KW-1/SENSOR", '{"Time": "2026-06-01T14:00:00", "ENERGY": {"Power": 12}}')
    speaker.say("tele/KW-1/SENSOR", "{")
    speaker.say("tele/KW-2/SENSOR", '{"Time": "2026-06-01T14:00:01", "ENERGY": {"Power": 13}}')
    polled.until(lambda p: len(p.rows) >= 2)
    assert polled.rows == [("KW-1", 1780315200.0, {"power_w": 12.0}), ("KW-2", 1780315201.0, {"power_w": 13.0})]
    assert polled.refused == 1


def test_what_was_kept_from_before_is_left_out_unless_asked_for(opened, house, speak):
    speaker = speak(house)
    speaker.say("h/KW-1", "5", retain=True)
    table = {"kind": "mqtt", "url": house, "topics": ["h/{serial}"], "format": "value"}
    with_it = opened(**table, name="with", take_retained=True).until(lambda p: p.rows)
    assert with_it.values == {"KW-1": {"value": 5.0}}
    without = opened(**table, name="without")
    subscribed(without, speaker, "h/KW-9")
    speaker.say("h/KW-1", "6")
    without.until(lambda p: p.rows)
    assert without.values == {"KW-1": {"value": 6.0}}


@pytest.mark.parametrize("broker", ["mosquitto", "embedded"])
def test_what_was_not_stored_comes_again_and_what_was_stored_does_not(opened, request, speak, monkeypatch, broker):
    table = {"kind": "mqtt", "topics": ["h/{serial}"], "format": "value"}
    account: tuple[str, ...] = ()
    if broker == "mosquitto":
        house = request.getfixturevalue("house")
    else:
        house = f"mqtt://127.0.0.1:{urlsplit(request.getfixturevalue('own_broker').url_of('device')).port}"
        monkeypatch.setenv("LOCAL_PW", "device-pw")
        table |= {"user": "device", "secret_env": "LOCAL_PW"}
        account = ("device", "device-pw")
    table["url"] = house
    first = opened(**table)
    speaker = speak(house, *account)
    subscribed(first, speaker, "h/KW-1")
    speaker.say("h/KW-1", "1")
    speaker.say("h/KW-1", "2")
    first.until(lambda p: len(p.rows) >= 2)
    # In the buffer on disk, with the checkpoint; then the power goes before the broker hears of it.
    checkpoint = first.source.checkpoint()
    speaker.say("h/KW-1", "3")
    first.until(lambda p: len(p.rows) >= 3)
    kill(first)
    speaker.say("h/KW-1", "4")
    again = opened(checkpoint=checkpoint, **table)
    again.until(lambda p: len(p.rows) >= 2)
    time.sleep(0.5)
    again.once()
    if broker == "embedded":
        # It does not mark repetitions, as MQTT wants it to: better twice than never.
        again.until(lambda p: len(p.rows) >= 4)
        assert [row.values["value"] for row in again.rows] == [1, 2, 3, 4]
        return
    assert [row.values["value"] for row in again.rows] == [3, 4]
    checkpoint = again.store()
    kill(again)
    last = opened(checkpoint=checkpoint, **table)
    speaker.say("h/KW-1", "5")
    last.until(lambda p: p.rows)
    assert [row.values["value"] for row in last.rows] == [5]


def kill(polled: Polled) -> None:
    """Gone without a word: the socket is cut, nothing more is sent."""
    client = polled.source._client
    client.reconnect_delay_set(3600, 3600)
    sock = client.socket()
    assert sock is not None
    sock.shutdown(socket.SHUT_RDWR)
    polled.source._hand_over.close()


def test_a_connection_that_breaks_before_the_acknowledgement_doubles_nothing(opened, house, speak):
    port = urlsplit(house).port
    with Wire(port) as wire:
        polled = opened(kind="mqtt", url=f"mqtt://127.0.0.1:{wire.port}", topics=["h/{serial}"], format="value")
        speaker = speak(house)
        subscribed(polled, speaker, "h/KW-1")
        for number in range(1, 6):
            speaker.say("h/KW-1", str(number))
            polled.until(lambda p, number=number: len(p.rows) >= number)
            before = polled.source._connection
            if number % 4 == 1:
                wire.cut()  # taken, not yet stored
            polled.store()
            if number % 4 == 3:
                wire.cut()  # stored, and the broker may not have heard of it
            if number % 4 in {1, 3}:
                polled.until(lambda p, before=before: p.source._connection > before)
        time.sleep(1)
        polled.once()
        assert [row.values["value"] for row in polled.rows] == list(range(1, 6))
        assert any("broke" in error for error in polled.errors)


def test_the_broker_holds_back_what_we_cannot_store(opened, house, speak):
    polled = opened(kind="mqtt", url=house, topics=["h/{serial}"], format="value", inflight=5)
    speaker = speak(house)
    subscribed(polled, speaker, "h/KW-1")
    for number in range(20):
        speaker.say("h/KW-1", str(number))
    polled.until(lambda p: len(p.rows) >= 5)
    time.sleep(0.5)
    polled.once()
    assert len(polled.rows) == 5
    while len(polled.rows) < 20:
        polled.store()
        before = len(polled.rows)
        polled.until(lambda p, before=before: len(p.rows) > before)
    assert [row.values["value"] for row in polled.rows] == list(range(20))


def test_the_embedded_broker_serves_too_and_a_wrong_password_is_told(opened, embedded_broker, speak, monkeypatch):
    parts = urlsplit(embedded_broker.url_of("device"))
    url = f"mqtt://127.0.0.1:{parts.port}"
    monkeypatch.setenv("LOCAL_PW", "device-pw")
    monkeypatch.setenv("WRONG_PW", "wrong")
    table = {"kind": "mqtt", "url": url, "topics": ["house/{serial}"], "format": "value", "user": "device"}
    polled = opened(**table, secret_env="LOCAL_PW", client_id="careloop-local")
    speaker = speak(url, "device", "device-pw")
    subscribed(polled, speaker, "house/KW-1")
    speaker.say("house/KW-1", "5")
    assert polled.until(lambda p: p.rows).values == {"KW-1": {"value": 5.0}}
    polled.store()
    wrong = opened(**table, secret_env="WRONG_PW", client_id="careloop-wrong")
    assert url in wrong.until(lambda p: p.errors).errors[0]
    nothing = opened(**table, secret_env="NOT_SET_ANYWHERE", client_id="careloop-none")
    assert "NOT_SET_ANYWHERE is not set" in nothing.until(lambda p: p.errors).errors[0]


def test_a_broker_that_is_not_there_is_told_and_found_later(opened, servers_directory, speak):
    port = free_port()
    polled = opened(kind="mqtt", url=f"mqtt://127.0.0.1:{port}", topics=["h/{serial}"], format="value")
    assert "cannot be reached" in polled.until(lambda p: p.errors).errors[0]
    directory = servers_directory / f"house-{port}"
    directory.mkdir()
    directory.chmod(0o777)
    with running_mosquitto(directory, at=port):
        speaker = speak(f"mqtt://127.0.0.1:{port}")
        subscribed(polled, speaker, "h/KW-1")


class Wire:
    """Between the agent and the broker; can be cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self._ends = [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while chunk := one.recv(65536):
                other.sendall(chunk)
        except OSError:
            pass

    def cut(self) -> None:
        for end in self._ends:
            end.close()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"topics": []}, "at least 1"),
        ({"topics": ["a/#/b"]}, "# stands alone"),
        ({"topics": ["a/b+"]}, r"\+ stands alone"),
        ({"topics": ["{a}{b}"]}, "something must stand between"),
        ({"topics": ["a/+"]}, "which asset is it"),
        ({"topics": ["{serial}/a"], "serial": "X"}, "both name the asset"),
        ({"url": "mqtt://me:pw@host"}, "no user or password"),
        ({"url": "tcp://host"}, "must look like mqtt://"),
        ({"user": "me"}, "user goes with"),
        ({"format": "xml"}, "value"),
    ],
)
def test_what_cannot_be_right_is_refused(make, change, text):
    with pytest.raises(ValidationError, match=text):
        make(**{"kind": "mqtt", "topics": ["a/{serial}"]} | change)
