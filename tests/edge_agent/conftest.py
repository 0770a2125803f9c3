import json
import os
import queue
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
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
from edge_agent.agent import Agent as InProcessAgent
from edge_agent.buffer import Buffer
from edge_agent.rules import RuleBook
from edge_agent.sources.feed import Feed
from edge_agent.sources.source import Source
from edge_agent.wire.link import Link

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


def offer(feed: Feed, serial: str, count: int, start: int = 0) -> None:
    """So many readings, one a minute, the value being their number."""
    day = datetime(2015, 1, 1, tzinfo=UTC)
    numbers = range(start, start + count)
    feed.offer([[serial, (day + timedelta(minutes=n)).isoformat(), {"a": float(n)}] for n in numbers], [])


def take(agent: InProcessAgent) -> None:
    """What the sources have, into the buffer."""
    for source in agent.sources:
        agent.poll(source, datetime(2026, 1, 1, tzinfo=UTC))
    agent.commit()


class Wire:
    """A wire between agent and broker, cut after so many bytes again and again, or slow.

    Args:
        port: The broker's.
        cut_after_bytes: In both directions together; 0 never.
        bytes_per_s: From the agent to the broker; 0 is as fast as it goes.
    """

    def __init__(self, port: int, *, cut_after_bytes: int = 0, bytes_per_s: int = 0) -> None:
        self._target = port
        self._cut_after_bytes = cut_after_bytes
        self._bytes_per_s = bytes_per_s
        self.cuts = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def url(self, url: str) -> str:
        """The broker's address by way of this wire."""
        return url.replace(f":{self._target}", f":{self.port}")

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            with near, suppress(ConnectionError), socket.create_connection(("127.0.0.1", self._target)) as far:
                # Or the kernel holds more than a slow link ever would.
                near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
                self._carry(near, far)

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        carried = 0
        while not self._cut_after_bytes or carried < self._cut_after_bytes:
            readable, _, _ = select.select([near, far], [], [], 0.5)
            for side in readable:
                chunk = side.recv(512)
                if not chunk:
                    return
                (far if side is near else near).sendall(chunk)
                carried += len(chunk)
                if self._bytes_per_s and side is near:
                    time.sleep(len(chunk) / self._bytes_per_s)
        self.cuts += 1


@pytest.fixture
def wire(request: pytest.FixtureRequest) -> Callable[..., Wire]:
    def make(port: int, **how: int) -> Wire:
        made = Wire(port, **how)
        request.addfinalizer(made.close)
        return made

    return make


@pytest.fixture
def make_agent(tmp_path: Path) -> Iterator[Callable[..., InProcessAgent]]:
    """An agent in this process; `clock` gives its monotonic time, else it is the real one."""
    agents: list[InProcessAgent] = []

    def make(
        link: Link,
        agent_id: str,
        *sources: Source,
        rules: RuleBook | None = None,
        clock: Callable[[], float] | None = None,
        max_bytes: int = 1 << 30,
    ) -> InProcessAgent:
        agent = InProcessAgent(
            # What only a power loss would show is not worth an fsync each time.
            Buffer(tmp_path / "buffer.sqlite", max_bytes, max_readings=20, synced=False),
            link,
            agent_id,
            sources=sources,
            rules=rules or {},
            max_readings=20,
            units={},
            monotonic=clock or time.monotonic,
            wall=(lambda: 1.8e9 + clock()) if clock else time.time,
        )
        agents.append(agent)
        return agent

    yield make
    for agent in agents:
        # One that a failed test left behind must not go on trying to connect.
        agent.publisher.stop(lambda: False)


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
def open_directory(servers_directory: Path) -> Iterator[Path]:
    """A directory that Mosquitto can read: started as root, it drops to a user of its own."""
    with tempfile.TemporaryDirectory(dir=servers_directory) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[str]:
    """Debian's mosquitto, which tells a publisher that nobody is subscribed."""
    with running_mosquitto(tmp_path, "max_packet_size 20000") as port:
        yield f"mqtt://127.0.0.1:{port}"
