"""The whole way on a real Mosquitto: claim, files written by the API, in by password or certificate, out again."""

import getpass
import ipaddress
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, Queue

import paho.mqtt.client as mqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from paho.mqtt.enums import CallbackAPIVersion

from api.devices.authority import Authority, make_authority, read_request
from api.devices.broker_files import BrokerFiles
from api.devices.rules import OtherTopics, allows, device_rights
from careloop.contract.topics import CHANNELS, topic
from careloop.stack.ports import free_port

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PATIENCE_S = 15.0
UP = {"telemetry", "event", "state", "command/result"}


@dataclass
class Broker:
    plain_port: int
    password_port: int
    certificate_port: int
    directory: Path

    def log(self) -> str:
        return (self.directory / "log").read_text()


@pytest.fixture
def broker(servers_directory: Path, serve, provisioning, admin) -> Iterator[tuple[Broker, object]]:
    """A Mosquitto whose files a running API keeps up to date, and that API."""
    if MOSQUITTO is None:
        if os.environ.get("CI") == "true":
            pytest.fail("mosquitto is missing: apt-get install mosquitto")
        pytest.skip("mosquitto is not installed")
    directory = servers_directory / f"devices-{time.monotonic_ns()}"
    directory.mkdir()
    server_certificate(directory)
    running = Broker(free_port(), free_port(), free_port(), directory)
    (directory / "mosquitto.conf").write_text(
        f"""
        user {getpass.getuser()}
        pid_file {directory}/pid
        allow_anonymous false
        password_file {directory}/passwords
        acl_file {directory}/acl
        log_dest stderr
        listener {running.plain_port} 127.0.0.1
        listener {running.password_port} 127.0.0.1
        certfile {directory}/server.pem
        keyfile {directory}/server-key.pem
        use_username_as_clientid true
        listener {running.certificate_port} 127.0.0.1
        certfile {directory}/server.pem
        keyfile {directory}/server-key.pem
        cafile {directory}/devices-ca.pem
        crlfile {directory}/revoked.pem
        require_certificate true
        use_identity_as_username true
        use_username_as_clientid true
        """
    )
    with serve(provisioning, BrokerFiles(directory, directory / "pid", 0.05)) as server:
        wait_until((directory / "devices-ca.pem").exists, "the API wrote the files")
        assert (directory / "passwords").stat().st_mode & 0o777 == 0o640
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen([MOSQUITTO, "-c", directory / "mosquitto.conf"], stdout=log, stderr=log)
        try:
            wait_until(lambda: "running" in running.log() and (directory / "pid").exists(), "mosquitto runs")
            yield running, server
            assert process.poll() is None, running.log()
        finally:
            process.terminate()
            process.wait(10)


def server_certificate(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / "server.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (directory / "server-key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def wait_until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"in {PATIENCE_S:g} s it did not come true that {what}"
        time.sleep(0.02)


class Client:
    """An MQTT client that remembers what it heard and what was refused."""

    def __init__(self, broker: Broker, name: str | None, password: str | None = None, **tls: Path | None) -> None:
        self.heard: Queue[tuple[str, bytes]] = Queue()
        self.connected: Queue[bool] = Queue()
        self.gone: Queue[bool] = Queue()
        self._answers: Queue[bool] = Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"test-{name}", protocol=mqtt.MQTTv5)
        if password is not None:
            self._client.username_pw_set(name, password)
        port = broker.plain_port
        if tls:
            port = broker.certificate_port if tls.get("certificate") else broker.password_port
            context = ssl.create_default_context(cafile=broker.directory / "server.pem")
            if tls.get("certificate"):
                context.load_cert_chain(tls["certificate"])
            self._client.tls_set_context(context)
        self._client.on_connect = lambda c, u, f, code, p: self.connected.put(not code.is_failure)
        self._client.on_connect_fail = lambda *_: self.connected.put(False)
        self._client.on_disconnect = lambda *_: (self.connected.put(False), self.gone.put(True))
        self._client.on_message = lambda c, u, m: self.heard.put((m.topic, m.payload))
        self._client.on_publish = lambda c, u, mid, code, p: self._answers.put(not code.is_failure)
        self._client.on_subscribe = lambda c, u, mid, codes, p: self._answers.put(not codes[0].is_failure)
        try:
            self._client.connect("127.0.0.1", port)
        except (ssl.SSLError, ConnectionError):
            self.connected.put(False)
        self._client.loop_start()

    def __enter__(self) -> "Client":
        assert self.connected.get(timeout=PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def may_publish(self, to: str, payload: bytes = b"x") -> bool:
        self._client.publish(to, payload, qos=1)
        return self._answers.get(timeout=PATIENCE_S)

    def subscribe(self, to: str) -> None:
        self._client.subscribe(to, qos=1)
        assert self._answers.get(timeout=PATIENCE_S)

    def all_heard(self) -> set[tuple[str, bytes]]:
        heard = set()
        while True:
            try:
                heard.add(self.heard.get(timeout=0.5))
            except Empty:
                return heard


def gets_in(broker: Broker, name: str | None, password: str | None = None, **tls: Path | None) -> bool:
    client = Client(broker, name, password, **tls)
    try:
        return client.connected.get(timeout=PATIENCE_S)
    finally:
        client.__exit__()


def platform(broker: Broker) -> Client:
    return Client(broker, "platform", "platform-pw")


def test_what_mosquitto_allows_is_what_the_rules_say(broker, admin, make_key) -> None:
    running, server = broker
    gateway = make_key(admin, gateway=True, serial_pattern="GW-*", asset_pattern="KW-*")["key"]
    identity = server.claim({"claim_key": gateway, "serial": "GW-1", "assets": ["KW-0001"]})
    alone = server.claim({"claim_key": make_key(admin)["key"], "serial": "KW-0002"})
    wait_until(lambda: gets_in(running, "GW-1", identity["password"]), "the gateway gets in")
    wait_until(lambda: gets_in(running, "KW-0002", alone["password"]), "the device gets in")
    rights = {
        "GW-1": device_rights("GW-1", ["KW-0001"], OtherTopics()),
        "KW-0002": device_rights("KW-0002", (), OtherTopics()),
    }
    topics = [topic(serial, channel) for serial in ("GW-1", "KW-0001", "KW-0002") for channel in CHANNELS]
    topics += ["careloop/v1/GW-1", "careloop/v1/GW-1/other", "spBv1.0/a/NDATA/GW-1", "anything"]
    # By what every device hears of everything that the platform may say.
    with (
        Client(running, "GW-1", identity["password"]) as one,
        Client(running, "KW-0002", alone["password"]) as two,
        platform(running) as services,
    ):
        for name, client in (("GW-1", one), ("KW-0002", two)):
            assert {to: client.may_publish(to) for to in topics} == {
                to: allows(rights[name], "publish", to) for to in topics
            }
            client.subscribe("#")
        said = [to for to in topics if services.may_publish(to, to.encode())]
        assert sorted(said) == sorted(to for to in topics[: 3 * len(CHANNELS)] if to.split("/", 3)[3] not in UP)
        for name, client in (("GW-1", one), ("KW-0002", two)):
            assert {to for to, _ in client.all_heard()} == {to for to in said if allows(rights[name], "subscribe", to)}


def test_a_password_and_tls(broker, admin, make_key) -> None:
    running, server = broker
    identity = server.claim({"claim_key": make_key(admin)["key"], "serial": "KW-0001"})
    wait_until(lambda: gets_in(running, "KW-0001", identity["password"], certificate=None), "the device gets in")
    assert not gets_in(running, "KW-0001", "wrong", certificate=None)
    admin.post(f"/v1/devices/{identity['device_id']}/revoke", {})
    wait_until(lambda: not gets_in(running, "KW-0001", identity["password"], certificate=None), "it is out")


def test_a_certificate_is_the_user_name_until_it_is_revoked(broker, admin, make_key, device_key) -> None:
    running, server = broker
    own, key = device_key(), make_key(admin)["key"]
    identity = server.claim({"claim_key": key, "serial": "KW-0001", "csr": own.csr("KW-0002")})
    file = running.directory / "device.pem"
    file.write_bytes(own.pem() + identity["certificate"].encode())
    # It names no user and no password; nothing had to be written to let it in.
    with Client(running, None, certificate=file) as device, platform(running) as services:
        services.subscribe("careloop/v1/+/telemetry")
        assert device.may_publish(topic("KW-0001", "telemetry"), b"reading")
        assert not device.may_publish(topic("KW-0002", "telemetry"))
        assert services.heard.get(timeout=PATIENCE_S) == (topic("KW-0001", "telemetry"), b"reading")
        device.subscribe(topic("KW-0001", "command"))
        assert services.may_publish(topic("KW-0001", "command"), b"do")
        assert device.heard.get(timeout=PATIENCE_S)[1] == b"do"
        admin.post(f"/v1/devices/{identity['device_id']}/revoke", {})
        # It was connected when that happened; Mosquitto leaves it so, but it reaches nothing any more.
        wait_until(lambda: not device.may_publish(topic("KW-0001", "telemetry")), "it has no rights any more")
        assert services.may_publish(topic("KW-0001", "command"), b"do more")
        assert device.all_heard() == set()
        assert device.gone.empty()
    assert not gets_in(running, None, certificate=file)
    # Its place is taken by another board, which gets in while the old one stays out.
    admin.post(f"/v1/devices/{identity['device_id']}/release", {})
    board = device_key()
    renewed = server.claim({"claim_key": key, "serial": "KW-0001", "csr": board.csr()})
    other = running.directory / "board.pem"
    other.write_bytes(board.pem() + renewed["certificate"].encode())
    wait_until(lambda: may_speak(running, other), "the new board reaches its topics")
    assert not gets_in(running, None, certificate=file)


def may_speak(running: Broker, file: Path) -> bool:
    with Client(running, None, certificate=file) as device:
        return device.may_publish(topic("KW-0001", "telemetry"))


def test_strangers_certificates_stay_out(broker, authority, device_key, tmp_path) -> None:
    running, _ = broker
    own, now = device_key(), datetime.now(UTC)
    stranger = Authority.load(*make_authority(tmp_path, "stranger", timedelta(days=1), now))
    file = running.directory / "stranger.pem"
    for signer, moment in ((stranger, now), (authority, now - timedelta(days=2))):
        issued = signer.sign("KW-0001", read_request(own.csr()), timedelta(days=1), moment)
        file.write_bytes(own.pem() + issued.certificate.encode())
        assert not gets_in(running, None, certificate=file)


def test_one_device_cannot_end_anothers_session(broker, admin, make_key) -> None:
    """With client ids of their own choice a device could take over another's session and what waits in it."""
    running, server = broker
    key = make_key(admin)["key"]
    one, two = (server.claim({"claim_key": key, "serial": serial}) for serial in ("KW-0001", "KW-0002"))
    wait_until(lambda: gets_in(running, "KW-0002", two["password"], certificate=None), "the second gets in")
    with Client(running, "KW-0001", one["password"], certificate=None) as first:
        intruder = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="test-KW-0001", protocol=mqtt.MQTTv5)
        intruder.username_pw_set("KW-0002", two["password"])
        intruder.tls_set_context(ssl.create_default_context(cafile=running.directory / "server.pem"))
        intruder.connect("127.0.0.1", running.password_port)
        intruder.loop_start()
        wait_until(intruder.is_connected, "the intruder is connected")
        assert first.may_publish(topic("KW-0001", "telemetry"))
        assert first.gone.empty()
        intruder.disconnect()
        intruder.loop_stop()
