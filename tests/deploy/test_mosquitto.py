"""The production broker's configuration and rights, on Debian's Mosquitto."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from careloop.contract.topics import CHANNELS, topic
from careloop.stack.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
ACCOUNTS = {"platform": "platform-pw", "KW-0042": "pump", "KW-0043": "brush"}


@pytest.fixture(scope="module")
def broker_port(servers_directory: Path) -> Iterator[int]:
    if MOSQUITTO is None:
        if os.environ.get("CI") == "true":
            pytest.fail("mosquitto is missing: apt-get install mosquitto")
        pytest.skip("mosquitto is not installed")
    directory = servers_directory / "mosquitto"
    directory.mkdir()
    directory.chmod(0o777)
    (directory / "accounts").write_text("".join(f"{name}:{word}\n" for name, word in ACCOUNTS.items()))
    subprocess.run(
        ["sh", ROOT / "deploy/mosquitto/hash-accounts.sh", directory / "accounts", directory / "passwords"], check=True
    )
    assert "platform-pw" not in (directory / "passwords").read_text()
    _self_signed(directory)
    port, tls_port = free_port(), free_port()
    shutil.copy(ROOT / "deploy/mosquitto/acl", directory / "acl")
    text = (ROOT / "deploy/mosquitto/mosquitto.conf").read_text(encoding="utf-8")
    for there, here in {
        "/mosquitto/accounts/passwords": directory / "passwords",
        "/mosquitto/config/acl": directory / "acl",
        "/mosquitto/data/": f"{directory}/",
        "/run/secrets/broker_tls_certificate": directory / "certificate",
        "/run/secrets/broker_tls_key": directory / "key",
        "listener 1883": f"listener {port} 127.0.0.1",
        "listener 8883": f"listener {tls_port} 127.0.0.1",
    }.items():
        assert there in text, f"the configuration no longer says {there}"
        text = text.replace(there, str(here))
    (directory / "mosquitto.conf").write_text(text)
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([MOSQUITTO, "-c", directory / "mosquitto.conf"], stdout=log, stderr=log)
    try:
        _wait_for(port, process, directory / "log")
        _wait_for(tls_port, process, directory / "log")
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _self_signed(directory: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-keyout", directory / "key", "-out", directory / "certificate"],
        check=True, capture_output=True,
    )  # fmt: skip
    (directory / "key").chmod(0o644)


def _wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"mosquitto did not come up: {log.read_text()}")


class Account:
    """A connected client that remembers what it received and what the broker refused."""

    def __init__(self, port: int, name: str, password: str | None = None) -> None:
        self.received: Queue[tuple[str, bytes]] = Queue()
        self.connected: Queue[bool] = Queue()
        self._acknowledged: Queue[bool] = Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.username_pw_set(name, ACCOUNTS[name] if password is None else password)
        self._client.on_connect = lambda c, u, f, code, p: self.connected.put(not code.is_failure)
        self._client.on_message = lambda c, u, m: self.received.put((m.topic, m.payload))
        self._client.on_publish = lambda c, u, mid, code, p: self._acknowledged.put(not code.is_failure)
        self._client.on_subscribe = lambda c, u, mid, codes, p: self._acknowledged.put(not codes[0].is_failure)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def __enter__(self) -> "Account":
        assert self.connected.get(timeout=5)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def may_publish(self, to: str, payload: bytes = b"x") -> bool:
        self._client.publish(to, payload, qos=1)
        return self._acknowledged.get(timeout=5)

    def may_subscribe(self, to: str) -> bool:
        self._client.subscribe(to, qos=1)
        return self._acknowledged.get(timeout=5)


UP = {"telemetry", "event", "state", "command/result"}


def test_a_device_speaks_only_for_itself(broker_port: int) -> None:
    with Account(broker_port, "KW-0042") as device:
        own = {channel: device.may_publish(topic("KW-0042", channel)) for channel in CHANNELS}
        others = {channel: device.may_publish(topic("KW-0043", channel)) for channel in CHANNELS}
    assert own == {channel: channel in UP for channel in CHANNELS}
    assert not any(others.values())


def test_a_device_hears_only_what_is_meant_for_it(broker_port: int) -> None:
    with Account(broker_port, "KW-0042") as device, Account(broker_port, "platform") as platform:
        device.may_subscribe("careloop/v1/+/command")
        device.may_subscribe("careloop/v1/#")
        assert platform.may_publish(topic("KW-0043", "command"), b"for the other")
        assert platform.may_publish(topic("KW-0042", "command"), b"for me")
        assert device.received.get(timeout=5) == (topic("KW-0042", "command"), b"for me")
        with Account(broker_port, "KW-0043") as other:
            assert other.may_publish(topic("KW-0043", "telemetry"), b"private")
        # Two overlapping subscriptions may bring a message twice, but never another device's.
        assert set(_all_of(device.received)) <= {(topic("KW-0042", "command"), b"for me")}


def _all_of(received: Queue[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    while True:
        try:
            yield received.get(timeout=0.5)
        except Empty:
            return


def test_the_platform_reads_all_devices_also_by_shared_subscription(broker_port: int) -> None:
    with Account(broker_port, "platform") as platform, Account(broker_port, "KW-0042") as device:
        assert platform.may_subscribe("$share/ingest/careloop/v1/+/telemetry")
        assert platform.may_subscribe("careloop/v1/+/state")
        assert device.may_publish(topic("KW-0042", "telemetry"), b"reading")
        assert platform.received.get(timeout=5) == (topic("KW-0042", "telemetry"), b"reading")
        assert not platform.may_publish(topic("KW-0042", "telemetry"))


def test_wrong_passwords_and_unknown_accounts_stay_out(broker_port: int) -> None:
    for name, password in (("KW-0042", "wrong"), ("nobody", "x"), ("platform", "")):
        account = Account(broker_port, name, password)
        assert account.connected.get(timeout=5) is False
        account.close()


def test_the_healthcheck_of_compose_sees_the_broker(broker_port: int) -> None:
    with Account(broker_port, "platform") as platform:
        assert platform.may_subscribe("$SYS/broker/uptime")
        assert platform.received.get(timeout=15)[0] == "$SYS/broker/uptime"
