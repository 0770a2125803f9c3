"""The production broker's configuration and rights, on Debian's Mosquitto."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, Queue

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from api.devices.authority import Authority, make_authority
from api.devices.broker_files import acl_lines, password_lines, write_files
from api.devices.passwords import hash_password
from api.devices.provisioning import Provisioning, read_accounts
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
    directory.chmod(0o755)
    (directory / "accounts").write_text("".join(f"{name}:{word}\n" for name, word in ACCOUNTS.items()))
    authority = Authority.load(*make_authority(directory / "ca", "devices", timedelta(days=1), datetime.now(UTC)))
    provisioning = Provisioning(authority=authority, accounts=read_accounts(directory / "accounts"))
    write_files(directory, _files(provisioning, []))
    assert "platform-pw" not in (directory / "passwords").read_text()
    _self_signed(directory)
    port, tls_port, certificate_port = free_port(), free_port(), free_port()
    text = (ROOT / "deploy/mosquitto/mosquitto.conf").read_text(encoding="utf-8")
    for there, here in {
        "/mosquitto/accounts/passwords": directory / "passwords",
        "/mosquitto/accounts/acl": directory / "acl",
        "/mosquitto/accounts/devices-ca.pem": directory / "devices-ca.pem",
        "/mosquitto/accounts/revoked.pem": directory / "revoked.pem",
        "/mosquitto/data/": f"{directory}/",
        "/run/secrets/broker_tls_certificate": directory / "certificate",
        "/run/secrets/broker_tls_key": directory / "key",
        "listener 1883": f"listener {port} 127.0.0.1",
        "listener 8883": f"listener {tls_port} 127.0.0.1",
        "listener 8884": f"listener {certificate_port} 127.0.0.1",
    }.items():
        assert there in text, f"the configuration no longer says {there}"
        text = text.replace(there, str(here))
    # It stays who runs the test, who alone may read the files here.
    (directory / "mosquitto.conf").write_text(f"{text}\nuser {getpass.getuser()}\n")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            ["sh", ROOT / "deploy/mosquitto/run.sh", directory / "mosquitto.conf", directory],
            stdout=log,
            stderr=log,
            env=os.environ | {"PATH": f"{Path(MOSQUITTO).parent}:{os.environ['PATH']}"},
        )
    try:
        for each in (port, tls_port, certificate_port):
            _wait_for(each, process, directory / "log")
        yield port
    finally:
        process.terminate()
        assert process.wait(10) == 0


def _files(provisioning: Provisioning, devices: list[dict]) -> dict[str, bytes]:
    """What careloop writes when these are all its devices."""
    assert provisioning.authority is not None
    return {
        "passwords": password_lines(provisioning.accounts, devices).encode(),
        "acl": acl_lines(provisioning, devices).encode(),
        "revoked.pem": provisioning.authority.crl([], datetime.now(UTC), timedelta(days=1)),
        "devices-ca.pem": provisioning.authority.pem.encode(),
    }


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
        self.disconnected: Queue[bool] = Queue()
        self._acknowledged: Queue[bool] = Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.username_pw_set(name, ACCOUNTS[name] if password is None else password)
        self._client.on_connect = lambda c, u, f, code, p: self.connected.put(not code.is_failure)
        self._client.on_disconnect = lambda *_: self.disconnected.put(True)
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


def test_a_device_that_comes_and_goes_needs_no_restart(broker_port: int, servers_directory: Path) -> None:
    directory = servers_directory / "mosquitto"
    provisioning = Provisioning(
        authority=Authority.load(directory / "ca" / "ca.pem", directory / "ca" / "ca-key.pem"),
        accounts=read_accounts(directory / "accounts"),
    )
    device = {"agent_id": "KW-0099", "state": "active", "password_hash": hash_password("late"), "assets": ["KW-0100"]}
    write_files(directory, _files(provisioning, [device]))
    _wait_until_allowed(broker_port, "KW-0099", "late", expected=True)
    with Account(broker_port, "KW-0099", "late") as late, Account(broker_port, "KW-0042") as other:
        assert late.may_publish(topic("KW-0100", "telemetry"))
        write_files(directory, _files(provisioning, [device | {"state": "revoked"}]))
        assert late.disconnected.get(timeout=10)
        # Who stays is not disturbed.
        assert other.may_publish(topic("KW-0042", "telemetry"))
        assert other.disconnected.empty()
    _wait_until_allowed(broker_port, "KW-0099", "late", expected=False)


def _wait_until_allowed(port: int, name: str, password: str, *, expected: bool) -> None:
    deadline = time.monotonic() + 10
    while True:
        account = Account(port, name, password)
        allowed = account.connected.get(timeout=5)
        account.close()
        if allowed is expected:
            return
        assert time.monotonic() < deadline, f"{name} allowed: {allowed}"
        time.sleep(0.2)


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
