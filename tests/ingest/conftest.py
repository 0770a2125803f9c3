"""Ingest as a process, and brokers to run it against."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from careloop.contract.senml import Reading, encode_pack
from careloop.database.engine import connect
from careloop.stack.broker import EmbeddedBroker
from careloop.stack.ports import free_port

MOSQUITTO = "/usr/sbin/mosquitto"
WITHIN_S = 30.0

_MOSQUITTO_CONF = """
per_listener_settings false
allow_anonymous false
password_file {directory}/passwords
acl_file {directory}/acl
persistence true
persistence_location {directory}/
autosave_interval 1800
set_tcp_nodelay true
max_queued_messages 100000
max_inflight_messages 2000
listener {port} 127.0.0.1
"""

_ACL = """
user device
topic write careloop/v1/#
topic read careloop/v1/+/stored
topic readwrite foreign/#
topic readwrite spBv1.0/#

user platform
topic readwrite careloop/v1/#
topic readwrite foreign/#
topic readwrite spBv1.0/#
"""


def until(condition: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)


class Mosquitto:
    """Debian's broker with passwords, rights per topic, and persistence across its own restart."""

    accounts: Mapping[str, str] = {"device": "device-pw", "platform": "platform-pw"}

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        for name, password in self.accounts.items():
            create = [] if (directory / "passwords").exists() else ["-c"]
            subprocess.run(
                ["mosquitto_passwd", "-b", *create, directory / "passwords", name, password],
                check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        (directory / "acl").write_text(_ACL)
        (directory / "mosquitto.conf").write_text(_MOSQUITTO_CONF.format(directory=directory, port=self.port))
        if os.geteuid() == 0:
            # It drops to this user and must still be able to write here.
            for path in (directory, *directory.iterdir()):
                shutil.chown(path, "mosquitto", "mosquitto")

    def url_of(self, user: str) -> str:
        return f"mqtt://{user}:{self.accounts[user]}@127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", self.directory / "mosquitto.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._listens, "mosquitto listens")

    def _listens(self) -> bool:
        import socket

        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


@pytest.fixture(scope="session")
def mosquitto() -> Iterator[Mosquitto]:
    if not Path(MOSQUITTO).exists():
        missing = f"{MOSQUITTO} is missing; on Debian: apt-get install mosquitto"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with tempfile.TemporaryDirectory(prefix="careloop-mosquitto-") as name:
        Path(name).chmod(0o755)
        broker = Mosquitto(Path(name))
        broker.start()
        yield broker
        broker.stop()


@pytest.fixture(params=["embedded", "mosquitto"])
def broker(request: pytest.FixtureRequest) -> EmbeddedBroker | Mosquitto:
    return request.getfixturevalue("embedded_broker" if request.param == "embedded" else "mosquitto")


@dataclass
class Worker:
    """A `careloop ingest` process."""

    environment: Mapping[str, str]
    arguments: tuple[str, ...]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "careloop", "ingest", *self.arguments],
                env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def wait_until_connected(self, times: int = 1) -> None:
        until(lambda: self.log.read_text().count("connected to 127.0.0.1") >= times, f"connected {times} ×; {self.log}")

    def wait_until_subscribed(self, times: int = 1) -> None:
        until(lambda: self.log.read_text().count("subscribed") >= times, f"subscribed {times} ×; {self.log}")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def terminate(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def worker_of(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Makes ingest processes; what still runs at the end is killed."""
    workers: list[Worker] = []

    def make(
        database_url: str, broker_url: str, name: str, arguments: tuple[str, ...] = (), **environment: str
    ) -> Worker:
        given = {
            "CARELOOP_DATABASE_URL": database_url, "CARELOOP_BROKER_URL": broker_url, "CARELOOP_LOG_LEVEL": "DEBUG",
            "CARELOOP_INGEST_ROLLUP_SECONDS": "0.5", **environment,
        }  # fmt: skip
        workers.append(Worker(given, ("--worker-name", name, *arguments), tmp_path / f"{name}.log"))
        workers[-1].start()
        return workers[-1]

    yield make
    for worker in workers:
        if worker.process is not None and worker.process.poll() is None:
            worker.kill()
        names = [
            f"{worker.arguments[1]}{suffix}" for suffix in (("-1", "-2") if "--workers" in worker.arguments else ("",))
        ]
        for name in names:
            _forget_session(worker, name)


def _forget_session(worker: Worker, name: str) -> None:
    """Or the broker, which serves the whole run, would keep every later test's messages for it."""
    url = urlsplit(worker.environment["CARELOOP_BROKER_URL"])
    client = Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set(url.username, url.password)
    try:
        client.connect("127.0.0.1", url.port or 0, clean_start=True)
    except OSError:
        return
    client.loop_start()
    until(client.is_connected, "connected to forget")
    client.disconnect()
    client.loop_stop()


@dataclass
class Device:
    """Publishes at QoS 1 and remembers every reading that it published."""

    client: Client
    serial: str
    sent: set[tuple[str, float, float]] = field(default_factory=set)
    messages: int = 0
    published: int = 0
    acknowledged: int = 0

    def __post_init__(self) -> None:
        self.client.on_publish = self._on_publish

    def _on_publish(self, *_: object) -> None:
        self.acknowledged += 1

    def telemetry(self, readings: list[Reading]) -> None:
        self.sent |= {(reading.metric, reading.time_s, reading.value) for reading in readings}
        self.publish("telemetry", orjson.dumps(encode_pack(self.serial, readings)))

    def publish(
        self, channel: str, payload: bytes, *, content_type: str = "", retain: bool = False, response_topic: str = ""
    ) -> None:
        properties = Properties(PacketTypes.PUBLISH)
        if response_topic:
            properties.ResponseTopic = response_topic
        if content_type:
            properties.ContentType = content_type
        topic = f"careloop/v1/{self.serial}/{channel}"
        # Without a connection paho keeps it, and sends it when there is one again.
        self.client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        self.published += 1
        self.messages += channel in {"telemetry", "event"}

    def wait(self) -> None:
        until(lambda: self.acknowledged == self.published, "everything published is acknowledged")


@pytest.fixture
def device_of() -> Iterator[Callable[..., Device]]:
    clients: list[Client] = []

    def make(broker: EmbeddedBroker | Mosquitto, serial: str) -> Device:
        url = urlsplit(broker.url_of("device"))
        client = Client(CallbackAPIVersion.VERSION2, client_id=serial, protocol=MQTTProtocolVersion.MQTTv5)
        client.username_pw_set(url.username, url.password)
        client.max_queued_messages_set(0)
        client.reconnect_delay_set(min_delay=1, max_delay=1)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        client.connect("127.0.0.1", url.port, clean_start=False, properties=properties)
        client.loop_start()
        until(client.is_connected, "device connected")
        clients.append(client)
        return Device(client, serial)

    yield make
    for client in clients:
        client.disconnect()
        client.loop_stop()


@dataclass
class Fleet:
    """One database, and names of this test's own: sessions on the brokers outlive it.

    Attributes:
        database_url: Where this fleet's rows are.
        worker_of: Makes ingest processes.
        device_of: Makes devices.
        serial: Of its first asset.
        name: Of its first worker.
    """

    database_url: str
    worker_of: Callable[..., Worker]
    device_of: Callable[..., Device]
    serial: str = field(default_factory=lambda: f"KW-{uuid.uuid4().hex[:8]}")
    name: str = field(default_factory=lambda: f"ingest-{uuid.uuid4().hex[:8]}")

    def worker(self, broker: EmbeddedBroker | Mosquitto, name: str = "", **environment: str) -> Worker:
        """A running worker that has connected."""
        worker = self.worker_of(self.database_url, broker.url_of("platform"), name or self.name, **environment)
        worker.wait_until_connected()
        return worker

    def device(self, broker: EmbeddedBroker | Mosquitto, serial: str = "") -> Device:
        return self.device_of(broker, serial or self.serial)

    def register(self, *serials: str) -> None:
        with connect(self.database_url) as connection:
            connection.execute(
                "INSERT INTO service.product_model (code, name, kind) VALUES ('m', 'M', 'kind') ON CONFLICT DO NOTHING"
            )
            connection.execute(
                "INSERT INTO service.metric (name, unit) VALUES ('temperature', 'Cel') ON CONFLICT DO NOTHING"
            )
            connection.execute(
                "INSERT INTO service.asset (serial, model_id, installed_at, created_at) "
                "SELECT unnest(%s::text[]), model_id, now(), now() FROM service.product_model",
                (list(serials),),
            )

    def rows(self, sql: str) -> list[tuple]:
        with connect(self.database_url) as connection:
            return [tuple(row.values()) for row in connection.execute(sql).fetchall()]

    def wait_until_stored(self, messages: int, within_s: float = WITHIN_S) -> None:
        until(lambda: self.delivered() >= messages, f"{messages} messages stored", within_s)

    def delivered(self) -> int:
        """Messages stored or dead, each once: one delivered again after a kill does not stand for one under way."""
        return int(self.rows("SELECT coalesce(sum(messages), 0) FROM telemetry.ingest_progress")[0][0])

    def assert_exactly(self, device: Device) -> None:
        """Every reading sent is stored, once."""
        stored = self.rows(
            f"""
            SELECT m.name, extract(epoch FROM r.time)::float8, r.value FROM telemetry.reading r
            JOIN telemetry.asset a USING (asset_id) JOIN telemetry.metric m USING (metric_id)
            WHERE a.serial = '{device.serial}'
            """
        )
        assert len(device.sent - set(stored)) == 0, "lost"
        assert len(stored) - len(set(stored)) == 0, "doubled"
        assert set(stored) == device.sent


@pytest.fixture
def fleet_of(worker_of: Callable[..., Worker], device_of: Callable[..., Device]) -> Callable[[str], Fleet]:
    """Makes the fleet of one database, with its first asset registered."""

    def make(database_url: str) -> Fleet:
        fleet = Fleet(database_url, worker_of, device_of)
        fleet.register(fleet.serial)
        return fleet

    return make


@pytest.fixture
def fleet(database_url: str, fleet_of: Callable[[str], Fleet]) -> Fleet:
    return fleet_of(database_url)


@pytest.fixture
def wait_until() -> Callable[..., None]:
    return until


@pytest.fixture
def mosquitto_of_its_own(mosquitto: Mosquitto) -> Iterator[Mosquitto]:
    """One that the test may stop and start; `mosquitto` has made sure that it is installed."""
    with tempfile.TemporaryDirectory(prefix="careloop-mosquitto-") as name:
        Path(name).chmod(0o755)
        broker = Mosquitto(Path(name))
        broker.start()
        yield broker
        broker.stop()
