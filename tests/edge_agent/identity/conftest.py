"""A platform that gives certificates of a few seconds, and a Mosquitto that asks for them."""

import getpass
import ipaddress
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from api.devices.authority import Authority, make_authority
from api.devices.broker_files import BrokerFiles
from api.devices.provisioning import Provisioning, read_accounts
from careloop.stack.ports import free_port

LIFE_S = 9.0


@dataclass
class Platform:
    """Where a device is claimed, and where it connects to."""

    api: object
    plain_port: int
    password_port: int
    certificate_port: int
    directory: Path
    program: str
    broker: subprocess.Popen | None = None

    def start_broker(self) -> None:
        with (self.directory / "log").open("wb") as log:
            self.broker = subprocess.Popen(
                [self.program, "-c", self.directory / "mosquitto.conf"], stdout=log, stderr=log
            )
        _wait(lambda: "running" in self.broker_log())

    def stop_broker(self) -> None:
        if self.broker:
            self.broker.terminate()
            self.broker.wait(10)

    @property
    def platform_url(self) -> str:
        return f"mqtt://platform:platform-pw@127.0.0.1:{self.plain_port}"

    def claim_key(self, **fields: object) -> str:
        key = {
            "model": "KW-5",
            "batch": "test",
            "serial_pattern": "*",
            "register_assets": True,
            "max_claims": 10,
            "expires_at": "2099-01-01T00:00:00Z",
        }
        with self.api.client("admin") as admin:
            return admin.post("/v1/devices/claim-keys", {**key, **fields})["key"]

    def devices(self) -> list[dict]:
        with self.api.client("admin") as admin:
            return [admin.get(f"/v1/devices/{row['device_id']}") for row in admin.pages("/v1/devices")]

    def broker_log(self) -> str:
        return (self.directory / "log").read_text()


@pytest.fixture
def mosquitto_program() -> str:
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("mosquitto is missing: apt-get install mosquitto")
        pytest.skip("mosquitto is not installed")
    return program


@pytest.fixture
def certificate_life_s() -> float:
    return LIFE_S


@pytest.fixture
def platform(
    servers_directory: Path, serve_api: Callable, certificate_life_s: float, mosquitto_program: str
) -> Iterator[Platform]:
    directory = servers_directory / f"identity-{time.monotonic_ns()}"
    directory.mkdir()
    ports = [free_port() for _ in range(3)]
    _server_certificate(directory)
    (directory / "accounts").write_text("platform:platform-pw\n")
    authority = Authority.load(*make_authority(directory / "ca", "devices", timedelta(days=1), datetime.now(UTC)))
    provisioning = Provisioning(
        authority=authority,
        certificate_life=timedelta(seconds=certificate_life_s),
        accounts=read_accounts(directory / "accounts"),
        broker_url=f"mqtts://127.0.0.1:{ports[1]}",
        broker_certificate_url=f"mqtts://127.0.0.1:{ports[2]}",
        broker_ca=(directory / "server.pem").read_text(),
    )
    tls = f"certfile {directory}/server.pem\nkeyfile {directory}/server-key.pem\nuse_username_as_clientid true\n"
    (directory / "mosquitto.conf").write_text(
        f"user {getpass.getuser()}\npid_file {directory}/pid\nallow_anonymous false\n"
        f"password_file {directory}/passwords\nacl_file {directory}/acl\nlog_dest stderr\nlog_type all\n"
        f"listener {ports[0]} 127.0.0.1\n"
        f"listener {ports[1]} 127.0.0.1\n{tls}"
        f"listener {ports[2]} 127.0.0.1\n{tls}cafile {directory}/devices-ca.pem\ncrlfile {directory}/revoked.pem\n"
        "require_certificate true\nuse_identity_as_username true\n"
    )
    with serve_api(provisioning=provisioning, broker_files=BrokerFiles(directory, directory / "pid", 0.05)) as api:
        with api.client("admin") as admin:
            admin.post("/v1/product-models", {"code": "KW-5", "name": "KW-5", "kind": "washer"})
        running = Platform(api, *ports, directory, mosquitto_program)
        _wait((directory / "devices-ca.pem").exists)
        try:
            running.start_broker()
            yield running
        finally:
            running.stop_broker()


def _wait(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _server_certificate(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
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
