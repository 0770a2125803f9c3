"""The API with a CA, accounts and a broker's shared secret."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.conventions.limits import Limiter
from api.devices.authority import CA_CERTIFICATE, CA_KEY, Authority, make_authority
from api.devices.broker_files import BrokerFiles
from api.devices.provisioning import Provisioning, read_accounts
from careloop.client import CareloopClient, ProblemError

HOOK_SECRET = "shared-with-the-broker"


@pytest.fixture(scope="session")
def authority_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ca")
    make_authority(directory, "test devices", timedelta(days=2), datetime.now(UTC))
    return directory


@pytest.fixture(scope="session")
def authority(authority_directory: Path) -> Authority:
    return Authority.load(authority_directory / CA_CERTIFICATE, authority_directory / CA_KEY)


@pytest.fixture
def provisioning(authority: Authority, tmp_path: Path) -> Provisioning:
    accounts = tmp_path / "accounts"
    accounts.write_text("platform:platform-pw\nHAND-1:by-hand\n")
    return Provisioning(
        authority=authority,
        broker_url="mqtts://broker.example.com:8883",
        broker_certificate_url="mqtts://broker.example.com:8884",
        broker_ca="-----BEGIN CERTIFICATE-----\nnot looked at\n",
        accounts=read_accounts(accounts),
        hook_secret=HOOK_SECRET,
        failures=Limiter(1000),
    )


class Server:
    """A running API as a device sees it, which has no key; `client` is for those who have one."""

    def __init__(self, running: object) -> None:
        self.url, self.keys, self.client = running.url, running.keys, running.client

    def open_post(self, path: str, body: object, now: str | None = None, **headers: str) -> httpx.Response:
        given = {"Careloop-Now": now} if now else {}
        return httpx.post(self.url + path, json=body, headers=given | headers, timeout=30)

    def claim(self, body: object, now: str | None = None) -> dict:
        answer = self.open_post("/v1/devices/claim", body, now)
        if answer.is_error:
            raise ProblemError(answer.status_code, answer.json())
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.json()

    def renew(self, body: object, now: str | None = None) -> dict:
        answer = self.open_post("/v1/devices/renew", body, now)
        if answer.is_error:
            raise ProblemError(answer.status_code, answer.json())
        return answer.json()


@pytest.fixture
def serve(serve_api) -> Callable[..., object]:
    """Serve with a provisioning and broker files of the test's own."""

    @contextmanager
    def serving(provisioning: Provisioning, files: BrokerFiles | None = None) -> Iterator[Server]:
        with serve_api(provisioning=provisioning, broker_files=files) as running:
            yield Server(running)

    return serving


@pytest.fixture
def server(serve, provisioning: Provisioning) -> Iterator[Server]:
    with serve(provisioning) as running:
        yield running


@pytest.fixture
def admin(server: Server) -> Iterator[CareloopClient]:
    with server.client("admin") as client:
        make_models(client)
        yield client


def make_models(client: CareloopClient) -> None:
    for code in ("KW-5", "RV-1"):
        client.post("/v1/product-models", {"code": code, "name": code, "kind": "washer"})
    for serial, model in (("KW-0001", "KW-5"), ("KW-0002", "KW-5"), ("RV-0001", "RV-1")):
        client.post("/v1/assets", {"serial": serial, "model": model, "installed_at": "2026-01-01T00:00:00Z"})


KEY = {
    "model": "KW-5",
    "batch": "2026-07",
    "serial_pattern": "KW-*",
    "max_claims": 10,
    "expires_at": "2099-01-01T00:00:00Z",
}


@pytest.fixture
def make_key() -> Callable[..., dict]:
    def make(client: CareloopClient, **fields: object) -> dict:
        return client.post("/v1/devices/claim-keys", {**KEY, **fields})

    return make


class DeviceKey:
    """A private key as a device makes it, and what it says with it."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())

    def csr(self, name: str = "anything") -> str:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(self.key, hashes.SHA256())
        return request.public_bytes(serialization.Encoding.PEM).decode()

    def pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


@pytest.fixture
def device_key() -> Callable[[], DeviceKey]:
    return DeviceKey


def refusal(call: Callable[..., object], *given: object, **named: object) -> ProblemError:
    with pytest.raises(ProblemError) as refused:
        call(*given, **named)
    return refused.value


@pytest.fixture(name="refusal")
def give_refusal() -> Callable[..., ProblemError]:
    return refusal
