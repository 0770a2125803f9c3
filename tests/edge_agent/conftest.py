import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from careloop.contract.identity import identity_of
from careloop.contract.senml import decode_pack
from careloop.stack.broker import EmbeddedBroker
from careloop.stack.ports import free_port, port_is_free

PATIENCE_S = 20.0
WORDS = [sys.executable, "-c", "import sys; from careloop.cli import main; sys.exit(main())", "edge"]


class Listener:
    """A subscriber that keeps everything, however often it comes, and confirms it as ingest does."""

    def __init__(self, url: str, *topics: str, confirms: bool = True) -> None:
        self.confirms = confirms
        parts = urlsplit(url)
        self.messages: list[mqtt.MQTTMessage] = []
        self._subscribed = threading.Event()
        self._topics = topics
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.username_pw_set(parts.username, parts.password)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in topics])
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect(parts.hostname, parts.port)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S)

    def _on_message(self, client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        self.messages.append(message)
        if self.confirms and (wanted := getattr(message.properties, "ResponseTopic", "")):
            properties = Properties(PacketTypes.PUBLISH)
            properties.UserProperty = ("now", datetime.now(UTC).isoformat())
            client.publish(wanted, identity_of(message.topic, message.payload), properties=properties)

    def of(self, channel: str) -> list[mqtt.MQTTMessage]:
        return [message for message in list(self.messages) if message.topic.endswith(f"/{channel}")]

    def readings(self, at_least: int = 1) -> dict[tuple[str, str, float], float]:
        """Value by serial, metric and time, once so many came; one reading in two different messages fails."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self._readings()) < at_least and time.monotonic() < deadline:
            time.sleep(0.02)
        return self._readings()

    def _readings(self) -> dict[tuple[str, str, float], float]:
        found: dict[tuple[str, str, float], float] = {}
        for topic, payload in {(message.topic, message.payload) for message in self.of("telemetry")}:
            serial = topic.split("/")[2]
            records = json.loads(payload)
            assert records[0]["bn"] == f"{serial}/"
            readings, bad = decode_pack(records, serial, 0.0)
            assert not bad
            for reading in readings:
                key = (serial, reading.metric, reading.time_s)
                assert key not in found, f"{key} stands in two messages"
                found[key] = reading.value
        return found

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Agent:
    """`careloop edge run` as a process."""

    def __init__(self, environment: dict[str, str], *words: str) -> None:
        self.process = subprocess.Popen(
            [*WORDS, "run", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"CARELOOP_LOG_LEVEL": "INFO"} | environment,
        )
        self.log: list[str] = []
        self._answers: queue.Queue[str] = queue.Queue()
        for stream, take in ((self.process.stderr, self.log.append), (self.process.stdout, self._answers.put)):
            threading.Thread(
                target=lambda stream=stream, take=take: [take(line) for line in stream], daemon=True
            ).start()

    def answer(self) -> dict[str, Any]:
        try:
            return json.loads(self._answers.get(timeout=PATIENCE_S))
        except queue.Empty:
            pytest.fail(f"no answer; the log says: {''.join(self.log)}")

    def send(self, **request: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def step(self, **request: object) -> dict[str, Any]:
        self.send(**request)
        return self.answer()

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)


def wait_until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"in {PATIENCE_S:g} s it did not come true that {what}")
        time.sleep(0.01)


@pytest.fixture
def own_broker(servers_directory: Path) -> Iterator[EmbeddedBroker]:
    """A broker that the test may kill."""
    broker = EmbeddedBroker(servers_directory / "edge-broker", {"device": "device-pw", "platform": "platform-pw"})
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def listen(request: pytest.FixtureRequest) -> Callable[..., Listener]:
    def make(url: str, *topics: str, confirms: bool = True) -> Listener:
        listener = Listener(url, *topics, confirms=confirms)
        request.addfinalizer(listener.close)
        return listener

    return make


@pytest.fixture
def run_agent(request: pytest.FixtureRequest) -> Callable[..., Agent]:
    def make(environment: dict[str, str], *words: str) -> Agent:
        agent = Agent(environment, *words)
        request.addfinalizer(agent.kill)
        return agent

    return make


@pytest.fixture
def eventually() -> Callable[[Callable[[], object], str], None]:
    return wait_until


def needed(program: str) -> str:
    """Where a Debian program is; on CI a missing one is a failure, elsewhere the test is skipped."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{program} is missing; apt-get install {program}")
        pytest.skip(f"{program} is missing; apt-get install {program}")
    return found


@contextmanager
def running_mosquitto(directory: Path, *lines: str, at: int | None = None) -> Iterator[int]:
    program, port = needed("mosquitto"), at or free_port()
    config = directory / "mosquitto.conf"
    config.write_text("\n".join([f"listener {port} 127.0.0.1", "allow_anonymous true", *lines, ""]))
    process = subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: not port_is_free(port), "mosquitto listens")
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[str]:
    """Debian's mosquitto, which tells a publisher that nobody is subscribed."""
    with running_mosquitto(tmp_path, "max_packet_size 20000") as port:
        yield f"mqtt://127.0.0.1:{port}"


@pytest.fixture
def tls_mosquitto(servers_directory: Path) -> Iterator[tuple[str, Path]]:
    """A mosquitto that wants a client certificate, and the directory of `cert.pem` (everyone's) and `key.pem`."""
    with tempfile.TemporaryDirectory(dir=servers_directory) as name:
        directory = Path(name)
        cert, key = directory / "cert.pem", directory / "key.pem"
        subprocess.run(
            [needed("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", str(key), "-out", str(cert)],
            check=True, capture_output=True,
        )  # fmt: skip
        # Started as root, mosquitto drops to a user of its own before it reads them.
        for path in (directory, cert, key):
            path.chmod(0o755)
        lines = (f"certfile {cert}", f"keyfile {key}", f"cafile {cert}", "require_certificate true")
        with running_mosquitto(directory, *lines) as port:
            yield f"mqtts://127.0.0.1:{port}", directory
